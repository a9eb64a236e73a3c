"""The instances, alive: registered, probed, sent to. What is learnt of them goes to the queue's machine as events."""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import structlog
from msgspec import Raw, Struct, structs

from pilotage.engine.taskqueue.machine import Dispatch, Step, TaskQueue
from pilotage.model.routing import SCHEDULED, Instance
from pilotage.service.ports import (
    Ack,
    Address,
    InstanceAway,
    InstanceClient,
    NoInstance,
    NotFound,
    Outgoing,
    Probe,
    Registered,
    Store,
)

log = structlog.get_logger()

AT_ONCE = 32
"""Requests to one instance at a time, when it takes tasks one by one."""

MISSES = 2
"""Questions in a row without an answer that make an instance away; a connection that is refused counts as so many."""

BATCH = 64
"""Most tasks in one request, when it takes several."""

BATCH_BYTES = 262_144
"""A request that has grown beyond this takes no more tasks."""


class FleetSettings(Struct, frozen=True):
    """How often instances are asked, and how long one may be away before its tasks go elsewhere and it is forgotten."""

    probe_every_s: float = 1.0
    lost_after_s: float = 5.0
    forget_after_s: float = 3600.0


class Member:
    """One registered instance: its record, what it last said of itself, what is being sent to it."""

    def __init__(self, record: Registered, now: float) -> None:
        self.record = record
        self.probe: Probe | None = None
        self.seen_s = now
        self.misses = 0
        self.reason = "not asked yet"
        self.outbox: deque[tuple[Dispatch, float]] = deque()
        self.senders = 0
        self.lost = False

    @property
    def id(self) -> str:
        """The id that registration gave it."""
        return self.record.id

    @property
    def place(self) -> str:
        """``host:port``."""
        return f"{self.record.host}:{self.record.port}"

    @property
    def name(self) -> str:
        """What it calls itself."""
        return self.probe.name if self.probe else self.place

    @property
    def answers(self) -> bool:
        """Whether it answered lately: one late answer, of a busy instance, is let pass."""
        return self.probe is not None and self.misses < MISSES

    @property
    def state(self) -> str:
        """``ready``, ``draining``, ``idle`` (it runs no model) or ``away``."""
        if not self.answers:
            return "away"
        if self.record.draining:
            return "draining"
        return "ready" if self.instance().ready else "idle"

    def instance(self) -> Instance:
        """As strategies see it."""
        probe = self.probe
        model = (probe.model if probe else "") or self.record.model
        slots = probe.slots if probe else 1
        ready = self.answers and not self.record.draining and bool(model) and slots > 0
        platform = probe.platform if probe else ""
        return Instance(id=self.id, model=model, slots=max(1, slots), platform=platform, ready=ready)

    @property
    def address(self) -> Address:
        """Where and how to speak to it."""
        return self.probe.address if self.probe else Address(self.record.host, self.record.port)


