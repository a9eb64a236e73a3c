"""The manager's store keeps its port's promises on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from pilotage.adapters.sql.engine import open_engine
from pilotage.adapters.sql.manager_store import SqlStore
from pilotage.adapters.sql.manager_tables import TABLES, metadata
from pilotage.adapters.sql.migrate import migrate
from pilotage.registry.catalogue import Catalogue
from pilotage.registry.entities import (
    ACTIVE,
    INACTIVE,
    Application,
    Model,
    Scheduler,
    SchedulerCluster,
    SeedPeer,
    SeedPeerCluster,
)
from pilotage.registry.errors import Missing, Taken

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACE = {"hostname": "s", "ip": "10.0.0.1", "port": 8002, "cluster_id": 1}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[SqlStore]:
    engine = open_engine(url)
    migrate(engine, "manager")
    store = SqlStore(engine, clock=clock)
    yield store
    store.close()


async def followed(store: SqlStore, catalogue: Catalogue) -> Catalogue:
    catalogue.apply(await store.changes(catalogue.revision or -1))
    return catalogue


def test_the_tables_of_the_statements_are_those_of_the_migrations(url: str) -> None:
    engine = open_engine(url)
    migrate(engine, "manager")
    options = {"include_name": lambda name, kind, _: kind != "table" or name in metadata.tables}
    with engine.connect() as connection, connection.begin():
        context = MigrationContext.configure(connection, opts={"compare_type": True, **options})
        difference = compare_metadata(context, metadata)
    engine.dispose()
    assert difference == []


@pytest.mark.asyncio
async def test_a_new_database_has_a_default_cluster_of_each_kind(store: SqlStore) -> None:
    catalogue = await followed(store, Catalogue())
    (cluster,) = catalogue.clusters.values()
    assert (cluster.id, cluster.name, cluster.is_default, cluster.scopes) == (1, "cluster-1", True, "{}")
    (seeds,) = catalogue.seed_peer_clusters.values()
    assert (seeds.id, seeds.name, seeds.scheduler_cluster_ids) == (1, "cluster-1", (1,))


@pytest.mark.asyncio
async def test_who_follows_sees_what_who_loads_anew_sees(store: SqlStore) -> None:
    follower = await followed(store, Catalogue())
    site = await store.insert(SchedulerCluster, {"name": "site", "scopes": '{"idc": "a"}'})
    one = await store.insert(Scheduler, {**PLACE, "cluster_id": site, "features": ("schedule",)})
    two = await store.insert(Scheduler, {**PLACE, "ip": "10.0.0.2"})
    seeds = await store.insert(SeedPeerCluster, {"name": "seeds", "scheduler_cluster_ids": [site, 1]})
    await store.insert(SeedPeer, {**PLACE, "cluster_id": seeds, "state": ACTIVE})
    await store.insert(Application, {"name": "a", "url": "u:x"})
    await followed(store, follower)
    assert follower.schedulers.by_id[one].features == ("schedule",)
    assert [peer.hostname for peer, _ in follower.seed_peers_serving(site)] == ["s"]

    await store.update(Scheduler, one, {"state": ACTIVE})
    await store.delete(Scheduler, two)
    await store.update(SeedPeerCluster, seeds, {"scheduler_cluster_ids": [1]})
    revision = follower.revision
    await followed(store, follower)
    assert follower.revision == revision + 3
    assert list(follower.seed_peers_serving(site)) == []

    anew = await followed(store, Catalogue())
    for kind in TABLES:
        assert dict(follower.rows(kind)) == dict(anew.rows(kind))


@pytest.mark.asyncio
async def test_names_and_places_are_unique_until_deleted(store: SqlStore) -> None:
    first = await store.insert(Scheduler, PLACE)
    with pytest.raises(Taken, match="s is there already"):
        await store.insert(Scheduler, PLACE)
    with pytest.raises(Taken):
        await store.insert(SchedulerCluster, {"name": "cluster-1"})
    assert await store.delete(Scheduler, first)
    assert not await store.delete(Scheduler, first)
    assert await store.insert(Scheduler, PLACE) > first, "ids only rise"


@pytest.mark.asyncio
async def test_a_guard_that_does_not_hold_leaves_the_row(store: SqlStore) -> None:
    row = await store.insert(Scheduler, PLACE)
    alive = {"state": ACTIVE, "owner": "a", "generation": 1}
    assert await store.update(Scheduler, row, alive, {"generation": 0})
    assert not await store.update(Scheduler, row, {"state": INACTIVE}, {"generation": 0, "owner": "a"})
    catalogue = await followed(store, Catalogue())
    assert catalogue.schedulers.by_id[row].state == ACTIVE


@pytest.mark.asyncio
async def test_a_cluster_with_members_stays_and_one_without_leaves_its_links(store: SqlStore) -> None:
    row = await store.insert(Scheduler, PLACE)
    with pytest.raises(Taken, match="still has members"):
        await store.delete(SchedulerCluster, 1)
    await store.delete(Scheduler, row)
    assert await store.delete(SchedulerCluster, 1)
    catalogue = await followed(store, Catalogue())
    assert catalogue.seed_peer_clusters[1].scheduler_cluster_ids == ()
    with pytest.raises(Missing, match="no scheduler cluster 1"):
        await store.update(SeedPeerCluster, 1, {"scheduler_cluster_ids": [1]})


@pytest.mark.asyncio
async def test_of_many_writers_each_commit_has_its_revision(store: SqlStore) -> None:
    names = [f"c{i}" for i in range(40)]
    follower = await followed(store, Catalogue())
    before = follower.revision

    async def follow_on() -> None:
        while len(follower.clusters) < 41:
            seen = set(follower.clusters)
            await followed(store, follower)
            assert seen <= set(follower.clusters)

    inserts = (store.insert(SchedulerCluster, {"name": name}) for name in names)
    await asyncio.gather(asyncio.wait_for(follow_on(), 30), *inserts)
    assert follower.revision == before + 40
    assert [row.name for row in follower.clusters.values()][1:] == sorted(names, key=lambda name: int(name[1:]))


@pytest.mark.asyncio
async def test_versions_of_models_count_up_and_one_is_active(store: SqlStore) -> None:
    scheduler = await store.insert(Scheduler, PLACE)
    values: dict[str, Any] = {"type": "mlp", "scheduler_id": scheduler, "digest": "d", "size_bytes": 1}
    ids = await asyncio.gather(*(store.add_model(values, str(i).encode()) for i in range(8)))
    other = await store.add_model({**values, "type": "gnn"}, b"x")
    catalogue = await followed(store, Catalogue())
    assert sorted(catalogue.models[i].version for i in ids) == list(range(1, 9))
    assert catalogue.models[other].version == 1
    assert {await store.model_data(i) for i in ids} == {str(i).encode() for i in range(8)}
    for row in (ids[0], other, ids[3]):
        await store.activate_model(catalogue.models[row])
    await followed(store, catalogue)
    assert {row for row, model in catalogue.models.items() if model.state == ACTIVE} == {ids[3], other}
    with pytest.raises(Taken, match="is active"):
        await store.delete(Model, ids[3])
    await store.delete(Model, ids[0])
    assert await store.model_data(ids[0]) is None


@pytest.mark.asyncio
async def test_beats_rise_and_silent_managers_are_forgotten_after_a_day(store: SqlStore) -> None:
    assert await store.beat("a", 0.0) == {"a": 1}
    assert await store.beat("b", 10.0) == {"a": 1, "b": 1}
    assert await store.beat("a", 20.0) == {"a": 2, "b": 1}
    assert await store.beat("a", 86_411.0) == {"a": 3}


@pytest.mark.asyncio
async def test_only_members_that_nobody_heard_for_long_are_forgotten(store: SqlStore, clock: Clock) -> None:
    silent, heard, alive = [await store.insert(Scheduler, {**PLACE, "ip": f"10.0.0.{i}"}) for i in (1, 2, 3)]
    await store.update(Scheduler, alive, {"state": ACTIVE})
    catalogue = await followed(store, Catalogue())
    revision = catalogue.revision
    clock.now = 5000.0
    await store.heard(Scheduler, {heard: 4000.0})
    assert (await store.changes(revision)).rows == (), "being heard is no change"
    assert await store.forget(3000.0) == 1
    assert set((await followed(store, catalogue)).schedulers.by_id) == {heard, alive}
    clock.now += 90_000
    await store.forget(0.0)
    assert (await store.changes(0)).gone == (), "after a day nobody needs to hear of it"
    assert silent not in catalogue.schedulers.by_id
