"""What comes from outside: samples that ship are read, and what is wrong is named with its place."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pilotage.app.config import load_config
from pilotage.app.vms.desk import read_request_file, read_requests
from pilotage.app.vms.inventory import parse_hosts, read_inventory
from pilotage.model.errors import InvalidInput
from pilotage.model.vm import LARGEST_BODY_BYTES, parse_request

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_samples_are_read() -> None:
    hosts = [
        host
        for name in ("hosts.yaml", "hosts.csv")
        for host in asyncio.run(read_inventory(f"{ROOT}/examples/vms/{name}"))
    ]
    assert [host.name for host in hosts] == ["bm01", "bm02", "bm03", "bm04", "bm11", "bm12"]
    assert hosts[0].capacity() == {"cpu": 11, "memory": 19_660, "storage": 1000, "gpu": 0, "vms": 15}
    assert hosts[2].capacity()["cpu"] == 256
    assert hosts[4].traits == ("ssd", "avx512")
    assert len(read_request_file(f"{ROOT}/examples/vms/requests.jsonl")) == 5
    assert load_config(f"{ROOT}/configs/config.yaml", {}).settings.vms.strategy == "hybrid"


@pytest.mark.parametrize(
    ("data", "form", "told"),
    [
        (b"{", "json", "is not JSON"),
        (b"[1]", "json", "host number 1"),
        (b'{"a": 1}', "json", "must hold a list of hosts"),
        (b'[{"name": "a", "cpu": 1}]', "json", "host a: Object missing required field `memory`"),
        (b'[{"name": "a", "cpu": -1, "memory": 1}]', "json", "host a: .*`int` >= 0"),
        (b'[{"name": "a", "cpu": 1, "memory": 1, "colour": 1}]', "json", "unknown field `colour`"),
        (
            b'[{"name": "a", "cpu": 1, "memory": 1, "reserved_cpu": 2}]',
            "json",
            "reserved_cpu: is more than the host has",
        ),
        (b"name,cpu,memory\na,x,1", "csv", "host a: .*`int`"),
        (b"name,cpu\na,1,2", "csv", ":2 has more cells"),
        (b"a: [", "yaml", "is not YAML"),
        (b"\xff", "json", "is not UTF-8"),
    ],
)
def test_an_inventory_that_is_wrong_is_named(data: bytes, form: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        parse_hosts(data, form, "hosts")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"x" * (LARGEST_BODY_BYTES + 1), "body"),
        (b"\xff", "body"),
        (b'{"requested_cpu": NaN}', "body"),
        (b'{"requested_cpu": 1.5, "requested_memory": 1, "requested_pool": "a"}', "requested_cpu"),
        (b'{"requested_cpu": true, "requested_memory": 1, "requested_pool": "a"}', "requested_cpu"),
        (b'{"requested_cpu": 1, "requested_memory": 1, "requested_pool": ""}', "requested_pool"),
        (b'{"requested_cpu": 1, "requested_memory": 1, "requested_pool": "a", "task_id": "a b"}', "task_id"),
        (
            b'{"requested_cpu": 1, "requested_memory": 1, "requested_pool": "a", "group": {"name": "g", "rule": "x"}}',
            "group.rule",
        ),
        (
            b'{"requested_cpu": 1, "requested_memory": 1, "requested_pool": "a",'
            b' "group": {"name": "g", "rule": "affinity", "scope": "planet"}}',
            "group.scope",
        ),
    ],
)
def test_a_request_that_is_wrong_names_its_field(body: bytes, field: str) -> None:
    with pytest.raises(InvalidInput) as told:
        parse_request(body, "id")
    assert told.value.field == field


def test_requests_from_csv_have_their_types() -> None:
    text = "requested_cpu,requested_memory,requested_pool,dedicated,group.name,group.rule\n4,8192,7,true,g,affinity\n"
    (wanted,) = read_requests(text, "csv", "x.csv")
    assert (wanted.requested_cpu, wanted.requested_pool, wanted.dedicated) == (4, "7", True)
    assert wanted.group is not None
    with pytest.raises(InvalidInput, match=r"x\.csv:2: requested_memory: is missing"):
        read_requests("requested_cpu\n4\n", "csv", "x.csv")
