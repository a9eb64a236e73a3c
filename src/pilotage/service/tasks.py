"""The task service: commands in, stored state out. One object per term of leadership, one event loop."""

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import structlog

from pilotage.engine.taskqueue.machine import Dispatch, LiveTask, Moved, Step, TaskQueue, Withdraw
from pilotage.model.errors import InvalidInput, StorageDown
from pilotage.model.routing import COMPLETED, ENDED, QUEUED, SCHEDULED, Assignment, RoutedTask
from pilotage.service.commands import Outcome, ServiceSettings, Submission
from pilotage.service.events import Hub
from pilotage.service.fleet import Fleet, Member
from pilotage.service.identity import IdMaker
from pilotage.service.journal import Journal
from pilotage.service.ports import (
    Ack,
    Filter,
    InstanceClient,
    NotFound,
    NotLeading,
    QueueFull,
    Store,
    Stored,
    StrategyMaker,
    WrongState,
)
from pilotage.service.rows import Payload, features, to_live, to_row
from pilotage.service.times import Times
from pilotage.service.upkeep import Upkeep

log = structlog.get_logger()

T = TypeVar("T")

DECISIONS = 2_000
"""Decisions that are kept for the page and for explanations."""

RECALLED = 2_000
"""Completed tasks that are learned from at the start."""

EARLY = 1_000
"""Results kept that came before the acknowledgement that says whose they are."""

ACKNOWLEDGED_S = 0.05
"""How long such a result waits for that acknowledgement before it is kept."""


