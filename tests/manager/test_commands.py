"""What people type: clusters made, changed and deleted, and what a host would be told, on a running manager."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_simulate import pilotage
from tests.manager.clients import Client, Refused
from tests.manager.process import BOUND_S, ManagerProcess, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def typed(manager: ManagerProcess, folder: Path, *words: str) -> str:
    done = pilotage(*words, "--manager", manager.http, folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_users_path(manager: ManagerProcess, client: Client, tmp_path: Path) -> None:
    said = typed(manager, tmp_path, "cluster", "create", "hz", "--idc", "hz-1|hz-2", "--cidr", "10.1.0.0/16")
    assert said == "created cluster 2 (hz): idc hz-1|hz-2; cidrs 10.1.0.0/16\n"
    typed(
        manager,
        tmp_path,
        "cluster",
        "update",
        "hz",
        "--hostname",
        "^hz-",
        "--idc",
        "",
        "--settings",
        '{"job_rate_limit":7}',
    )
    (hz,) = [row for row in json.loads(typed(manager, tmp_path, "cluster", "list", "--json")) if row["name"] == "hz"]
    assert hz["scopes"] == {"cidrs": ["10.1.0.0/16"], "hostnames": ["^hz-"]}
    assert hz["config"] == {"job_rate_limit": 7}

    me = {"hostname": "s1", "ip": "10.1.0.9"}
    client.call("v2", "UpdateScheduler", **me, port=8002, scheduler_cluster_id=hz["id"])
    client.open("s1")
    client.send("s1", **me, cluster_id=hz["id"])
    wait_until(lambda: client.hostnames() == ["s1"], BOUND_S)
    table = typed(manager, tmp_path, "schedulers", "--for", "hz-7", "--ip", "10.1.2.3")
    first, second = (line.split() for line in table.splitlines()[2:4])
    assert first[:3] == ["1", "hz", "0.6"]
    assert first[-2:] == ["s1", "10.1.0.9:8002"]
    assert second[:3] == ["2", "cluster-1", "0.01"]
    told = json.loads(
        typed(manager, tmp_path, "schedulers", "--for", "x", "--ip", "10.1.2.3", "--require", "cidr", "--json")
    )
    assert [cluster["name"] for cluster in told["clusters"]] == ["hz"]
    assert "s1" in typed(manager, tmp_path, "schedulers")
    client.close("s1")
    refused = pilotage("cluster", "delete", "hz", "--manager", manager.http, folder=tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == f"error: manager: cluster {hz['id']} still has members (1); delete them first\n"


def test_a_manager_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = pilotage("cluster", "list", "--manager", "http://127.0.0.1:9", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: manager: http://127.0.0.1:9 does not answer")
    assert done.stderr.count("\n") == 1


# ---------------------------------------------------------------- status codes as Dragonfly has them


@pytest.fixture(scope="module")
def compatible(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagerProcess]:
    folder = tmp_path_factory.mktemp("compatible")
    database = f"sqlite:///{folder}/m.sqlite3"
    running = ManagerProcess(folder, database, compatibility="dragonfly", keep_alive_interval_s="30").start()
    yield running
    assert running.stop() == 0


NAMED = {"hostname": "nobody", "ip": "10.0.0.1"}


@pytest.mark.parametrize(
    ("method", "more", "code"),
    [
        ("GetScheduler", {"scheduler_cluster_id": 1}, "Internal"),
        ("GetSeedPeer", {"seed_peer_cluster_id": 1}, "Internal"),
        ("ListSeedPeers", {}, "Internal"),
        ("ListApplications", {}, "NotFound"),
        ("ListSchedulers", {"scheduler_cluster_id": 77}, "Unknown"),
        ("ListSchedulers", {"ip": "x"}, "InvalidArgument"),
        ("UpdateScheduler", {"port": 8002, "scheduler_cluster_id": 77}, "Internal"),
    ],
)
def test_codes_of_dragonfly(compatible: ManagerProcess, method: str, more: dict[str, object], code: str) -> None:
    client = Client(compatible.grpc)
    with pytest.raises(Refused, match=f"^{code}: "):
        client.call("v2", method, **{**NAMED, **more})
    client.end()


def test_what_else_the_switch_changes(compatible: ManagerProcess) -> None:
    client = Client(compatible.grpc)
    assert client.call("v2", "DeleteSeedPeer", **NAMED, seed_peer_cluster_id=1) == {}
    client.call("v2", "UpdateScheduler", **NAMED, port=8002, scheduler_cluster_id=1)
    assert client.hostnames(scheduler_cluster_id=1) == ["nobody"], "a request that names a cluster sees its dead"
    assert client.hostnames() == []
    client.open("unknown")
    client.send("unknown", hostname="stranger", ip="10.0.0.1", cluster_id=1)
    with pytest.raises(Refused, match=r"^Internal: "):
        client.close("unknown")
    client.end()