class Fleet:
    """All instances. ``apply`` takes the machine's steps; ``payload`` gives input and metadata of a task to send."""

    def __init__(
        self,
        queue: TaskQueue,
        client: InstanceClient,
        store: Store,
        settings: FleetSettings,
        now: Callable[[], float],
        apply: Callable[[list[Step]], None],
        payload: Callable[[Dispatch], tuple[bytes, bytes]],
        acknowledged: Callable[[Member, Dispatch, Ack], None],
        sent: Callable[[float], None],
    ) -> None:
        self._queue = queue
        self._client = client
        self._store = store
        self._settings = settings
        self._now = now
        self._apply = apply
        self._payload = payload
        self._acknowledged = acknowledged
        self._sent = sent
        self.members: dict[str, Member] = {}
        self._by_place: dict[tuple[str, int], Member] = {}
        self._by_name: dict[str, Member] = {}
        self._ready: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.calls = 0
        """Requests made to instances."""

    # ------------------------------------------------------------------ who there is

    def find(self, name: str) -> Member | None:
        """A member by what it calls itself, by its id, or by ``host:port``."""
        return self._by_name.get(name) or self.members.get(name)

    def has_ready(self, model: str) -> bool:
        """Whether some instance could be given a task of this model."""
        return self._ready.get(model, 0) > 0

    def check_ready(self, model: str) -> None:
        """Raise `NoInstance` saying why, unless `has_ready`."""
        if self.has_ready(model):
            return
        if not self.members:
            raise NoInstance("No TaskInstances configured")
        same = [each for each in self.members.values() if each.instance().model in (model, "")]
        told = "; ".join(f"{each.place} is {each.state}" for each in same[:5])
        raise NoInstance(f"No available instances for model type {model}" + (f" ({told})" if told else ""))

    async def restore(self, records: Iterable[Registered]) -> None:
        """Take over the instances of an earlier run: ask all of them at once, then tell the machine."""
        for record in records:
            self._add(Member(record, self._now()))
        await asyncio.gather(*(self._ask(member) for member in self.members.values()))
        for member in self.members.values():
            self._tell(member)

    async def register(self, host: str, port: int, model: str = "") -> Member:
        """Add an instance, or greet a known one again; it is asked once before this returns."""
        member = self._by_place.get((host, port))
        if member is None:
            member = Member(Registered(str(uuid.uuid4()), host, port, model, self._now()), self._now())
            self._add(member)
        elif model and model != member.record.model:
            member.record = structs.replace(member.record, model=model)
        elif member.record.draining:
            member.record = structs.replace(member.record, draining=False)
        await asyncio.wrap_future(self._store.keep_instance(member.record))
        await self._ask(member)
        if member.id in self.members:
            self._tell(member)
        log.info("instance registered", instance=member.id, place=member.place, state=member.state)
        return member

    async def remove(self, member: Member) -> None:
        """Forget an instance; what is on it goes elsewhere."""
        self._drop(member)
        self._apply(self._queue.instance_removed(member.id, self._now()))
        await asyncio.wrap_future(self._store.drop_instance(member.id))
        log.info("instance removed", instance=member.id, place=member.place)

    async def drain(self, instance_id: str, draining: bool) -> Member:
        """Give an instance no new tasks (or some again); those on it end there. Raises `NotFound`."""
        member = self.members.get(instance_id)
        if member is None:
            raise NotFound(f"Instance {instance_id} not found")
        member.record = structs.replace(member.record, draining=draining)
        await asyncio.wrap_future(self._store.keep_instance(member.record))
        self._tell(member)
        return member

    def at(self, host: str, port: int) -> Member | None:
        """The member at an address."""
        return self._by_place.get((host, port))

    def _add(self, member: Member) -> None:
        self.members[member.id] = member
        self._by_place[member.record.host, member.record.port] = member
        self._by_name[member.place] = member

    def _drop(self, member: Member) -> None:
        del self.members[member.id], self._by_place[member.record.host, member.record.port]
        self._by_name = {name: each for name, each in self._by_name.items() if each is not member}
        self._count()

    def _count(self) -> None:
        self._ready = {}
        for member in self.members.values():
            instance = member.instance()
            if instance.ready:
                self._ready[instance.model] = self._ready.get(instance.model, 0) + 1

    # ------------------------------------------------------------------ how they are

    async def watch(self) -> None:
        """Ask every instance again and again, for ever."""
        while True:
            await asyncio.sleep(self._settings.probe_every_s)
            await asyncio.gather(*(self._check(member) for member in list(self.members.values())))

    async def _check(self, member: Member) -> None:
        before = (member.instance(), member.lost)
        await self._ask(member)
        if member.id not in self.members:
            return
        away_s = self._now() - member.seen_s
        if not member.answers and away_s > self._settings.lost_after_s and not member.lost:
            member.lost = True
            self._tell(member)
            reason = f"{member.place} does not answer: {member.reason}"
            self._apply(self._queue.instance_lost(member.id, reason, self._now()))
        elif before != (member.instance(), member.lost):
            self._tell(member)
        if away_s > self._settings.forget_after_s:
            await self.remove(member)

    async def _ask(self, member: Member) -> None:
        """Probe once; what changed is told by `_tell`. A restart loses what was on the instance."""
        self.calls += 1
        try:
            probe = await self._client.probe(member.record.host, member.record.port)
        except InstanceAway as error:
            answered = member.answers
            member.misses += MISSES if error.gone else 1
            member.reason = str(error)
            if answered and not member.answers and member.id in self.members:
                self._tell(member)
            return
        before, member.probe = member.probe, probe
        member.misses, member.seen_s, member.lost, member.reason = 0, self._now(), False, ""
        if member.id not in self.members:
            return
        self._by_name[probe.name] = member
        if before is not None and before.boot != probe.boot:
            self._apply(self._queue.instance_lost(member.id, f"{member.place} was restarted", self._now()))

    def _tell(self, member: Member) -> None:
        self._count()
        self._apply(self._queue.instance_changed(member.instance(), self._now()))

    # ------------------------------------------------------------------ what goes to them

    def send(self, dispatches: list[Dispatch]) -> None:
        """Send stored tasks; returns at once."""
        stored = asyncio.get_running_loop().time()
        for dispatch in dispatches:
            member = self.members.get(dispatch.instance)
            if member is None:
                self._refused(dispatch, "the instance was removed")
                continue
            member.outbox.append((dispatch, stored))
            if member.senders < (1 if member.address.batches else AT_ONCE):
                member.senders += 1
                self.spawn(self._sender(member))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside, until `close`."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def withdraw(self, task_id: str, instance_id: str) -> None:
        """Tell an instance that a task is no longer wanted."""
        member = self.members.get(instance_id)
        if member is not None and member.answers:
            self.spawn(self._client.withdraw(member.address, task_id))

    async def close(self) -> None:
        """Stop sending and close the connections."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()

    async def _sender(self, member: Member) -> None:
        try:
            while member.outbox:
                await self._send(member, self._take(member))
        finally:
            member.senders -= 1

    def _take(self, member: Member) -> list[tuple[Dispatch, float]]:
        """The next request's tasks: one, or as many as wait and fit. Those that ended meanwhile are left out."""
        some: list[tuple[Dispatch, float]] = []
        most, size = BATCH if member.address.batches else 1, 0
        while member.outbox and len(some) < most and size < BATCH_BYTES:
            entry = member.outbox.popleft()
            if self._is_wanted(entry[0]):
                some.append(entry)
                size += len(self._payload(entry[0])[0])
        return some

    def _is_wanted(self, dispatch: Dispatch) -> bool:
        live = dispatch.live
        return live.status == SCHEDULED and live.attempt == dispatch.attempt

    async def _send(self, member: Member, some: list[tuple[Dispatch, float]]) -> None:
        if not some:
            return
        outgoing = []
        now = asyncio.get_running_loop().time()
        for dispatch, stored in some:
            payload, metadata = self._payload(dispatch)
            outgoing.append(Outgoing(dispatch.live.id, dispatch.live.task.model, Raw(payload), Raw(metadata)))
            self._sent(now - stored)
        self.calls += 1
        acks = await self._client.send(member.address, outgoing)
        for (dispatch, _), ack in zip(some, acks, strict=True):
            if ack.accepted:
                self._acknowledged(member, dispatch, ack)
                self._apply(self._queue.started(dispatch.live.id, dispatch.attempt, self._now()))
            elif ack.certain or not await self._has(member, dispatch):
                self._refused(dispatch, ack.reason)
        if not all(ack.accepted for ack in acks):
            self.spawn(self._check(member))

    async def _has(self, member: Member, dispatch: Dispatch) -> bool:
        """After a send without an answer: whether the instance has the task all the same."""
        if not (member.probe and member.probe.remembers):
            return False
        try:
            held = await self._client.held(member.address, dispatch.live.id)
        except InstanceAway:
            return False
        if held.known:
            self._apply(self._queue.started(dispatch.live.id, dispatch.attempt, self._now()))
        return held.known

    def _refused(self, dispatch: Dispatch, reason: str) -> None:
        self._apply(self._queue.refused(dispatch.live.id, dispatch.attempt, reason, self._now()))
