"""Both wire forms against the messages and clients that Dragonfly publishes."""

from __future__ import annotations

import base64
import itertools
import json
from typing import Any

import pytest

from tests.manager.clients import Client, Refused, create_model
from tests.manager.process import BOUND_S, ManagerProcess, wait_until
from tests.registry.test_searcher import CURRENT_CASES

numbers = itertools.count(1)


def text(data: str) -> Any:
    """JSON in a bytes field, as protojson shows it."""
    return json.loads(base64.b64decode(data))


@pytest.fixture
def cluster(manager: ManagerProcess) -> int:
    """A new scheduler cluster."""
    body = {"name": f"wire-{next(numbers)}", "config": {"filter_parent_limit": 20}}
    return int(manager.api("POST", "/clusters", body)["id"])


def registered(client: Client, cluster: int, hostname: str, service: str = "v2", **more: Any) -> dict[str, Any]:
    request = {"hostname": hostname, "ip": "10.0.0.9", "port": 8002, "scheduler_cluster_id": cluster, **more}
    return client.call(service, "UpdateScheduler", **request)


def alive(client: Client, cluster: int, hostname: str, service: str = "v2") -> str:
    """Open a stream for a registered scheduler and wait until it counts; its name is the hostname."""
    client.open(hostname, service)
    client.send(hostname, hostname=hostname, ip="10.0.0.9", cluster_id=cluster)
    wait_until(lambda: hostname in client.hostnames(), BOUND_S)
    return hostname


@pytest.mark.parametrize("service", ["v1", "v2"])
def test_a_scheduler_registers_lives_is_listed_and_leaves(client: Client, cluster: int, service: str) -> None:
    name = f"one-{service}"
    made = registered(client, cluster, name, service, idc="hz", location="cn|zj")
    assert made["state"] == "inactive"
    assert made["port"] == 8002
    assert (made["idc"], made["location"]) == ("hz", "cn|zj")
    assert text(made["features"]) == ["schedule", "preheat"]
    assert int(made["scheduler_cluster_id"]) == cluster
    assert "scheduler_cluster" not in made
    assert name not in client.hostnames(service)

    alive(client, cluster, name, service)
    listed = client.call(service, "ListSchedulers", hostname="host-1", ip="10.0.0.1")["schedulers"]
    mine = next(each for each in listed if each["hostname"] == name)
    assert mine["state"] == "active"
    if service == "v2":
        assert text(mine["scheduler_cluster"]["config"]) == {"filter_parent_limit": 20}
        assert mine["scheduler_cluster"].keys() >= {"config", "client_config", "scopes", "seed_client_config"}
    else:
        assert "scheduler_cluster" not in mine
    got = client.call(service, "GetScheduler", hostname=name, ip="10.0.0.9", scheduler_cluster_id=cluster)
    assert (got["state"], text(got["scheduler_cluster"]["scopes"])) == ("active", {})

    client.close(name)
    wait_until(lambda: name not in client.hostnames(service), BOUND_S)
    got = client.call(service, "GetScheduler", hostname=name, scheduler_cluster_id=cluster)
    assert got["state"] == "inactive"


def test_what_a_scheduler_does_not_say_stays_and_a_new_port_is_taken_over(client: Client, cluster: int) -> None:
    first = registered(client, cluster, "moves", idc="a", features=["schedule"], config=encoded({"x": 1}))
    again = registered(client, cluster, "moves", port=8003)
    assert (again["id"], again["port"], again["idc"]) == (first["id"], 8003, "a")
    assert text(again["features"]) == ["schedule"]
    assert registered(client, cluster, "moves", idc="")["idc"] == "", "the second form can say empty"


def encoded(value: Any) -> str:
    return base64.b64encode(json.dumps(value).encode()).decode()


def test_without_the_feature_schedule_nobody_is_told(client: Client, cluster: int) -> None:
    registered(client, cluster, "listed")
    alive(client, cluster, "listed")
    registered(client, cluster, "hidden", features=["preheat"])
    client.open("hidden")
    client.send("hidden", hostname="hidden", ip="10.0.0.9", cluster_id=cluster)
    told = {"hostname": "hidden", "scheduler_cluster_id": cluster}
    wait_until(lambda: client.call("v2", "GetScheduler", **told)["state"] == "active", BOUND_S)
    assert "hidden" not in client.hostnames("v1")
    assert client.hostnames(scheduler_cluster_id=cluster) == ["listed"]
    client.close("hidden")
    client.close("listed")