class TaskService:
    """Leads the queue from `start` to `close`. If storing fails for good, ``failed`` is set and it does no more."""

    def __init__(
        self, store: Store, client: InstanceClient, strategies: StrategyMaker, settings: ServiceSettings
    ) -> None:
        self._store = store
        self._strategies = strategies
        self.settings = settings
        self._wall = time.time() - time.monotonic()
        self._client = client
        self.hub = Hub()
        self.times = Times()
        self.strategy_name, self.predict_mode = settings.strategy, settings.predict_mode
        self.queue = TaskQueue(strategies.make(settings.strategy, settings.predict_mode), settings.limits)
        self.fleet = Fleet(
            self.queue,
            client,
            store,
            settings.fleet,
            self.now,
            self._apply,
            lambda dispatch: (dispatch.live.payload.input, dispatch.live.payload.metadata),
            self._acknowledged,
            self.times.dispatch.add,
        )
        self.decisions: deque[tuple[float, Assignment, str]] = deque(maxlen=DECISIONS)
        self.ended = dict.fromkeys(sorted(ENDED), 0)
        """Tasks that ended here since the start, by status."""
        self.submitted = 0
        self.failed = asyncio.Event()
        self._ids = IdMaker()
        self._aliases: dict[str, str] = {}
        self._early: dict[str, tuple[float | None, bytes | None, str]] = {}
        self._keys: dict[tuple[str, str], asyncio.Future[LiveTask | Stored]] = {}
        self._claimed: set[str] = set()
        self._seq = 0
        self._undecided: list[LiveTask] = []
        self._readers = ThreadPoolExecutor(4, thread_name_prefix="task-reader")
        self._background: list[asyncio.Task[None]] = []
        self._stopping = False

    def now(self) -> float:
        """Unix seconds that never run backwards, whatever is done to the clock meanwhile."""
        return self._wall + time.monotonic()

    # ------------------------------------------------------------------ from start to close

    async def start(self) -> None:
        """Take over what an earlier run left: its choices, its instances, its tasks; ask the instances for them."""
        self._journal = Journal(self._store.save, self._row, self.fleet.send, self._on_failure, self._decide)
        self._seq = await self.read(self._store.last_seq)
        await self._restore_choices()
        await self.fleet.restore(await self.read(self._store.instances))
        await self._recall()
        stored = await self.read(self._store.live)
        lives = [to_live(row) for row in stored]
        now = self.now()
        self._apply(self.queue.adopt(lives, now))
        for live in lives:
            member = self.fleet.members.get(live.instance)
            remembers = bool(member and member.probe and member.probe.remembers)
            if live.status == SCHEDULED and live.payload.stored and member and member.answers and not remembers:
                reason = "no acknowledgement before the restart"
                self._apply(self.queue.refused(live.id, live.attempt, reason, now))
        if lives:
            log.info("tasks taken over", tasks=len(lives), instances=len(self.fleet.members))
        upkeep = Upkeep(self.queue, self.fleet, self._store, self._client, self.settings, self.now, self._apply)
        loops = (self.fleet.watch(), upkeep.tick(), upkeep.ask_around(), upkeep.forget())
        self._background = [asyncio.create_task(self._for_ever(each)) for each in loops]

    async def _recall(self) -> None:
        """Learn from the last runs, so that a restart does not begin with nothing learned."""
        for run in await self.read(lambda: self._store.runs(RECALLED)):
            member = self.fleet.members.get(run.instance)
            if member is not None and member.probe is not None:
                platform = member.instance().platform
                self._strategies.recall(run.model, features(run.metadata), platform, member.id, run.run_s)

    async def _restore_choices(self) -> None:
        """Strategy and prediction mode that were chosen while running last as long as the database."""
        name = await self.read(lambda: self._store.setting("strategy")) or self.strategy_name
        mode = await self.read(lambda: self._store.setting("predict_mode")) or self.predict_mode
        if (name, mode) != (self.strategy_name, self.predict_mode):
            try:
                self._use(name, mode)
            except InvalidInput as error:
                log.warning("the stored strategy can not be used", reason=str(error), strategy=self.strategy_name)

    async def close(self) -> None:
        """Take nothing more, end the streams, store what is open. Tasks on instances go on there."""
        self._stopping = True
        self.hub.close()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if not self.failed.is_set():
            await self._journal.close()
        await self.fleet.close()
        self._readers.shutdown(wait=False)

    async def read(self, query: Any) -> Any:
        """Run a query of the store on a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, query)

    def _on_failure(self, error: BaseException) -> None:
        log.error("storing failed: this process leads no longer", reason=str(error), error=type(error).__name__)
        self.failed.set()

    async def _for_ever(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception as error:  # one broken loop must not leave a service that only looks alive
            log.exception("a background loop broke")
            self._on_failure(error)

    # ------------------------------------------------------------------ commands

    def check_leading(self) -> None:
        """Raise `NotLeading` if nothing may be changed here any more."""
        if self._stopping or self.failed.is_set():
            raise NotLeading("this process is stopping")

    async def submit(self, wanted: Submission, *, needs_instance: bool = False) -> tuple[LiveTask | Stored, bool]:
        """Accept a task; returns once it is stored, with False if it was known by its idempotency key.

        Raises `QueueFull`, `NoInstance` (with ``needs_instance``), `WrongState` for an id that is taken, `NotLeading`,
        `StorageDown`.
        """
        if wanted.key is not None:
            return await self._submit_once(wanted, wanted.key, needs_instance)
        self.check_odds(wanted)
        if wanted.task_id is not None:
            await self._claim(wanted.task_id)
        live = self.accept(wanted, needs_instance=needs_instance)
        await self.stored()
        return live, True

    def accept(self, wanted: Submission, *, needs_instance: bool = False) -> LiveTask:
        """The part of `submit` that does not wait: the task is in the queue, and decided and stored with `stored`.

        Only for a task without an id or key of the caller's. Raises as `submit`.
        """
        self.check_leading()
        if needs_instance:
            self.fleet.check_ready(wanted.model)
        self.check_room(1)
        return self._accept(wanted)

    def check_odds(self, wanted: Submission) -> None:
        """Raise `QueueFull` for a task that will hardly start by its deadline: better now than when it is too late."""
        least = self.settings.admit_odds
        if not least or wanted.start_within_s is None:
            return
        now = self.now()
        task = RoutedTask(
            id="",
            model=wanted.model,
            metadata=wanted.features,
            arrival_s=now,
            priority=wanted.priority,
            deadline_s=now + wanted.start_within_s,
        )
        odds = self.queue.strategy.odds(task, now)
        if odds < least:
            reason = f"the odds to start by its deadline are {odds:.2f}, and {least:g} is wanted (admit_odds)"
            raise QueueFull(f"deadline_s: {reason}")

    def check_room(self, more: int) -> None:
        """Raise `QueueFull` unless so many more tasks may wait."""
        if self.queue.waiting + more > self.settings.waiting_limit:
            self._decide()
        if self.queue.waiting + more > self.settings.waiting_limit:
            raise QueueFull(f"{self.settings.waiting_limit} tasks may wait, {self.queue.waiting} do")

    async def _submit_once(self, wanted: Submission, key: str, needs_instance: bool) -> tuple[LiveTask | Stored, bool]:
        """One task per tenant and key, also when the same request comes several times at once."""
        place = (wanted.tenant, key)
        if place in self._keys:
            return await asyncio.shield(self._keys[place]), False
        first = self._keys[place] = asyncio.get_running_loop().create_future()
        try:
            found = await self.read(lambda: self._store.by_key(wanted.tenant, key))
            is_new = found is None
            if is_new:
                self.check_odds(wanted)
                if wanted.task_id is not None:
                    await self._claim(wanted.task_id)
                found = self.accept(wanted, needs_instance=needs_instance)
                await self.stored()
            first.set_result(found)
            return found, is_new
        except BaseException:
            first.set_exception(NotLeading("the same request, sent at the same time, was not accepted"))
            first.exception()  # whether or not somebody waits for it
            raise
        finally:
            del self._keys[place]

    async def _claim(self, task_id: str) -> None:
        """Make sure that a caller's own id is new. No other task of this id can be accepted before we go on."""
        self.check_leading()
        taken = task_id in self.queue.live or task_id in self._claimed
        if not taken:
            self._claimed.add(task_id)
            try:
                taken = await self.read(lambda: self._store.task(task_id)) is not None
            finally:
                self._claimed.discard(task_id)
        if taken:
            raise WrongState(f"Task {task_id} exists already")

    def _accept(self, wanted: Submission) -> LiveTask:
        now = self.now()
        self._seq += 1
        task = RoutedTask(
            id=wanted.task_id or self._ids.make(now),
            model=wanted.model,
            metadata=wanted.features,
            arrival_s=now,
            priority=wanted.priority,
            deadline_s=None if wanted.start_within_s is None else now + wanted.start_within_s,
            tenant=wanted.tenant,
        )
        live = LiveTask(task, payload=Payload(self._seq, wanted.input, wanted.metadata, wanted.key))
        self.submitted += 1
        self._apply(self.queue.submit(live, now, later=True))
        self._undecided.append(live)
        self._journal.note(live)
        return live

    def _decide(self) -> None:
        """Give tasks to instances: once before a commit, for all that came and went since the last one."""
        new, self._undecided = self._undecided, []
        self._apply(self.queue.decide(self.now()))
        for live in new:
            if live.status == QUEUED:
                self._apply([Moved(live)])
                planned = self.queue.strategy.outlook(live.id)
                live.payload.planned = planned.instance if planned else ""

    async def complete(
        self,
        instance: str,
        task_id: str,
        run_s: float | None,
        result: bytes | None = None,
        error: str = "",
        *,
        wait: bool = True,
    ) -> Outcome:
        """An instance says that a task ended; returns once that is stored. Saying it again changes nothing.

        With ``wait`` False it is stored only when `stored` returns.
        """
        self.check_leading()
        member = self.fleet.find(instance)
        if member is None:
            return Outcome(known=False)
        live = self._find_live(task_id)
        if live is None:
            stored = await self.read(lambda: self._store.task(task_id))
            live = self._find_live(task_id)  # its acknowledgement may have come meanwhile
            if live is None and (stored is not None or not member.senders):
                return Outcome(known=stored is not None)
        if live is None:
            # An instance that gives ids of its own may be faster than its acknowledgement; or it waits for our
            # answer before it gives one, so we must not wait long.
            await asyncio.sleep(ACKNOWLEDGED_S)
            live = self._find_live(task_id)
            if live is None:
                if len(self._early) < EARLY:
                    self._early[task_id] = (run_s, result, error)
                return Outcome(known=True, first=True)
        live.payload.result = result
        self._apply(self.queue.completed(live.id, run_s, self.now(), error=error, later=True))
        if wait:
            await self.stored()
        assert live.finished_s is not None
        return Outcome(known=True, first=True, total_s=live.finished_s - live.task.arrival_s, live=live)

    async def cancel(self, task_id: str) -> Stored:
        """Cancel a task wherever it is. Raises `NotFound`, or `WrongState` when it ended already."""
        self.check_leading()
        live = self.queue.live.get(task_id)
        if live is None:
            found = await self.find(task_id)
            raise WrongState(f"Task {task_id} is {found.status} already")
        self._apply(self.queue.cancel(task_id, self.now()))
        await self.stored()
        return to_row(live)

    async def clear(self) -> int:
        """Cancel what has not ended and forget everything up to now; returns how many tasks that were."""
        self.check_leading()
        for task_id in list(self.queue.live):
            self._apply(self.queue.cancel(task_id, self.now()))
        before = self._seq
        await self.stored()
        return await asyncio.wrap_future(self._store.clear(before))

    async def use_strategy(self, name: str) -> None:
        """Go on with another strategy; raises `InvalidInput`."""
        self.check_leading()
        self._use(name, self.predict_mode)
        await asyncio.wrap_future(self._store.keep_setting("strategy", name))

    async def use_predict_mode(self, mode: str) -> None:
        """Predict in another way from now on; raises `InvalidInput`."""
        self.check_leading()
        self._use(self.strategy_name, mode)
        await asyncio.wrap_future(self._store.keep_setting("predict_mode", mode))

    def _use(self, name: str, mode: str) -> None:
        strategy = self._strategies.make(name, mode)
        self.strategy_name, self.predict_mode = name, mode
        self._apply(self.queue.switch(strategy, self.now()))
        self.hub.publish("strategy", {"strategy": name, "predict_mode": mode})
        log.info("strategy", strategy=name, predict_mode=mode)

    @property
    def strategy_names(self) -> tuple[str, ...]:
        """The strategies that can be used."""
        return tuple(self._strategies.names)

    # ------------------------------------------------------------------ questions

    async def find(self, task_id: str) -> Stored:
        """A task by its id, or by the one that its instance gave it. Raises `NotFound`."""
        live = self._find_live(task_id)
        if live is not None:
            return to_row(live)
        if "\x00" in task_id:  # PostgreSQL has no such text
            raise NotFound("Task not found: an id has no NUL in it")
        found: Stored | None = await self.read(lambda: self._store.task(task_id))
        if found is None:
            raise NotFound(f"Task {task_id} not found")
        return found

    async def search(self, wanted: Filter, limit: int) -> list[Stored]:
        """Tasks as they are stored, newest first, without inputs and results."""
        found: list[Stored] = await self.read(lambda: self._store.tasks(wanted, limit))
        return found

    async def count(self, wanted: Filter) -> int:
        """How many tasks a filter meets."""
        found: int = await self.read(lambda: self._store.count(wanted))
        return found

    def queues(self, model: str | None = None) -> list[dict[str, Any]]:
        """Per instance that answers: its model, and how long a task sent there now would wait (milliseconds)."""
        told, now = [], self.now()
        for member in self.fleet.members.values():
            instance = member.instance()
            if member.answers and (model is None or instance.model == model):
                expected_s, error_s = self.queue.strategy.wait(member.id, now)
                told.append(
                    {
                        "model_name": instance.model or "unknown",
                        "ti_uuid": member.id,
                        "waiting_time_expect": round(expected_s * 1000, 3),
                        "waiting_time_error": round(error_s * 1000, 3),
                    }
                )
        return told

    def instance_of(self, task_id: str) -> str:
        """Where a task is, or (late bound) where the plan would send it now; empty: nowhere yet."""
        live = self.queue.live.get(task_id)
        if live is None or live.instance:
            return live.instance if live else ""
        planned = self.queue.strategy.planned(task_id)
        return planned.instance if planned else ""

    async def stored(self) -> None:
        """Return once everything so far is committed. Raises `StorageDown`."""
        try:
            await self._journal.stored()
        except (StorageDown, NotLeading):
            raise
        except Exception as error:
            raise NotLeading(f"it could not be stored: {error}") from error

    # ------------------------------------------------------------------ inside

    def _find_live(self, task_id: str) -> LiveTask | None:
        return self.queue.live.get(task_id) or self.queue.live.get(self._aliases.get(task_id, ""))

    def _apply(self, steps: list[Step]) -> None:
        """Store what changed, send what is stored, tell who watches."""
        for step in steps:
            if isinstance(step, Dispatch):
                live = step.live
                live.payload.ask_s = self.now() + self.settings.ask_after_s
                self._journal.note(live, step)
                if live.decision is not None:
                    self.decisions.append((live.scheduled_s or 0.0, live.decision, self.strategy_name))
                self._publish(live)
            elif isinstance(step, Moved):
                if step.lazy:
                    self._journal.note_lazily(step.live)
                else:
                    self._journal.note(step.live)
                if step.live.status in ENDED:
                    self._on_end(step.live)
                self._publish(step.live)
            else:
                assert isinstance(step, Withdraw)
                self.fleet.withdraw(step.task_id, step.instance)

    def _publish(self, live: LiveTask) -> None:
        self.hub.publish("task", (live.id, live.status, live.instance, live.task.model, self.now()))

    def _on_end(self, live: LiveTask) -> None:
        self.ended[live.status] += 1
        if live.payload.remote_id:
            self._aliases.pop(live.payload.remote_id, None)
        if live.status != COMPLETED:
            return
        assert live.finished_s is not None
        self.times.add(live.id, live.finished_s - live.task.arrival_s, live.run_s)
        instance = self.queue.instances.get(live.instance)
        if live.run_s is not None and instance is not None:
            task = live.task
            self._strategies.observe(task.model, task.metadata, instance.platform, live.instance, live.run_s)

    def _acknowledged(self, member: Member, dispatch: Dispatch, ack: Ack) -> None:
        """Remember the id that an instance gave a task; a result may have come under it already."""
        live = dispatch.live
        if not ack.remote_id or ack.remote_id == live.id or live.status in ENDED:
            return
        live.payload.remote_id = ack.remote_id
        self._aliases[ack.remote_id] = live.id
        early = self._early.pop(ack.remote_id, None)
        if early is not None:
            run_s, live.payload.result, error = early
            self._apply(self.queue.completed(live.id, run_s, self.now(), error=error))

    def _row(self, live: LiveTask) -> tuple[Stored, bool]:
        is_new = not live.payload.stored
        live.payload.stored = True
        return to_row(live), is_new
