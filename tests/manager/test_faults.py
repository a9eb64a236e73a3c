"""Processes die, hang, are stopped and come back: nobody is wrongly listed after the bound, nobody wrongly missed."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from tests.integration.postgres import Postgres, running_postgres
from tests.manager.beating import Beating
from tests.manager.clients import Client, Refused
from tests.manager.process import BOUND_S, INTERVAL_S, ManagerProcess, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEASE_S = 3 * INTERVAL_S


class Site:
    """Managers, schedulers and hosts of one test; everything ends with it."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self.folder = folder
        self._stack = stack

    def manager(self, database: str = "", **settings: str) -> ManagerProcess:
        running = ManagerProcess(self.folder, database or f"sqlite:///{self.folder}/m.sqlite3", **settings).start()
        self._stack.callback(running.kill)
        return running

    def scheduler(self, hostname: str, *managers: ManagerProcess) -> Beating:
        running = Beating(hostname, [manager.grpc for manager in managers])
        self._stack.callback(running.kill)
        return running

    def host(self, manager: ManagerProcess) -> Client:
        running = Client(manager.grpc)
        self._stack.callback(running.kill)
        return running


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        yield Site(tmp_path, stack)


def stays(host: Client, expected: list[str], for_s: float) -> None:
    """What is listed does not change for a while."""
    until = time.monotonic() + for_s
    while time.monotonic() < until:
        assert sorted(host.hostnames()) == expected
        time.sleep(0.05)


def test_a_killed_scheduler_is_gone_at_once_and_a_hung_one_after_its_lease(site: Site) -> None:
    manager = site.manager()
    host = site.host(manager)
    killed, hung, well = (site.scheduler(name, manager) for name in ("killed", "hung", "well"))
    wait_until(lambda: len(host.hostnames()) == 3, BOUND_S)
    killed.kill()
    took = wait_until(lambda: "killed" not in host.hostnames(), BOUND_S)
    assert took < LEASE_S, "its connection was cut: nobody has to wait for the lease"
    hung.pause()
    wait_until(lambda: host.hostnames() == ["well"], BOUND_S)
    stays(host, [well.hostname], LEASE_S)


def test_the_end_of_an_old_stream_leaves_a_scheduler_that_reconnected(site: Site) -> None:
    manager = site.manager(keep_alive_interval_s="10")
    host, client = site.host(manager), site.host(manager)
    site.scheduler("s", manager)
    wait_until(lambda: host.hostnames() == ["s"], BOUND_S)
    me = {"hostname": "s", "ip": "10.0.0.9", "cluster_id": 1}
    for count, name in ((2, "older"), (3, "newer")):
        client.open(name)
        client.send(name, **me)
        streams = f"pilotage_manager_streams {count}.0".encode()
        wait_until(lambda told=streams: told in manager.http_call("GET", "/metrics")[2], BOUND_S)
    client.close("older")
    stays(host, ["s"], LEASE_S)
    client.cancel("newer")
    stays(host, ["s"], INTERVAL_S)


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_manager_that_comes_back_knows_who_lived_and_finds_out_who_died(site: Site, how: str) -> None:
    manager = site.manager()
    site.scheduler("well", manager)
    dead = site.scheduler("dead", manager)
    wait_until(lambda: len(site.host(manager).hostnames()) == 2, BOUND_S)
    manager.kill() if how == "kill" else manager.stop()
    dead.kill()
    manager.start()
    host = site.host(manager)
    assert "well" in host.hostnames(), "what the store knows is told at once"
    wait_until(lambda: host.hostnames() == ["well"], BOUND_S)
    stays(host, ["well"], LEASE_S)


def test_a_manager_that_was_frozen_blames_nobody_for_what_it_did_not_hear(site: Site) -> None:
    manager = site.manager()
    host = site.host(manager)
    site.scheduler("well", manager)
    wait_until(lambda: host.hostnames() == ["well"], BOUND_S)
    manager.pause()
    time.sleep(2 * LEASE_S)
    manager.resume()
    stays(host, ["well"], LEASE_S)