def test_a_request_that_names_a_cluster_gets_its_schedulers_only(client: Client, cluster: int) -> None:
    registered(client, cluster, "named")
    assert client.hostnames(scheduler_cluster_id=cluster) == []
    alive(client, cluster, "named")
    assert client.hostnames(scheduler_cluster_id=cluster) == ["named"]
    with pytest.raises(Refused, match="NotFound: there is no scheduler cluster 999999"):
        client.hostnames(scheduler_cluster_id=999_999)
    client.close("named")


@pytest.mark.parametrize("service", ["v1", "v2"])
def test_seed_peers(client: Client, manager: ManagerProcess, cluster: int, service: str) -> None:
    seeds = manager.api("POST", "/seed-peer-clusters", {"name": f"s-{cluster}", "scheduler_cluster_ids": [cluster]})
    seed = {"hostname": f"seed-{service}", "ip": "10.9.9.9", "seed_peer_cluster_id": seeds["id"]}
    ports = {"port": 65000, "download_port": 65002, "type": "super"}
    if service == "v1":
        ports["object_storage_port"] = 65004
    made = client.call(service, "UpdateSeedPeer", **seed, **ports, idc="hz")
    assert made["state"] == "active"
    assert made.get("object_storage_port", 0) == ports.get("object_storage_port", 0)
    scheduler = f"with-seed-{service}"
    registered(client, cluster, scheduler)
    alive(client, cluster, scheduler)

    listed = client.call(service, "ListSchedulers", hostname="host-1", ip="10.0.0.1")["schedulers"]
    mine = next(each for each in listed if each["hostname"] == scheduler)
    assert [each["hostname"] for each in mine["seed_peers"]] == [seed["hostname"]]
    assert ("seed_peer_cluster" in mine["seed_peers"][0]) == (service == "v2")
    got = client.call(service, "GetSeedPeer", **seed)
    assert [each["hostname"] for each in got["schedulers"]] == [scheduler]
    assert got["seed_peer_cluster"]["name"] == f"s-{cluster}"
    here = {"hostname": seed["hostname"], "ip": seed["ip"]}
    peers = client.call(service, "ListSeedPeers", **here)["seed_peers"]
    assert [each["hostname"] for each in peers] == [seed["hostname"]]
    with pytest.raises(Refused, match="NotFound"):
        client.call(service, "ListSeedPeers", hostname="nobody", ip="10.9.9.9")

    client.open("seed", service)
    client.send(
        "seed", source_type="SEED_PEER_SOURCE", hostname=seed["hostname"], ip=seed["ip"], cluster_id=seeds["id"]
    )
    client.close("seed")
    wait_until(lambda: client.call(service, "GetSeedPeer", **seed)["state"] == "inactive", BOUND_S)
    with pytest.raises(Refused, match="NotFound: no seed peer of cluster"):
        client.call(service, "ListSeedPeers", **here)
    assert client.call("v2", "DeleteSeedPeer", **seed) == {}
    with pytest.raises(Refused, match="NotFound"):
        client.call("v2", "DeleteSeedPeer", **seed)
    client.close(scheduler)


def test_applications(client: Client, manager: ManagerProcess) -> None:
    for service in ("v1", "v2"):
        with pytest.raises(Refused, match="NotFound: no application has a priority"):
            client.call(service, "ListApplications", hostname="h", ip="1.1.1.1")
    body = {"name": "blobs", "url": "https://blobs.example/x", "priority": {"value": 3, "urls": []}}
    body["priority"]["urls"] = [{"regex": "blobs.*", "value": 1}]
    made = manager.api("POST", "/applications", body)
    manager.api("POST", "/applications", {"name": "plain", "url": "https://plain.example"})
    for service in ("v1", "v2"):
        (told,) = client.call(service, "ListApplications", hostname="h", ip="1.1.1.1")["applications"]
        assert (told["name"], told["url"], int(told["id"])) == ("blobs", body["url"], made["id"])
        assert told["priority"] == {"value": "LEVEL3", "urls": [{"regex": "blobs.*", "value": "LEVEL1"}]}


