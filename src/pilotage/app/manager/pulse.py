"""Keeps liveness true in time: streams of this manager, beats of all managers, and the store in step with both.

Two loops: one looks at the clock and never waits for the store; the other talks to the store and may wait long.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator

import msgspec
import structlog

from pilotage.app.manager.service import Registry
from pilotage.model.errors import CommitUnknown, StorageDown, StorageFull
from pilotage.registry.entities import ACTIVE, INACTIVE, Member, Scheduler, SeedPeer
from pilotage.registry.errors import Missing
from pilotage.registry.liveness import Key, Liveness
from pilotage.registry.ports import Store

SWEEP_S = 0.25
HEARD_S = 5.0
FORGET_S = 60.0
LONG_AWAY_S = 3600.0
"""After so long without a look at the store everything is loaded anew: deletions might have been missed."""

_KINDS: tuple[type[Member], ...] = (Scheduler, SeedPeer)
_AWAY = (StorageDown, StorageFull, CommitUnknown)
_log = structlog.get_logger("pilotage.manager")


class Times(msgspec.Struct, frozen=True):
    """What the manager waits for, in seconds."""

    interval_s: float = 5.0
    """Between two keep-alive messages, where a scheduler's own configuration does not say."""
    refresh_s: float = 0.5
    """Between two looks at what other managers wrote."""
    forget_s: float = 1800.0
    """After how long an inactive member is deleted; 0: never."""


