"""The HTTP API: rows of every kind, what is refused and how, and what a host would be told."""

from __future__ import annotations

import itertools
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.manager.process import ManagerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

numbers = itertools.count(1)

KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "clusters": ({"scopes": {"idc": "a"}, "config": {"job_rate_limit": 20}}, {"bio": "new", "is_default": True}),
    "seed-peer-clusters": ({"scheduler_cluster_ids": [1], "config": {"load_limit": 300}}, {"bio": "new"}),
    "schedulers": ({"ip": "10.0.0.1", "cluster_id": 1}, {"idc": "b", "features": ["schedule"]}),
    "seed-peers": ({"ip": "10.0.0.1", "cluster_id": 1}, {"location": "b", "port": 4000}),
    "applications": ({"url": "https://x.example"}, {"priority": {"value": 2, "urls": []}}),
}


def named(kind: str, name: str) -> dict[str, str]:
    return {"hostname" if kind in ("schedulers", "seed-peers") else "name": name}


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_made_read_changed_listed_and_deleted(manager: ManagerProcess, kind: str) -> None:
    new, change = KINDS[kind]
    name = f"row-{next(numbers)}"
    made = manager.api("POST", f"/{kind}", {**named(kind, name), **new}, status=201)
    row = f"/{kind}/{made['id']}"
    assert {**made, **named(kind, name), **new} == made
    assert manager.api("GET", row) == made
    manager.api("POST", f"/{kind}", {**named(kind, name), **new}, status=409)
    changed = manager.api("PATCH", row, change)
    assert {**made, **change, "updated_at": changed["updated_at"]} == changed
    assert manager.api("PATCH", row, {}) == changed
    assert changed in manager.api("GET", f"/{kind}?per_page=1000")
    manager.api("DELETE", row, status=204)
    assert manager.api("GET", row, status=404)["detail"].startswith("there is no ")
    manager.api("DELETE", row, status=404)
    manager.api("PATCH", row, change, status=404)


def test_lists_come_in_pages_and_can_be_narrowed(manager: ManagerProcess) -> None:
    cluster = manager.api("POST", "/clusters", {"name": f"pages-{next(numbers)}"})["id"]
    for i in range(7):
        manager.api("POST", "/schedulers", {"hostname": f"p{i}", "ip": f"10.1.0.{i}", "cluster_id": cluster})
    path = f"/api/v1/schedulers?cluster_id={cluster}&state=inactive&per_page=3"
    seen = []
    for page in (1, 2, 3, 4):
        status, headers, rows = manager.http_call("GET", f"{path}&page={page}")
        seen += [row["hostname"] for row in rows]
        assert (status, headers["x-total-count"]) == (200, "7")
        assert ("link" in headers) == (page < 3)
    assert seen == [f"p{i}" for i in range(7)]
    assert manager.api("GET", f"/schedulers?cluster_id={cluster}&state=active") == []
    assert len(manager.api("GET", f"/schedulers?cluster_id={cluster}&hostname=p3&ip=10.1.0.3")) == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "detail"),
    [
        ("POST", "/clusters", {}, "name: "),
        ("POST", "/clusters", {"name": ""}, "name: "),
        ("POST", "/clusters", {"name": "n" * 257}, "name: "),
        ("POST", "/clusters", {"name": "x", "colour": "red"}, "colour: "),
        ("POST", "/clusters", {"name": "x", "scopes": {"cidrs": "10.0.0.0/8"}}, "scopes: cidrs: Expected `array`"),
        ("POST", "/clusters", {"name": "x", "scopes": {"cidrs": ["10.0.0.0/8", "10.0.0.0/99"]}}, "scopes: cidrs[1]: "),
        ("POST", "/clusters", {"name": "x", "scopes": {"hostnames": ["a", "("]}}, "scopes: hostnames[1]: is no RE2"),
        ("POST", "/clusters", {"name": "x", "scopes": {"hostnames": ["a" * 1025]}}, "scopes: hostnames[0]: is longer"),
        ("POST", "/clusters", {"name": "x", "scopes": {"cidrs": ["::/0"] * 10_001}}, "scopes: cidrs: has 10,001"),
        ("POST", "/clusters", {"name": "x", "config": {"candidate_parent_limit": 21}}, "config.candidate_parent_limit"),
        ("POST", "/clusters", b"{", "body: "),
        ("POST", "/clusters", [], "body: "),
        ("POST", "/seed-peer-clusters", {"name": "x", "scheduler_cluster_ids": [0]}, "scheduler_cluster_ids.0: "),
        ("POST", "/schedulers", {"hostname": "a b", "ip": "1.1.1.1", "cluster_id": 1}, "hostname: is no host name"),
        ("POST", "/schedulers", {"hostname": "a", "ip": "1.1.1", "cluster_id": 1}, "ip: is no IP address"),
        ("POST", "/schedulers", {"hostname": "a", "ip": "::1", "cluster_id": 10**6}, "cluster_id: there is no "),
        ("POST", "/schedulers", {"hostname": "a", "ip": "::1", "cluster_id": 10**30}, "cluster_id: "),
        ("POST", "/schedulers", {"hostname": "a", "ip": "::1", "cluster_id": 1, "port": 80}, "port: "),
        ("POST", "/schedulers", {"hostname": "a", "ip": "::1", "cluster_id": 1, "features": ["x"]}, "features.0: "),
        ("POST", "/applications", {"name": "x", "url": "no url"}, "url: "),
        ("POST", "/applications", {"name": "x", "url": "a:b", "priority": {"value": 21}}, "priority.value: "),
        ("GET", "/schedulers?colour=red", None, "colour: is no filter"),
        ("GET", "/schedulers?page=0", None, "page: "),
        ("GET", "/schedulers?per_page=1001", None, "per_page: "),
        ("GET", "/schedulers/x", None, "row_id: "),
        ("GET", "/discovery?hostname=&ip=1.1.1.1", None, "hostname: is no host name"),
        ("GET", "/discovery?hostname=a&ip=x", None, "ip: "),
        ("GET", "/discovery?hostname=a&ip=1.1.1.1&require=luck", None, "require: 'luck' is no term"),
    ],
)
def test_what_can_not_be_used_is_refused_with_its_field(
    manager: ManagerProcess, method: str, path: str, body: Any, detail: str
) -> None:
    before = manager.http_call("GET", "/metrics")[2].split(b"pilotage_manager_revision ")[1].split()[0]
    told = manager.api(method, path, body, status=422)
    assert told["detail"].startswith(detail), told
    after = manager.http_call("GET", "/metrics")[2].split(b"pilotage_manager_revision ")[1].split()[0]
    assert before == after, "nothing was changed"


