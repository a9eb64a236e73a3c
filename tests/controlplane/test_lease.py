"""One worker leads at a time by a Lease of a real API server, and its writes are fenced by the database."""

from __future__ import annotations

import asyncio
import os
import ssl
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pilotage.adapters.kubernetes.kubeconfig import Access, find_access
from pilotage.adapters.kubernetes.lease import ClusterLease
from pilotage.adapters.sql.engine import open_engine
from pilotage.adapters.sql.migrate import migrate
from pilotage.adapters.sql.writer import Writer
from pilotage.app.vms.lead import KubernetesLeadership
from pilotage.model.errors import InvalidInput, LeaseLost
from tests.controlplane.cluster import any_named

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.controlplane.cluster import ControlPlane

pytestmark = pytest.mark.asyncio
PATH = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def candidates(plane: ControlPlane, name: str, count: int = 2) -> AsyncIterator[tuple[list[ClusterLease], Clock]]:
    clock = Clock()
    access = find_access(str(plane.kubeconfig), None, {})
    made = [ClusterLease(access, "default", name, holder=f"w{i}", duration_s=10, monotonic=clock) for i in range(count)]
    try:
        yield made, clock
    finally:
        for each in made:
            await each.close()


def spec(plane: ControlPlane, name: str) -> dict[str, Any]:
    told: dict[str, Any] = plane.client.call("GET", f"{PATH}/{name}")["spec"]
    return told


async def test_of_many_candidates_one_leads_and_a_silent_one_is_replaced(plane: ControlPlane) -> None:
    async with candidates(plane, "race", 6) as (all_of_them, clock):
        assert sum(await asyncio.gather(*(each.take() for each in all_of_them))) == 1, "creating it is a race"
        leader = next(each for each in all_of_them if each.held_until)
        others = [each for each in all_of_them if each is not leader]
        assert spec(plane, "race")["holderIdentity"] == await others[0].holder()
        assert spec(plane, "race")["leaseDurationSeconds"] == 10

        clock.now += 9
        assert await leader.renew()
        assert leader.held_until == clock.now + 10
        clock.now += 9
        assert not any(await asyncio.gather(*(each.take() for each in others))), "it was renewed: seen anew"
        clock.now += 10.5
        assert sum(await asyncio.gather(*(each.take() for each in others))) == 1, "silent for longer than it said"
        assert spec(plane, "race")["leaseTransitions"] == 1
        assert not await leader.renew(), "somebody else leads"


async def test_a_role_that_is_given_up_is_free_at_once(plane: ControlPlane) -> None:
    async with candidates(plane, "handover") as ((first, second), _):
        assert await first.take()
        assert not await second.take()
        await first.release()
        assert spec(plane, "handover")["holderIdentity"] == ""
        assert await second.take()
        assert await second.holder() == "w1"
        await first.release()
        assert await second.renew(), "who does not lead releases nothing"


async def test_whoever_writes_in_between_is_noticed(plane: ControlPlane) -> None:
    async with candidates(plane, "meddled") as ((first, second), _):
        assert await first.take()
        found = plane.client.call("GET", f"{PATH}/meddled")
        found["spec"]["holderIdentity"] = "kubectl"
        plane.client.call("PUT", f"{PATH}/meddled", found)
        assert not await first.renew()
        assert await second.holder() == "kubectl"
        plane.client.call("DELETE", f"{PATH}/meddled")
        assert await second.take()


async def test_what_is_missing_is_named(plane: ControlPlane) -> None:
    certificate, key = plane.issue("stranger", "nobody")
    known = find_access(str(plane.kubeconfig), None, {})
    tls = ssl.create_default_context(cafile=plane.folder / "certificates" / "apiserver.crt")
    tls.load_cert_chain(certificate, key)
    lease = ClusterLease(Access(known.server, "stranger", tls), "default", "x", holder="w", duration_s=10)
    with pytest.raises(InvalidInput, match="get, create, update on leases will do"):
        await lease.take()
    await lease.close()
    gone = ClusterLease(Access("http://127.0.0.1:9", "nowhere"), "default", "x", holder="w", duration_s=10)
    with pytest.raises(InvalidInput, match="can not be asked"):
        await gone.take()
    await gone.close()


async def test_a_leader_that_was_replaced_writes_no_more(plane: ControlPlane, tmp_path: Path) -> None:
    """The Lease is taken from a leader that does not know it yet: what it writes is refused by the database."""
    database = open_engine(f"sqlite:///{tmp_path}/vms.sqlite3")
    migrate(database, "vms")
    async with candidates(plane, "workers") as ((first, second), clock):
        lost = asyncio.Event()
        old, new = KubernetesLeadership(database, 10, first), KubernetesLeadership(database, 10, second)
        await old.win(lambda: None)
        writer = Writer(database, fence=old)
        assert await asyncio.wrap_future(writer.run(lambda c: 1)) == 1

        assert not await second.take(), "seen for the first time"
        clock.now += 10.5
        await asyncio.wait_for(new.win(lost.set), 10)
        with pytest.raises(LeaseLost):
            await asyncio.wrap_future(writer.run(lambda c: 1))
        fresh = Writer(database, fence=new)
        assert await asyncio.wrap_future(fresh.run(lambda c: 2)) == 2

        await old.give_up()
        assert await asyncio.wrap_future(fresh.run(lambda c: 3)) == 3, "the old one frees nothing that is not its own"
        await new.give_up()
        assert spec(plane, "workers")["holderIdentity"] == ""
        writer.close()
        fresh.close()
    database.dispose()


async def test_workers_hand_over_whether_killed_or_stopped(plane: ControlPlane, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "KUBECONFIG": str(plane.kubeconfig),
        "PILOTAGE_VMS_LEASE_KUBERNETES": "default/pilotage",
        "PILOTAGE_VMS_LEASE_S": "2",
    }
    command = [sys.executable, "-m", "pilotage", "worker", "--single-active", "--listen", "127.0.0.1:0", "--name"]
    with (tmp_path / "log").open("wb") as log:
        started = {
            name: subprocess.Popen([*command, name], cwd=tmp_path, env=environment, stdout=log, stderr=log)
            for name in ("w0", "w1")
        }
    try:

        async def leads(*names: str) -> str:
            async with asyncio.timeout(40):
                while True:
                    held = any_named(plane.client, PATH, "pilotage") and spec(plane, "pilotage").get("holderIdentity")
                    if held in names:
                        return str(held)
                    await asyncio.sleep(0.1)

        first = await leads("w0", "w1")
        second = "w1" if first == "w0" else "w0"
        started[first].kill()
        assert await leads(second) == second
        started[second].terminate()
        assert started[second].wait(30) == 0, (tmp_path / "log").read_text()
        assert spec(plane, "pilotage")["holderIdentity"] == "", "given up, not left to expire"
    finally:
        for process in started.values():
            process.kill()
            process.wait()