class Pulse:
    """The living part of a manager; ``replica`` is a name that no other manager ever has."""

    def __init__(
        self,
        registry: Registry,
        store: Store,
        replica: str,
        times: Times,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry = registry
        self._catalogue = registry.catalogue
        self._store = store
        self._replica = replica
        self._times = times
        self._monotonic = monotonic
        self._clock = clock
        self._live = Liveness(replica)
        self._lost: dict[Key, int] = {}
        self._heard: dict[type[Member], dict[int, float]] = {kind: {} for kind in _KINDS}
        self._intervals: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._synced_s = self._last_heard_s = self._last_forget_s = monotonic()
        self._leaving = False
        self.store_is_away = False

    @property
    def streams(self) -> int:
        """How many keep-alive streams are open."""
        return len(self._live)

    # ------------------------------------------------------------ streams

    async def opened(self, stream: int, kind: type[Member], cluster_id: int, hostname: str, ip: str) -> None:
        """Begin a stream: the member counts as alive once the store has it. Raises `Missing`, `StorageDown`."""
        member = self._catalogue.members(kind).find_exact(cluster_id, hostname, ip)
        if member is None:
            await self._registry.follow()  # it may have registered with another manager a moment ago
            member = self._catalogue.members(kind).find_exact(cluster_id, hostname, ip)
        if member is None:
            raise Missing(f"there is no {kind.__name__} {hostname} {ip} in cluster {cluster_id}; register it first")
        self._live.opened(stream, (kind, member.id), self._interval_s(member), self._monotonic())
        self._heard[kind][member.id] = self._clock()
        try:
            await self._claim((kind, member.id))
        except BaseException:
            self._live.closed(stream)
            raise

    async def ticked(self, stream: int) -> None:
        """Hear from a stream again, and say again that its member lives if the store came to think otherwise."""
        key = self._live.ticked(stream, self._monotonic())
        if key is None:
            return
        self._heard[key[0]][key[1]] = self._clock()
        member = self._member(key)
        if member is not None and (member.state != ACTIVE or not self._speaks(member)):
            with contextlib.suppress(*_AWAY, Missing):
                await self._claim(key)

    async def closed(self, stream: int) -> None:
        """End a stream: its member is dead unless a newer stream speaks for it."""
        key = self._live.closed(stream)
        if key is not None and not self._leaving:
            self._lose(key)

    def leave(self) -> None:
        """From now on streams end because we go: that says nothing about who sent them."""
        self._leaving = True

    def expires_in(self, stream: int) -> float | None:
        """Return the seconds that a stream may still be silent."""
        return self._live.expires_in(stream, self._monotonic())

    def _speaks(self, member: Member) -> bool:
        """Whether the member's owner is us or another manager that shows signs of life."""
        lease = self._live.lease_s(self._interval_s(member))
        return member.owner == self._replica or self._live.beats(member.owner, lease, self._monotonic())

    async def _claim(self, key: Key) -> None:
        """Write that the member lives and that we heard it, unless that is what the store says."""
        kind, row_id = key
        for _ in range(3):
            member = self._member(key)
            if member is None:
                raise Missing(f"{kind.__name__} {row_id} was deleted")
            if member.state == ACTIVE and member.owner == self._replica:
                return
            alive = {
                "state": ACTIVE,
                "owner": self._replica,
                "generation": member.generation + 1,
                "last_keep_alive_at": self._clock(),
            }
            await self._store.update(kind, row_id, alive, {"generation": member.generation})
            await self._registry.follow()

    def _lose(self, key: Key) -> None:
        member = self._member(key)
        if member is not None and member.state == ACTIVE and member.owner == self._replica:
            self._lost[key] = member.generation
            self._registry.overlay(member)
            self._wake.set()

    def _member(self, key: Key) -> Member | None:
        return self._catalogue.members(key[0]).by_id.get(key[1])

    def _interval_s(self, member: Member) -> float:
        """Seconds between two messages of this member: its own word (nanoseconds), within reason, or the default."""
        text = member.config if isinstance(member, Scheduler) else "{}"
        if text not in self._intervals:
            if len(self._intervals) > 1000:
                self._intervals.clear()
            self._intervals[text] = _own_interval_s(text) or self._times.interval_s
        return self._intervals[text]

    # ------------------------------------------------------------ loops

    async def run(self) -> None:
        """Watch and keep in step until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._sync())

    async def _watch(self) -> None:
        while True:
            self.watch()
            await asyncio.sleep(SWEEP_S)

    def watch(self) -> None:
        """One look at the clock: whose streams have been silent for too long?"""
        for key in self._live.sweep(self._monotonic()):
            _log.info("silent for too long", kind=key[0].__name__, id=key[1])
            self._lose(key)

    async def _sync(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self.step()
            except Exception as error:  # whatever it is (a full disk, say), the streams must go on being heard
                if not self.store_is_away:
                    _log.warning("the database is away; answering from memory", reason=str(error))
                self.store_is_away = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._times.refresh_s)

    async def step(self) -> None:
        """One exchange with the store: what we lost, our beat, what others wrote, who is orphaned."""
        for key, generation in list(self._lost.items()):
            guard = {"generation": generation, "owner": self._replica}
            await self._store.update(key[0], key[1], {"state": INACTIVE}, guard)
            del self._lost[key]
        beats = await self._store.beat(self._replica, self._clock())
        now = self._monotonic()
        await self._registry.follow(anew=now - self._synced_s > LONG_AWAY_S)
        if self.store_is_away:
            _log.info("the database is back")
            self._live.database_was_away(now)
            self.store_is_away = False
        self._synced_s = now
        self._live.saw_beats(beats, now)
        for member in self._live.orphans(self._members(), now):
            _log.info("nobody hears it any more", kind=type(member).__name__, hostname=member.hostname)
            guard = {"generation": member.generation, "owner": member.owner, "state": ACTIVE}
            await self._store.update(type(member), member.id, {"state": INACTIVE}, guard)
        await self._now_and_then(now)

    async def _now_and_then(self, now: float) -> None:
        if now - self._last_heard_s >= HEARD_S:
            self._last_heard_s = now
            for kind, heard in self._heard.items():
                if heard:
                    self._heard[kind] = {}
                    await self._store.heard(kind, heard)
        if self._times.forget_s and now - self._last_forget_s >= FORGET_S:
            self._last_forget_s = now
            await self._store.forget(self._clock() - self._times.forget_s)

    def _members(self) -> Iterator[tuple[Member, float]]:
        for kind in _KINDS:
            for member in self._catalogue.members(kind).by_id.values():
                if member.state == ACTIVE:
                    yield member, self._interval_s(member)


def _own_interval_s(config: str) -> float | None:
    try:
        told = json.loads(config).get("manager_keep_alive_interval")
    except (ValueError, AttributeError, RecursionError):
        return None
    if isinstance(told, bool) or not isinstance(told, int | float) or not 0 < told < float("inf"):
        return None
    return min(max(told / 1e9, 0.1), 600.0)