def test_a_scheduler_that_hangs_and_wakes_is_listed_again(site: Site) -> None:
    manager = site.manager()
    host = site.host(manager)
    client = site.host(manager)
    me = {"hostname": "s", "ip": "10.0.0.9"}
    client.call("v2", "UpdateScheduler", **me, port=8002, scheduler_cluster_id=1)
    client.open("a")
    client.send("a", **me, cluster_id=1)
    wait_until(lambda: host.hostnames() == ["s"], BOUND_S)
    wait_until(lambda: host.hostnames() == [], BOUND_S)
    with pytest.raises(Refused, match="DeadlineExceeded"):
        client.close("a")
    client.open("b")
    client.send("b", **me, cluster_id=1)
    wait_until(lambda: host.hostnames() == ["s"], BOUND_S)


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A PostgreSQL of this test's own, to be stopped."""
    with running_postgres() as running:
        yield running


def test_two_managers_on_one_database(site: Site, server: Postgres) -> None:
    database = server.database()
    one, two = site.manager(database), site.manager(database)
    hosts = site.host(one), site.host(two)
    site.scheduler("moves", one, two)
    site.scheduler("stays", two)
    lost = site.scheduler("lost", one)
    everyone = ["lost", "moves", "stays"]
    for host in hosts:
        wait_until(lambda host=host: sorted(host.hostnames()) == everyone, BOUND_S)
    two.http_call("POST", "/api/v1/clusters", {"name": "by-two"})
    wait_until(lambda: len(one.api("GET", "/clusters")) == 2, BOUND_S)

    lost.pause()
    one.kill()
    seen = set()
    until = time.monotonic() + BOUND_S
    while time.monotonic() < until:
        told = hosts[1].hostnames()
        seen.add(tuple(sorted(told)))
        assert {"moves", "stays"} <= set(told), "who found the other manager was never missed"
        time.sleep(0.05)
    assert hosts[1].hostnames() == ["moves", "stays"]
    one.start()
    back = site.host(one)
    wait_until(lambda: back.hostnames() == ["moves", "stays"], BOUND_S)
    stays(back, ["moves", "stays"], LEASE_S)


def test_a_database_that_is_away_and_comes_back(site: Site, server: Postgres) -> None:
    manager = site.manager(server.database())
    host = site.host(manager)
    site.scheduler("well", manager)
    dies = site.scheduler("dies", manager)
    wait_until(lambda: len(host.hostnames()) == 2, BOUND_S)
    server.stop(kill=True)
    stays(host, ["dies", "well"], LEASE_S)
    dies.kill()
    wait_until(lambda: host.hostnames() == ["well"], BOUND_S)
    wait_until(lambda: manager.http_call("GET", "/readyz")[0] == 503, 20)
    place = {"hostname": "new", "ip": "10.0.0.9", "port": 8002, "scheduler_cluster_id": 1}
    with pytest.raises(Refused, match="Unavailable"):
        host.call("v2", "UpdateScheduler", **place)
    server.start()
    wait_until(lambda: manager.http_call("GET", "/readyz")[0] == 200, 20)
    stays(host, ["well"], LEASE_S + 1)
    assert manager.api("GET", "/schedulers?state=inactive")[0]["hostname"] == "dies"
    site.scheduler("new", manager)
    wait_until(lambda: sorted(host.hostnames()) == ["new", "well"], BOUND_S)
    assert '"level": "error"' not in manager.log()


def test_a_flood_of_streams_is_bounded_and_does_not_keep_hosts_waiting(site: Site) -> None:
    manager = site.manager(streams="200")
    host, flood = site.host(manager), site.host(manager)
    site.scheduler("well", manager)
    wait_until(lambda: host.hostnames() == ["well"], BOUND_S)
    refused = 0
    for number in range(300):
        flood.open(f"f{number}")
        with contextlib.suppress(Refused):
            flood.send(f"f{number}", hostname="well", ip="10.0.0.9", cluster_id=1)
    started = time.monotonic()
    assert host.hostnames() == ["well"]
    assert time.monotonic() - started < 1
    time.sleep(INTERVAL_S)  # in which the scheduler itself speaks
    for number in range(300):
        try:
            flood.close(f"f{number}")
        except Refused as refusal:
            refused += refusal.code == "ResourceExhausted"
    assert refused >= 100
    stays(host, ["well"], LEASE_S)