@pytest.mark.parametrize("service", ["manager.Manager", "manager.v2.Manager"])
def test_models_of_old_clients(client: Client, manager: ManagerProcess, cluster: int, service: str) -> None:
    name = "trained-" + service.replace(".", "-").lower()
    scheduler = int(registered(client, cluster, name)["id"])
    assert create_model(manager.grpc, service, "gnn", "nobody", "10.0.0.9", "x").startswith("NotFound")
    for data in ("first", "second"):
        assert create_model(manager.grpc, service, "gnn", name, "10.0.0.9", data) == "OK"
    assert create_model(manager.grpc, service, "mlp", name, "10.0.0.9", "third") == "OK"
    assert create_model(manager.grpc, service, "mlp", name, "10.0.0.9", "").startswith("InvalidArgument create_mlp")
    assert create_model(manager.grpc, service, "none", name, "10.0.0.9", "x").startswith("InvalidArgument request")

    models = manager.api("GET", f"/models?scheduler_id={scheduler}")
    assert [(each["type"], each["version"], each["state"]) for each in models] == [
        ("gnn", 1, "inactive"),
        ("gnn", 2, "inactive"),
        ("mlp", 1, "inactive"),
    ]
    assert models[0]["evaluation"] == {"recall": 0.5, "precision": 0.25, "f1_score": 0.75}
    assert models[2]["evaluation"] == {"mse": 2.5, "mae": 1.5}
    assert manager.api("GET", f"/models/{models[1]['id']}/data") == b"second"

    for model in (models[0], models[2], models[1]):
        manager.api("PATCH", f"/models/{model['id']}", {"state": "active"})
    states = [each["state"] for each in manager.api("GET", f"/models?scheduler_id={scheduler}")]
    assert states == ["inactive", "active", "active"], "one active model of each type"
    manager.api("DELETE", f"/models/{models[1]['id']}", status=409)
    manager.api("DELETE", f"/models/{models[0]['id']}")
    assert len(manager.api("GET", f"/models?scheduler_id={scheduler}")) == 2


def test_health(client: Client) -> None:
    assert client.health("manager.v2.Manager") == "SERVING"
    assert client.health("manager.Manager") == "SERVING"


SEED = {"hostname": "a", "ip": "::1", "port": 8000, "download_port": 8001, "seed_peer_cluster_id": 1, "type": "super"}


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("ListSchedulers", {"hostname": "a b", "ip": "1.1.1.1"}, "hostname"),
        ("ListSchedulers", {"hostname": "", "ip": "1.1.1.1"}, "hostname"),
        ("ListSchedulers", {"hostname": "a", "ip": "1.1.1"}, "ip"),
        ("ListSchedulers", {"hostname": "a", "ip": "1.1.1.1", "version": "v" * 1025}, "version"),
        ("GetScheduler", {"hostname": "a", "scheduler_cluster_id": 0}, "scheduler_cluster_id"),
        ("GetSeedPeer", {"hostname": "a", "seed_peer_cluster_id": 1, "ip": "x"}, "ip"),
        ("GetSeedPeer", {"source_type": 7, "hostname": "a", "seed_peer_cluster_id": 1}, "source_type"),
        ("UpdateScheduler", {"hostname": "a", "ip": "1.1.1.1", "port": 80, "scheduler_cluster_id": 1}, "port"),
        ("UpdateSeedPeer", {**SEED, "type": "x"}, "type"),
        ("UpdateSeedPeer", {**SEED, "download_port": 1}, "download_port"),
        ("UpdateSeedPeer", {**SEED, "port": 65535}, "port"),
    ],
)
@pytest.mark.parametrize("service", ["v1", "v2"])
def test_a_broken_rule_names_its_field(
    client: Client, service: str, method: str, request_: dict[str, Any], field: str
) -> None:
    with pytest.raises(Refused, match=f"^InvalidArgument: {field}: "):
        client.call(service, method, **request_)


def test_rankings_over_the_wire(client: Client, manager: ManagerProcess) -> None:
    """Cases S7 and S8 with a scheduler in each cluster, by both forms: the first says its place in host_info."""
    for case in ("S7", "S8"):
        given, host, expected = CURRENT_CASES[case]
        place = {"idc": host.idc, "location": host.location}
        made = {}
        for cluster in given:
            body = {
                "name": f"{case}-{cluster.name}",
                "scopes": json.loads(cluster.scopes),
                "is_default": cluster.is_default,
            }
            made[cluster.name] = manager.api("POST", "/clusters", body)["id"]
            registered(client, made[cluster.name], f"{case.lower()}-{cluster.name}")
            alive(client, made[cluster.name], f"{case.lower()}-{cluster.name}")
        who = {"hostname": host.hostname, "ip": host.ip}
        for told in (client.hostnames("v2", **who, **place), client.hostnames("v1", **who, host_info=place)):
            mine = [name for name in told if name.startswith(case.lower())]
            assert mine == [f"{case.lower()}-{name}" for name in expected]
        query = f"/discovery?hostname={host.hostname}&ip={host.ip}&idc={host.idc}&location={host.location}"
        why = {each["name"]: each["score"] for each in manager.api("GET", query)["clusters"]}
        assert {name: why[f"{case}-{name}"] for name in expected} == expected
        for name, row in made.items():
            client.close(f"{case.lower()}-{name}")
            for scheduler in manager.api("GET", f"/schedulers?cluster_id={row}"):
                manager.api("DELETE", f"/schedulers/{scheduler['id']}")
            manager.api("DELETE", f"/clusters/{row}")
