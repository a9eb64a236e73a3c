"""Liveness in step with a store, on clocks that the test turns: two managers, one database, no sleeping."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pilotage.adapters.sql.engine import open_engine
from pilotage.adapters.sql.manager_store import SqlStore
from pilotage.adapters.sql.migrate import migrate
from pilotage.app.manager.pulse import Pulse, Times
from pilotage.app.manager.service import Registry
from pilotage.registry.entities import ACTIVE, Scheduler
from pilotage.registry.errors import Missing
from pilotage.registry.ports import SchedulerReport, SeedPeerReport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class World:
    """Two managers with a monotonic clock in common and wall clocks of their own."""

    def __init__(self, url: str) -> None:
        engine = open_engine(url)
        migrate(engine, "manager")
        engine.dispose()
        self.now = 0.0
        self.wall = [1_000_000.0, 1_000_000.0]
        self.stores = [SqlStore(open_engine(url)) for _ in range(2)]
        self.registries = [Registry(store) for store in self.stores]
        self.pulses = [
            Pulse(registry, store, f"m{i}", Times(), monotonic=lambda: self.now, clock=lambda i=i: self.wall[i])  # type: ignore[misc]
            for i, (registry, store) in enumerate(zip(self.registries, self.stores, strict=True))
        ]

    async def pass_time(self, seconds: float, *running: int) -> None:
        """Let the managers that run work, second by second."""
        for _ in range(int(seconds)):
            self.now += 1.0
            for i in running:
                self.pulses[i].watch()
                await self.pulses[i].step()

    def alive(self, i: int) -> list[str]:
        return sorted(
            row.hostname for row in self.registries[i].catalogue.schedulers.by_id.values() if row.state == ACTIVE
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(f"sqlite:///{tmp_path}/m.sqlite3")
    yield made
    for store in made.stores:
        store.close()


async def joined(world: World, at: int, hostname: str, stream: int, **more: str) -> None:
    await world.registries[at].follow()
    report = SchedulerReport(hostname=hostname, ip="10.0.0.1", port=8002, cluster_id=1, **more)  # type: ignore[arg-type]
    await world.registries[at].report_scheduler(report)
    await world.pulses[at].opened(stream, Scheduler, 1, hostname, "10.0.0.1")


@pytest.mark.asyncio
async def test_what_one_manager_hears_the_other_knows(world: World) -> None:
    await joined(world, 0, "s", 1)
    await world.pass_time(1, 0, 1)
    assert world.alive(1) == ["s"]
    await world.pulses[0].closed(1)
    assert world.alive(0) == [], "at once here"
    await world.pass_time(1, 0, 1)
    assert world.alive(1) == []


@pytest.mark.asyncio
async def test_a_stream_that_the_member_left_for_another_manager_can_not_kill_it(world: World) -> None:
    await joined(world, 0, "s", 1)
    await world.pass_time(1, 0, 1)
    await joined(world, 1, "s", 2)
    await world.pulses[0].closed(1)
    await world.pass_time(3, 0, 1)
    assert world.alive(0) == world.alive(1) == ["s"]


@pytest.mark.asyncio
async def test_wall_clocks_that_jump_decide_nothing(world: World) -> None:
    await joined(world, 0, "s", 1)
    for jump in (-900_000.0, 5_000_000.0, -4_000_000.0):
        world.wall[0] += jump
        await world.pulses[0].ticked(1)
        await world.pass_time(5, 0, 1)
        assert world.alive(0) == world.alive(1) == ["s"]


@pytest.mark.asyncio
async def test_a_manager_that_dies_leaves_its_members_one_lease_to_find_another(world: World) -> None:
    await joined(world, 0, "finds", 1)
    await joined(world, 0, "lost", 2)
    await world.pass_time(2, 0, 1)
    await world.pass_time(8, 1)
    await joined(world, 1, "finds", 3)
    await world.pass_time(6, 1)
    assert world.alive(1) == ["finds", "lost"]
    await world.pulses[1].ticked(3)
    await world.pass_time(2, 1)
    assert world.alive(1) == ["finds"]


@pytest.mark.asyncio
async def test_a_member_called_dead_that_speaks_is_alive_again(world: World) -> None:
    await joined(world, 0, "s", 1)
    row = world.registries[0].catalogue.schedulers.find(1, "s")
    assert row is not None
    await world.stores[1].update(Scheduler, row.id, {"state": "inactive"})
    await world.pass_time(1, 0, 1)
    assert world.alive(0) == []
    await world.pulses[0].ticked(1)
    assert world.alive(0) == ["s"]


@pytest.mark.asyncio
async def test_its_own_interval_is_its_lease(world: World) -> None:
    await joined(world, 0, "slow", 1, config='{"manager_keep_alive_interval": 20000000000}')
    await joined(world, 0, "usual", 2, config='{"manager_keep_alive_interval": "soon"}')
    await world.pass_time(16, 0)
    assert world.alive(0) == ["slow"]
    await world.pass_time(43, 0)
    assert world.alive(0) == ["slow"]
    await world.pass_time(2, 0)
    assert world.alive(0) == []


@pytest.mark.asyncio
async def test_a_seed_peer_that_only_registered_has_one_lease_and_may_register_again(world: World) -> None:
    registry = world.registries[0]
    await registry.follow()
    report = SeedPeerReport("p", "10.0.0.1", 8001, 1, "super", 8002)

    def states() -> list[str]:
        return [row.state for row in registry.catalogue.seed_peers.by_id.values()]

    for _ in range(2):
        await registry.report_seed_peer(report)
        await world.pass_time(14, 0)
        assert states() == ["active"]
        await world.pass_time(3, 0)
        assert states() == ["inactive"]


@pytest.mark.asyncio
async def test_a_stranger_can_not_open_a_stream(world: World) -> None:
    with pytest.raises(Missing, match="register it first"):
        await world.pulses[0].opened(1, Scheduler, 1, "stranger", "10.0.0.1")
    assert world.pulses[0].streams == 0
