"""A worker: takes requests, decides, commits, acknowledges. Any number of them share one queue and one database.

::

    queue ──part──▶ parse, [decide thread] decide ──batch──▶ [writer thread] one transaction ──▶ settle
                          ▲   while a batch is committed, the next grows part by part   │
                          └────────────── outcomes, what others committed ──────────────┘

A delivery is settled only when its effect is durable. Nothing else is remembered: a worker that dies loses nothing,
and what it had committed without settling comes again and is found done.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import structlog
from msgspec import Struct, field
from sqlalchemy import Engine as Database

from pilotage.adapters.sql.engine import is_outage, reading
from pilotage.adapters.sql.vms.claims import commit
from pilotage.adapters.sql.vms.feed import Snapshot, changes_since, snapshot
from pilotage.adapters.sql.writer import Writer
from pilotage.app.vms.metrics import WorkerMetrics
from pilotage.engine.placer import Pending, Placer
from pilotage.engine.request_queue import Delivery, RequestQueue
from pilotage.model.claim import Batch, Change, Committed, Decided, ErrorClass, Letter
from pilotage.model.errors import CommitUnknown, InvalidInput, StorageDown
from pilotage.model.vm import SchedulingRequest, id_in, parse_request

_log = structlog.get_logger(__name__)

T = TypeVar("T")
_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_PARTS = 4
"""Parts that a batch grows by at most while another is committed: a part costs the decider as such."""
_LONGEST_LINGER_S = 0.05


class Entry(Struct):
    """A request in this worker, with every delivery of it that came meanwhile."""

    pending: Pending
    deliveries: list[Delivery]
    others: list[Delivery] = field(default_factory=list)
    """Deliveries with the same id and another body: looked at when this one is done."""


class Work(Struct):
    """One batch on its way to the database. ``known``: its decisions rest on history up to here at least."""

    decided: list[Decided] = []
    letters: list[tuple[Letter, Delivery]] = []
    known: int = 0

    def __bool__(self) -> bool:
        return bool(self.decided or self.letters)

    def add(self, part: "Work") -> None:
        self.known = min(self.known, part.known) if self else part.known
        self.decided += part.decided
        self.letters += part.letters


class Worker:
    """``batch``: most requests of one transaction; ``linger_s``: how long the first one waits for more at least.

    ``park`` keeps whole what names no task that could be asked for, before it is acknowledged.
    """

    def __init__(
        self,
        name: str,
        queue: RequestQueue,
        database: Database,
        writer: Writer,
        placer: Placer,
        metrics: WorkerMetrics,
        *,
        receivers: Sequence[str] = (),
        batch: int = 500,
        linger_s: float = 0.002,
        idle_s: float = 0.5,
        on_settled: Callable[[], None] = lambda: None,
        admit: Callable[[SchedulingRequest], None] = lambda request: None,
        park: Callable[[list[tuple[Letter, Delivery]]], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self._queue = queue
        self._database = database
        self._writer = writer
        self._placer = placer
        self._metrics = metrics
        self._receivers = tuple(receivers)
        self._batch = batch
        self._linger_s = linger_s
        self._idle_s = idle_s
        self._on_settled = on_settled
        self._admit = admit
        self._park = park
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decide")
        self._entries: dict[str, Entry] = {}
        self._again: list[Entry] = []
        self._woken = asyncio.Event()
        self._next = Work()
        """What is committed next."""
        self._handed, self._taken = asyncio.Event(), asyncio.Event()
        """Set when there is something to commit, or nothing will come any more; when the next batch was begun."""
        self._committing = False
        self._decided_all = False
        self._learning: asyncio.Future[None] | None = None
        self._stopping = False
        self._read = 0
        self._commit_s = 0.0

    async def run(self) -> None:
        """Work until `stop`; returns when everything taken is settled or given back."""
        await self._begin()
        deciding, committing = asyncio.create_task(self._decide_all()), asyncio.create_task(self._commit_all())
        try:
            # Whichever fails ends the other, which would wait for it for ever.
            await asyncio.wait((deciding, committing), return_when=asyncio.FIRST_COMPLETED)
            if not committing.done():
                await deciding
                self._decided_all = True
                self._handed.set()
            await committing
        finally:
            for task in (deciding, committing):
                task.cancel()
            await asyncio.gather(deciding, committing, return_exceptions=True)
            self._thread.shutdown()

    async def stop(self) -> None:
        """Take nothing new and let `run` end once what was taken is done."""
        self._stopping = True
        await self._queue.stop()
        self._woken.set()

    async def switch(self, use: Callable[[Placer], list[str]]) -> list[str]:
        """Run a change of strategy between two batches; returns the pools that it touched."""
        return await self._decide_thread(partial(use, self._placer))

    async def _decide_thread(self, action: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, action)

    async def _database_thread(self, action: Callable[[], T]) -> T:
        return await _patiently(lambda: asyncio.to_thread(action))

    # -- knowledge -----------------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        """Learn all hosts and claims; without any host there is nothing to decide, so wait for the inventory."""
        told = False
        while True:
            known = await self._database_thread(partial(self._snapshot, None))
            if known.hosts or self._stopping:
                break
            if not told:
                _log.warning("no hosts yet: waiting for an inventory (pilotage nodes import)")
                told = True
            await asyncio.sleep(self._idle_s)

        def learn() -> None:
            self._placer.set_hosts(known.hosts)
            self._placer.follow(known.claims)
            self._placer.seq = known.seq

        await self._decide_thread(learn)
        await _patiently(lambda: asyncio.wrap_future(self._writer.run(lambda _: None)))  # it connects now, not later
        self._read = known.seq
        _log.info("worker ready", worker=self.name, hosts=len(known.hosts), claims=len(known.claims), seq=known.seq)

    def _snapshot(self, hosts: Sequence[str] | None) -> Snapshot:
        with reading(self._database) as connection:
            return snapshot(connection, hosts)

    async def _learn(self, work: Work, done: Committed) -> None:
        """Begin to take in how a commit ended and what others committed; nobody waits for it but the next of its kind.

        On return it is in line before any later decision, and the next batch may be committed meanwhile.
        """
        await self._learnt()

        def take_in() -> set[str]:
            self._placer.learn(work.decided, done.outcomes)
            for name, row in done.hosts.items():
                self._placer.set_host(name, row)
            stale = self._placer.follow(done.changes)
            if not stale:
                self._placer.seq = done.seq
            return stale

        taken_in = asyncio.get_running_loop().run_in_executor(self._thread, take_in)
        self._learning = asyncio.ensure_future(self._renew(taken_in, done.seq))
        self._read = done.seq

    async def _learnt(self) -> None:
        if self._learning is not None:
            await self._learning

    async def _renew(self, taken_in: Awaitable[set[str]], seq: int) -> None:
        """Read the rows that are news; history counts as known only when they are in."""
        stale = await taken_in
        if not stale:
            return
        known = await self._database_thread(partial(self._snapshot, sorted(stale)))

        def renew() -> None:
            for name in stale:
                self._placer.set_host(name, known.hosts.get(name))
            # What came later is in a batch of ours that is being committed, or comes with the history.
            self._placer.follow(each for each in known.claims if each.seq <= seq)
            self._placer.seq = seq

        await self._decide_thread(renew)

    # -- deciding ------------------------------------------------------------------------------------------------

    async def _decide_all(self) -> None:
        incoming: asyncio.Future[list[Delivery]] | None = None
        try:
            while True:
                room = self._batch - len(self._next.decided)
                if incoming is None and room > 0 and not self._stopping:
                    incoming = asyncio.ensure_future(self._queue.batch(room, self._linger()))
                if not self._again and (incoming is None or not incoming.done()):
                    if incoming is None and self._stopping and not self._entries:
                        return
                    self._woken.clear()
                    woken = asyncio.ensure_future(self._woken.wait())
                    awaited: list[asyncio.Future[Any]] = [woken] if incoming is None else [woken, incoming]
                    await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
                    woken.cancel()
                again, self._again = self._again, []
                deliveries: list[Delivery] = []
                if incoming is not None and incoming.done():
                    deliveries, incoming = incoming.result(), None
                if deliveries or again:
                    pending, letters = self._take_in(deliveries, again)
                    await self._hand_over(await self._decide_thread(partial(self._decide, pending, letters)))
        finally:
            if incoming is not None:
                incoming.cancel()

    def _linger(self) -> float:
        """How long a part waits for more: while a batch is committed nothing is won by haste."""
        part_s = min(self._commit_s / _PARTS, _LONGEST_LINGER_S) if self._committing else 0
        return max(self._linger_s, part_s)

    async def _hand_over(self, part: Work) -> None:
        """Let the next batch grow by a part; waits while it has no room for it."""
        while self._next and len(self._next.decided) + len(part.decided) > self._batch:
            self._taken.clear()
            await self._taken.wait()
        if part:
            self._next.add(part)
            self._handed.set()

    def _take_in(
        self, deliveries: list[Delivery], again: list[Entry]
    ) -> tuple[list[Pending], list[tuple[Letter, Delivery]]]:
        """Read deliveries: what is to be decided, and what can not be read. The loop owns the entries."""
        now = self._clock()
        pending = [entry.pending for entry in again]
        letters: list[tuple[Letter, Delivery]] = []
        for delivery in deliveries:
            try:
                request = parse_request(delivery.body, delivery.message_id)
                self._admit(request)
            except InvalidInput as error:
                letters.append((_letter(delivery, error), delivery))
                continue
            entry = self._entries.get(request.task_id)
            if entry is None:
                entry = self._entries[request.task_id] = Entry(Pending(request, now), [delivery])
                pending.append(entry.pending)
            elif entry.pending.request == request:
                entry.deliveries.append(delivery)
            else:
                entry.others.append(delivery)
        self._metrics.in_flight.set(len(self._entries))
        return pending, letters

    def _decide(self, pending: list[Pending], letters: list[tuple[Letter, Delivery]]) -> Work:
        started = time.perf_counter()
        decided = self._placer.decide(pending, self._clock()) if pending else []
        self._metrics.decided(len(pending), time.perf_counter() - started)
        return Work(decided, letters, self._placer.seq)

    # -- committing ----------------------------------------------------------------------------------------------

    async def _commit_all(self) -> None:
        while not (self._decided_all and not self._next):
            try:
                await asyncio.wait_for(self._handed.wait(), self._idle_s)
            except TimeoutError:
                await self._look_around()
                continue
            self._handed.clear()
            work, self._next = self._next, Work()
            self._taken.set()
            self._woken.set()
            if work:
                self._committing = True
                await self._carry_out(work)
                self._committing = False
        await self._learnt()

    async def _look_around(self) -> None:
        """Nothing to do: read what others committed meanwhile."""

        def read() -> list[Change]:
            with reading(self._database) as connection:
                return changes_since(connection, self._read)

        changes = await self._database_thread(read)
        if changes:
            await self._learn(Work([], [], 0), Committed([], {}, changes, changes[-1].seq))

    async def _carry_out(self, work: Work) -> None:
        """Commit a batch; where that fails by itself, find the request that is to blame and set it aside."""
        started = time.perf_counter()
        try:
            done = await _patiently(partial(self._commit, work))
        except Exception as error:
            _log.error("commit failed", error=f"{type(error).__name__}: {error}", requests=len(work.decided))
            await self._split(work, error)
            return
        self._commit_s = time.perf_counter() - started
        self._metrics.committed(done.outcomes, work.decided, len(work.letters), self._commit_s)
        await self._learn(work, done)
        await self._settle(work, done)

    def _commit(self, work: Work) -> Awaitable[Committed]:
        batch = Batch(
            worker=self.name,
            now=self._clock(),
            decided=work.decided,
            letters=[letter for letter, _ in work.letters],
            known=work.known,
            read=self._read,
            receivers=self._receivers,
        )
        return asyncio.wrap_future(self._writer.run(lambda connection: commit(connection, batch)))

    async def _split(self, work: Work, error: Exception) -> None:
        """Halve until the request is alone; then it becomes a dead letter."""
        count = len(work.decided)
        if count > 1 or (count and work.letters):
            for part in (work.decided[: count // 2], work.decided[count // 2 :]):
                if part:
                    await self._carry_out(Work(part, [], work.known))
            if work.letters:
                await self._carry_out(Work([], work.letters, work.known))
            return
        if count:
            decided = work.decided[0]
            await self._decide_thread(partial(self._placer.learn, [decided], ["conflict"]))
            decided.host, decided.error_class = "", ErrorClass.BUG
            decided.error = f"{type(error).__name__}: {error}"[:1000]
            with suppress(Exception):
                done = await _patiently(partial(self._commit, work))
                await self._settle(work, done)
                return
        deliveries = [delivery for _, delivery in work.letters]
        for each in work.decided:
            entry = self._entries.pop(each.task_id)
            deliveries += entry.deliveries + entry.others
        await self._queue.give_back(deliveries)
        await asyncio.sleep(_PAUSE_S)

    async def _settle(self, work: Work, done: Committed) -> None:
        """Acknowledge what is durable; what was refused is decided again, before anything new."""
        settled = [delivery for _, delivery in work.letters]
        for each, outcome in zip(work.decided, done.outcomes, strict=True):
            if outcome in ("refused", "stale"):
                entry = self._entries[each.task_id]
                entry.pending.attempts += 1
                self._again.append(entry)
                continue
            entry = self._entries.pop(each.task_id)
            settled += entry.deliveries
            if entry.others:
                self._take_up(entry.others)
        nameless = [each for each in work.letters if not each[0].task_id]
        if nameless and self._park is not None:
            await self._park(nameless)
        await self._queue.settle(settled)
        self._woken.set()
        self._on_settled()

    def _take_up(self, others: list[Delivery]) -> None:
        """Requests that came under an id in use: now that it is free they are decided, and found to be in conflict."""
        for delivery in others:
            request = parse_request(delivery.body, delivery.message_id)
            entry = self._entries.get(request.task_id)
            if entry is None:
                entry = self._entries[request.task_id] = Entry(Pending(request, self._clock()), [delivery])
                self._again.append(entry)
            else:
                entry.others.append(delivery)


def _letter(delivery: Delivery, error: InvalidInput) -> Letter:
    """A delivery that is no request, under the id by which its sender may ask for it."""
    return Letter(
        task_id=id_in(delivery.body) or delivery.message_id[:128],
        message_id=delivery.message_id,
        field=error.field,
        reason=error.reason,
        body=delivery.body,
    )


async def _patiently(action: Callable[[], Awaitable[T]]) -> T:
    """Do it again and again while the database is away; what has been taken stays taken meanwhile."""
    pause = _PAUSE_S
    while True:
        try:
            return await action()
        except (StorageDown, CommitUnknown) as error:
            _log.warning("database away", error=str(error), again_in_s=pause)
        except Exception as error:
            if not is_outage(error):
                raise
            _log.warning("database away", error=type(error).__name__, again_in_s=pause)
        await asyncio.sleep(pause)
        pause = min(_LONGEST_PAUSE_S, 2 * pause)