def test_ten_thousand_networks_and_expressions_are_a_scope_like_another(manager: ManagerProcess) -> None:
    networks = [f"172.{16 + i // 256 % 16}.{i % 256}.{i // 4096 * 16}/28" for i in range(10_000)]
    expressions = [f"^node-{i}-" for i in range(10_000)]
    body = {"name": f"many-{next(numbers)}", "scopes": {"cidrs": networks, "hostnames": expressions}}
    made = manager.api("POST", "/clusters", body)
    told = manager.api("GET", "/discovery?hostname=node-7-x&ip=172.16.3.2")
    why = next(each["why"] for each in told["clusters"] if each["cluster_id"] == made["id"])
    assert (why["cidr"]["value"], why["hostname"]["value"]) == (1.0, 1.0)
    manager.api("DELETE", f"/clusters/{made['id']}")


def test_a_body_that_is_nested_too_deeply_is_refused(manager: ManagerProcess) -> None:
    manager.api("POST", "/clusters", b"[" * 100_000, status=400)
    manager.api("POST", "/clusters", b'{"name": "x", "scopes": ' + b'{"a":' * 50_000, status=400)


def test_a_body_over_the_bound_is_refused_before_it_is_read(manager: ManagerProcess) -> None:
    host, port = manager.http.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"POST /api/v1/clusters HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_metrics_tell_searches_by_client_and_hits_by_layer(manager: ManagerProcess, client: Any) -> None:
    cluster = manager.api("POST", "/clusters", {"name": f"m-{next(numbers)}"})["id"]
    me = {"hostname": "measured", "ip": "10.0.0.9"}
    client.call("v2", "UpdateScheduler", **me, port=8002, scheduler_cluster_id=cluster)
    client.open("m")
    client.send("m", **me, cluster_id=cluster)
    while "measured" not in client.hostnames():
        pass
    host = {"hostname": "h", "ip": "10.0.0.1", "version": "2.4.2", "commit": "c0ffee"}
    for _ in range(3):
        client.hostnames(**host)
    text = manager.http_call("GET", "/metrics")[2].decode()
    assert 'search_scheduler_cluster_total{commit="c0ffee",version="2.4.2"} 3.0' in text
    assert 'search_scheduler_cluster_failure_total{commit="c0ffee",version="2.4.2"} 0.0' in text
    assert 'pilotage_manager_rankings_total{layer="request"}' in text
    assert "pilotage_manager_streams 1.0" in text
    client.close("m")


# ---------------------------------------------------------------- whatever the description allows, and more


@pytest.fixture(scope="module")
def schema(manager: ManagerProcess) -> Iterator[Any]:
    return schemathesis.openapi.from_url(f"{manager.http}/openapi.json")


CASES = 6 if os.environ.get("HYPOTHESIS_PROFILE") != "thorough" else 200


def test_no_request_of_the_description_makes_it_fail(schema: Any) -> None:
    """Every operation, with generated values: an answer, never a server error, and what the description says."""
    asked = 0
    for operation in (each.ok() for each in schema.get_all_operations()):

        @given(case=operation.as_strategy())
        @settings(max_examples=CASES, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        def ask(case: Any) -> None:
            nonlocal asked
            asked += 1
            response = case.call(timeout=20)
            assert response.status_code < 500, f"{case.as_curl_command()}: {response.text}"

        ask()
    assert asked > 60


@given(body=st.binary(max_size=300), kind=st.sampled_from(sorted(KINDS)))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_make_it_fail(manager: ManagerProcess, body: bytes, kind: str) -> None:
    status, _, told = manager.http_call("POST", f"/api/v1/{kind}", body)
    assert status in (400, 422), told
