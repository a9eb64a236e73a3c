"""What is kept, for how long, and that nothing kept makes an answer stale."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pilotage.adapters.redis.cache import REST_S, RedisCache
from pilotage.api.grpc.discovery import Discovery
from pilotage.api.grpc.encode import V1, V2
from pilotage.app.manager.service import Registry
from pilotage.model.errors import InvalidInput
from pilotage.registry.catalogue import Changes
from pilotage.registry.entities import ACTIVE, INACTIVE, Scheduler, SchedulerCluster, SeedPeer, SeedPeerCluster
from pilotage.registry.matching import Host
from pilotage.registry.profiles import PROFILES
from tests.integration.redis import RedisServer, running_redis

if TYPE_CHECKING:
    from collections.abc import Iterator


def asked(wire: Any = V2, hostname: str = "host", **more: Any) -> bytes:
    return bytes(wire.ListSchedulersRequest(hostname=hostname, ip="10.0.0.1", **more).SerializeToString())


def scheduler(row_id: int, cluster: int, **more: Any) -> Scheduler:
    return Scheduler(row_id, f"s{row_id}", "10.0.0.9", 8002, cluster, **{"state": ACTIVE, **more})


def registry(clusters: int = 3, **more: Any) -> Registry:
    """Clusters 1, 2, ... with idc i1, i2, ..., one living scheduler each."""
    made = Registry(None, **more)  # type: ignore[arg-type]
    for i in range(1, clusters + 1):
        made.catalogue.put([SchedulerCluster(i, f"c{i}", scopes=json.dumps({"idc": f"i{i}"})), scheduler(i, i)])
    return made


async def names(discovery: Discovery, wire: Any = V2, **request: Any) -> list[str]:
    """What a host is told, by the path a call takes."""
    raw = asked(wire, **request)
    body = discovery.known(wire)(raw)
    if body is None:
        body = await discovery.search(wire, raw)
    return [each.hostname for each in wire.ListSchedulersResponse.FromString(body).schedulers]


@pytest.mark.asyncio
async def test_the_second_call_of_a_host_searches_nothing() -> None:
    discovery = Discovery(registry())
    assert await names(discovery, idc="i3") == ["s3", "s1", "s2"]
    assert await names(discovery, idc="i3") == ["s3", "s1", "s2"]
    assert (discovery.counts.search, discovery.counts.request) == (1, 1)
    assert await names(discovery, idc="i2") == ["s2", "s1", "s3"], "the conditions are part of what is remembered"


@pytest.mark.asyncio
async def test_a_change_of_state_is_told_at_once_and_without_a_search() -> None:
    shown = registry()
    discovery = Discovery(shown)
    await names(discovery, idc="i3")
    shown.catalogue.put([scheduler(3, 3, state=INACTIVE)])
    assert await names(discovery, idc="i3") == ["s1", "s2"]
    assert discovery.counts.search == 1
    shown.catalogue.put([SchedulerCluster(2, "c2", scopes='{"idc": "i3"}')])
    assert await names(discovery, idc="i3") == ["s2", "s1"]
    assert discovery.counts.search == 2, "other scopes, another ranking"


@pytest.mark.asyncio
async def test_only_the_cluster_that_changed_is_encoded_again() -> None:
    shown = registry(50)
    discovery = Discovery(shown)
    await names(discovery)
    assert discovery.encodings == 50
    shown.catalogue.put([scheduler(7, 7, idc="moved")])
    await names(discovery)
    assert discovery.encodings == 51


@pytest.mark.asyncio
async def test_an_empty_answer_is_not_kept() -> None:
    shown = Registry(None)  # type: ignore[arg-type]
    discovery = Discovery(shown)
    assert await names(discovery) == []
    assert (discovery.kept_requests, discovery.kept_bytes) == (0, 0)
    shown.catalogue.put([SchedulerCluster(1, "c1"), scheduler(1, 1)])
    assert await names(discovery) == ["s1"]


@pytest.mark.asyncio
async def test_memory_is_bounded_whoever_asks() -> None:
    discovery = Discovery(registry(20), hosts=100, budget_bytes=10_000)
    for i in range(500):
        await names(discovery, hostname=f"h{i}", idc=f"i{i % 20 + 1}")
        assert discovery.kept_requests <= 100
        assert discovery.kept_bytes <= 10_000
    for i in range(2000):
        await names(discovery, version=f"v{i}")
    assert len(discovery.clients) <= 501
    assert sum(client.searches for client in discovery.clients.values()) == 2500
    await names(discovery, commit="c" * 1024, version="v" * 1024, hostname="long")
    assert discovery.kept_requests <= 100


@pytest.mark.asyncio
@pytest.mark.parametrize("feature", [("preheat",), ()])
async def test_without_the_feature_schedule_a_fallback_lists_nobody_either(feature: tuple[str, ...]) -> None:
    old = PROFILES["v2.0.8"]
    shown = registry(profile=old)
    shown.catalogue.put([scheduler(2, 2, features=feature)])
    discovery = Discovery(shown)
    assert await names(discovery, V1) == ["s1", "s3"], "no conditions: no ranking, every cluster"
    assert discovery.clients["", ""].failures == 1
    shown.catalogue.put([scheduler(1, 1, features=feature), scheduler(3, 3, features=feature)])
    assert await names(discovery, V1) == []


@pytest.mark.asyncio
async def test_a_host_whose_clusters_are_all_dead_is_told_of_others_but_not_past_a_hard_filter() -> None:
    shown = registry(2, profile=PROFILES["v2.0.8"])
    rules = '{"security_domains": ["x"]}'
    shown.catalogue.put([SchedulerCluster(1, "c1", scopes=rules), scheduler(2, 2, state=INACTIVE)])
    assert await names(Discovery(shown), V1, host_info={"security_domain": "y"}) == ["s1"]
    hard = registry(2, require=("idc",))
    hard.catalogue.put([scheduler(2, 2, state=INACTIVE)])
    assert await names(Discovery(hard), idc="i2") == []


class Machine(RuleBasedStateMachine):
    """Whatever changes, what is put together from kept parts is what is made from nothing."""

    @initialize()
    def begin(self) -> None:
        self.registry = registry(4)
        self.kept = Discovery(self.registry, budget_bytes=3000, hosts=6)

    @rule(
        row=st.integers(1, 8),
        cluster=st.integers(1, 5),
        state=st.sampled_from([ACTIVE, INACTIVE]),
        features=st.sampled_from([("schedule",), ("preheat",)]),
    )
    def scheduler_changes(self, row: int, cluster: int, state: Any, features: tuple[str, ...]) -> None:
        if cluster in self.registry.catalogue.clusters:
            self.registry.catalogue.put([scheduler(row, cluster, state=state, features=features)])

    @rule(cluster=st.integers(1, 6), idc=st.sampled_from(["i1", "i2", ""]), default=st.booleans())
    def cluster_changes(self, cluster: int, idc: str, default: bool) -> None:
        scopes = json.dumps({"idc": idc})
        self.registry.catalogue.put([SchedulerCluster(cluster, f"c{cluster}", scopes=scopes, is_default=default)])

    @rule(cluster=st.integers(1, 6))
    def cluster_goes(self, cluster: int) -> None:
        catalogue = self.registry.catalogue
        if not catalogue.schedulers.of_cluster(cluster):
            catalogue.apply(Changes(1, gone=((SchedulerCluster, cluster),)))

    @rule(row=st.integers(1, 8))
    def scheduler_goes(self, row: int) -> None:
        self.registry.catalogue.apply(Changes(1, gone=((Scheduler, row),)))

    @rule(seeds=st.integers(1, 2), links=st.sets(st.integers(1, 4), max_size=3))
    def seed_cluster_changes(self, seeds: int, links: set[int]) -> None:
        self.registry.catalogue.put([SeedPeerCluster(seeds, f"p{seeds}", scheduler_cluster_ids=tuple(sorted(links)))])

    @rule(row=st.integers(1, 4), seeds=st.integers(1, 2), state=st.sampled_from([ACTIVE, INACTIVE]))
    def seed_peer_changes(self, row: int, seeds: int, state: Any) -> None:
        if seeds in self.registry.catalogue.seed_peer_clusters:
            self.registry.catalogue.put([SeedPeer(row, f"p{row}", "10.0.0.8", 8001, seeds, state=state)])

    @rule(seeds=st.integers(1, 2))
    def seed_cluster_goes(self, seeds: int) -> None:
        if not self.registry.catalogue.seed_peers.of_cluster(seeds):
            self.registry.catalogue.apply(Changes(1, gone=((SeedPeerCluster, seeds),)))

    @invariant()
    def kept_is_fresh(self) -> None:
        if not hasattr(self, "kept"):
            return
        for wire in (V1, V2):
            for host, idc in (("a", "i1"), ("b", "i2"), ("c", "i1")):
                more = {"idc": idc} if wire is V2 else {"host_info": {"idc": idc}}
                raw = asked(wire, host, **more)
                fresh = asyncio.run(Discovery(self.registry).search(wire, raw))
                told = self.kept.known(wire)(raw)
                assert fresh == (asyncio.run(self.kept.search(wire, raw)) if told is None else told)


TestMachine = Machine.TestCase


# ---------------------------------------------------------------- Redis


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.mark.asyncio
async def test_managers_share_rankings(redis: RedisServer) -> None:
    caches = [RedisCache(redis.url, 300) for _ in range(2)]
    one, two = (Discovery(registry(), shared=cache) for cache in caches)
    assert await names(one, hostname="shares", idc="i3", version="2.4") == ["s3", "s1", "s2"]
    assert await names(two, hostname="shares", idc="i3", version="2.4") == ["s3", "s1", "s2"]
    assert (one.counts.search, two.counts.search, two.counts.shared) == (1, 0, 1)
    (key,) = await caches[0]._redis.keys("manager:peers:shares-10.0.0.1-2.4:schedulers*")
    assert 290_000 < await caches[0]._redis.pttl(key) <= 300_000
    for cache in caches:
        await cache.close()


@pytest.mark.asyncio
async def test_a_shared_ranking_of_other_scopes_is_not_used(redis: RedisServer) -> None:
    cache = RedisCache(redis.url, 300)
    assert await names(Discovery(registry(), shared=cache), hostname="other", idc="i3") == ["s3", "s1", "s2"]
    changed = registry()
    changed.catalogue.put([SchedulerCluster(1, "c1", scopes='{"idc": "i3"}')])
    other = Discovery(changed, shared=cache)
    assert await names(other, hostname="other", idc="i3") == ["s1", "s3", "s2"]
    strict = Discovery(registry(require=("idc",)), shared=cache)
    assert await names(strict, hostname="other", idc="i3") == ["s3"], "the rules of ranking count, too"
    await cache.close()


@pytest.mark.asyncio
@pytest.mark.parametrize("value", [b"", b"nonsense", msgspec.msgpack.encode({"scopes": 1}), b"x" * (2 << 20)])
async def test_what_others_left_in_redis_harms_nobody(redis: RedisServer, value: bytes) -> None:
    cache = RedisCache(redis.url, 300)
    discovery = Discovery(registry(), shared=cache)
    await names(discovery, hostname="left", idc="i2")
    for key in await cache._redis.keys("manager:peers:left*"):
        await cache._redis.set(key, value)
    fresh = Discovery(registry(), shared=cache)
    assert await names(fresh, hostname="left", idc="i2") == ["s2", "s1", "s3"]
    assert (fresh.counts.shared, fresh.counts.search) == (0, 1)
    await cache.close()


@pytest.mark.asyncio
async def test_empty_answers_are_never_shared(redis: RedisServer) -> None:
    cache = RedisCache(redis.url, 300)
    shown = registry()
    shown.catalogue.put([scheduler(i, i, state=INACTIVE) for i in (1, 2, 3)])
    assert await names(Discovery(shown, shared=cache), hostname="empty") == []
    assert await cache._redis.keys("manager:peers:empty*") == []
    await cache.close()


@pytest.mark.asyncio
async def test_misses_at_the_same_time_share_one_search(redis: RedisServer) -> None:
    cache = RedisCache(redis.url, 300)
    discovery = Discovery(registry(), shared=cache)
    told = await asyncio.gather(*(names(discovery, hostname="herd", idc="i3") for _ in range(50)))
    assert told == [["s3", "s1", "s2"]] * 50
    assert (discovery.counts.search, discovery.counts.joined) == (1, 49)
    await cache.close()


@pytest.mark.asyncio
async def test_redis_away_is_redis_empty_and_it_is_left_alone_for_a_while() -> None:
    with running_redis() as server:
        now = [0.0]
        cache = RedisCache(server.url, 300, monotonic=lambda: now[0])
        discovery = Discovery(registry(), shared=cache)
        await names(discovery, hostname="a", idc="i1")
        server.stop()
        for i in range(5):
            assert await names(discovery, hostname=f"b{i}", idc="i3") == ["s3", "s1", "s2"]
        assert cache.failures == 1, "after a failure it rests"
        server.start()
        now[0] += REST_S
        await names(discovery, hostname="c", idc="i1")
        assert await names(Discovery(registry(), shared=cache), hostname="c", idc="i1") == ["s1", "s2", "s3"]
        assert len(await cache._redis.keys("*")) == 1
        await cache.close()


def test_a_url_of_something_else_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"manager\.redis: is no URL"):
        RedisCache("http://nowhere", 1)


def test_the_ranking_is_the_searchers() -> None:
    shown = registry()
    order, failed = shown.order(Host("host", "10.0.0.1", "i2"))
    assert (order.first, order.others_follow, failed) == ((2,), True, False)
    assert [each.cluster_id for each in shown.explain(Host("host", "10.0.0.1", "i2"))] == [2, 1, 3]
