"""The state machine of the queue: every task that has not ended, every instance, one strategy.

Each method takes what happened and returns the steps that follow from it; the driver stores the tasks in them, and
sends only what is stored. A task is in exactly one place: with the strategy (queued), resting before another attempt
(queued), or on one instance (scheduled, running).
"""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import Any

from msgspec import Struct, structs

from pilotage.engine.taskqueue.strategy import Strategy
from pilotage.model.routing import (
    CANCELLED,
    COMPLETED,
    ENDED,
    EXPIRED,
    FAILED,
    QUEUED,
    RUNNING,
    SCHEDULED,
    TRANSITIONS,
    Assignment,
    Instance,
    RoutedTask,
)


class Attempt(Struct, frozen=True):
    """A try that came to nothing: where, when it was sent, when it was given up, and why."""

    instance: str
    sent_s: float
    ended_s: float
    reason: str


class LiveTask(Struct, gc=False):
    """A task that has not ended, or just did. The driver may keep what it needs in ``payload``."""

    task: RoutedTask
    status: str = QUEUED
    instance: str = ""
    attempt: int = 0
    scheduled_s: float | None = None
    started_s: float | None = None
    finished_s: float | None = None
    run_s: float | None = None
    error: str = ""
    attempts: tuple[Attempt, ...] = ()
    decision: Assignment | None = None
    payload: Any = None

    @property
    def id(self) -> str:
        """The task's id."""
        return self.task.id


class Dispatch(Struct, frozen=True, gc=False):
    """Send the task to the instance once its state is stored; answer with `started` or `refused`."""

    live: LiveTask
    instance: str
    attempt: int


class Withdraw(Struct, frozen=True, gc=False):
    """Tell the instance, if it can be told, that the task is no longer wanted there."""

    task_id: str
    instance: str


class Moved(Struct, frozen=True, gc=False):
    """The task's state changed; ``lazy``: nothing is lost if that is never stored."""

    live: LiveTask
    lazy: bool = False


Step = Dispatch | Withdraw | Moved


class Limits(Struct, frozen=True):
    """How often a task is tried, how long it rests after all instances refused it (doubling), how long it may run."""

    attempts: int = 5
    rest_s: float = 0.2
    longest_rest_s: float = 5.0
    run_s: float = 3600.0


STALE_ALARMS = 1_000
"""Alarms of tasks that have ended are kept until they are so many, and more than the others."""


class TaskQueue:
    """Events in, steps out. Times are seconds of one clock that the caller reads."""

    def __init__(self, strategy: Strategy, limits: Limits | None = None) -> None:
        self._strategy = strategy
        self._limits = limits or Limits()
        self.live: dict[str, LiveTask] = {}
        """All tasks that have not ended, in order of arrival."""
        self.instances: dict[str, Instance] = {}
        self.on: dict[str, dict[str, LiveTask]] = {}
        """Per instance the tasks that are on it, in the order they were sent."""
        self._placed = 0
        self._resting: dict[str, float] = {}
        self._alarms: list[tuple[float, int, str]] = []  # (when, attempt or -1 for a deadline, task)

    @property
    def strategy(self) -> Strategy:
        """The strategy in effect."""
        return self._strategy

    @property
    def waiting(self) -> int:
        """Tasks that are on no instance."""
        return len(self.live) - self._placed

    # ------------------------------------------------------------------ tasks

    def submit(self, live: LiveTask, now: float, *, later: bool = False) -> list[Step]:
        """A task arrives; its id must be new. ``later``: the caller asks `decide` itself, once for many tasks."""
        task = live.task
        self.live[task.id] = live
        self._strategy.submitted(task, now)
        if task.deadline_s is not None:
            heappush(self._alarms, (task.deadline_s, -1, task.id))
        if later:
            return []
        steps = self.decide(now)
        if live.status == QUEUED:
            steps.append(Moved(live))
        return steps

    def started(self, task_id: str, attempt: int, now: float) -> list[Step]:
        """The instance took the task. Late news of an earlier attempt changes nothing."""
        live = self.live.get(task_id)
        if live is None or live.attempt != attempt or live.status != SCHEDULED:
            return []
        self._move(live, RUNNING)
        live.started_s = now
        self._strategy.started(task_id, now)
        return [Moved(live, lazy=True)]

    def refused(self, task_id: str, attempt: int, reason: str, now: float) -> list[Step]:
        """The instance did not take the task, or lost it: try another one, at most so often as the limits say."""
        live = self.live.get(task_id)
        if live is None or live.attempt != attempt or live.status not in (SCHEDULED, RUNNING):
            return []
        return self._again(live, reason, now) + self.decide(now)

    def completed(
        self, task_id: str, run_s: float | None, now: float, *, error: str = "", later: bool = False
    ) -> list[Step]:
        """A task's run ended, well or (``error``) not. The first such news counts, whichever instance it is from.

        ``later`` as in `submit`.
        """
        live = self.live.get(task_id)
        if live is None:
            return []
        live.run_s = run_s
        steps = self._end(live, FAILED if error else COMPLETED, error, now)
        return steps if later else steps + self.decide(now)

    def cancel(self, task_id: str, now: float) -> list[Step]:
        """Somebody no longer wants a task, wherever it is."""
        live = self.live.get(task_id)
        return [] if live is None else self._end(live, CANCELLED, "cancelled", now) + self.decide(now)

    def tick(self, now: float) -> list[Step]:
        """Time passed: deadlines, rests that end, runs that take too long."""
        steps: list[Step] = []
        while self._alarms and self._alarms[0][0] <= now:
            _, attempt, task_id = heappop(self._alarms)
            live = self.live.get(task_id)
            if live is None:
                continue
            if attempt < 0:
                if live.status == QUEUED:
                    steps += self._end(live, EXPIRED, "its deadline passed before it was started", now)
            elif task_id in self._resting and live.attempt == attempt:
                del self._resting[task_id]
                self._strategy.submitted(live.task, now)
            elif live.attempt == attempt and live.status in (SCHEDULED, RUNNING):
                reason = f"no result within {self._limits.run_s:g} s"
                steps.append(Withdraw(task_id, live.instance))
                steps += self._again(live, reason, now)
        return steps + self.decide(now)

    def next_alarm(self) -> float | None:
        """When `tick` has something to do at the latest."""
        return self._alarms[0][0] if self._alarms else None

    # ------------------------------------------------------------------ instances

    def instance_changed(self, instance: Instance, now: float) -> list[Step]:
        """An instance is new, or changed: readiness, slots, model."""
        self.instances[instance.id] = instance
        self.on.setdefault(instance.id, {})
        self._strategy.instance_changed(instance, now)
        return self.decide(now)

    def instance_lost(self, instance_id: str, reason: str, now: float) -> list[Step]:
        """Whatever is on the instance will not come back from it: it restarted, or is away for too long."""
        return self._lose(instance_id, reason, now) + self.decide(now)

    def instance_removed(self, instance_id: str, now: float) -> list[Step]:
        """The instance is gone for good; its tasks go elsewhere."""
        if instance_id not in self.instances:
            return []
        steps = self._lose(instance_id, "the instance was removed", now)
        self._strategy.instance_removed(instance_id, now)
        del self.on[instance_id]
        del self.instances[instance_id]
        return steps + self.decide(now)

    # ------------------------------------------------------------------ the whole

    def adopt(self, lives: Iterable[LiveTask], now: float) -> list[Step]:
        """Take over the tasks of an earlier run, as they were stored; their instances must be known already."""
        steps: list[Step] = []
        for live in lives:
            self.live[live.id] = live
            if live.task.deadline_s is not None:
                heappush(self._alarms, (live.task.deadline_s, -1, live.id))
            if live.status == QUEUED:
                self._strategy.submitted(live.task, now)
            elif live.instance in self.instances:
                self._place(live, now)
                self._strategy.placed(live.task, live.instance, live.started_s, now)
            else:
                self._back(live, QUEUED)
                self._strategy.submitted(live.task, now)
                steps.append(Moved(live))
        return steps + self.decide(now)

    def switch(self, strategy: Strategy, now: float) -> list[Step]:
        """Go on with another strategy: it is told of every instance and task; nothing is moved."""
        self._strategy = strategy
        for instance in self.instances.values():
            strategy.instance_changed(instance, now)
        for live in self.live.values():
            if live.instance:
                strategy.placed(live.task, live.instance, live.started_s, now)
            elif live.id not in self._resting:
                strategy.submitted(live.task, now)
        return self.decide(now)

    def decide(self, now: float) -> list[Step]:
        """Give waiting tasks to instances. Only who said ``later`` need ask: everything else does it by itself."""
        steps: list[Step] = []
        for made in self._strategy.decide(now):
            live = self.live[made.task_id]
            self._move(live, SCHEDULED)
            live.instance, live.decision = made.instance, made
            live.attempt += 1
            live.scheduled_s, live.started_s = now, None
            self._place(live, now)
            steps.append(Dispatch(live, made.instance, live.attempt))
        return steps

    # ------------------------------------------------------------------ inside

    def _place(self, live: LiveTask, now: float) -> None:
        self.on[live.instance][live.id] = live
        self._placed += 1
        heappush(self._alarms, (now + self._limits.run_s, live.attempt, live.id))
        if len(self._alarms) > STALE_ALARMS + 4 * len(self.live):  # a task has two at the most that can still ring
            self._alarms = [each for each in self._alarms if self._can_ring(each)]
            heapify(self._alarms)

    def _can_ring(self, alarm: tuple[float, int, str]) -> bool:
        live = self.live.get(alarm[2])
        return live is not None and alarm[1] in (-1, live.attempt)

    def _lose(self, instance_id: str, reason: str, now: float) -> list[Step]:
        steps: list[Step] = []
        for live in list(self.on.get(instance_id, {}).values()):
            steps += self._again(live, reason, now)
        return steps

    def _again(self, live: LiveTask, reason: str, now: float) -> list[Step]:
        """End an attempt; queue the task for the next one, let it rest first, or give it up."""
        ended = Attempt(live.instance, live.scheduled_s or now, now, reason)
        live.attempts = (*live.attempts, ended)
        if live.attempt >= self._limits.attempts:
            tried = "; ".join(f"{each.instance}: {each.reason}" for each in live.attempts[-3:])
            return self._end(live, FAILED, f"{live.attempt} attempts came to nothing: {tried}", now)
        self._strategy.left(live.id, None, now)
        avoid = (*(each for each in live.task.avoid if each != live.instance), live.instance)
        live.task = structs.replace(live.task, avoid=avoid)
        self._back(live, QUEUED)
        peers = [each.id for each in self.instances.values() if each.model == live.task.model and each.ready]
        if any(each not in avoid for each in peers):
            self._strategy.submitted(live.task, now)
        else:
            rest_s = min(self._limits.longest_rest_s, self._limits.rest_s * 2 ** (live.attempt - 1))
            self._resting[live.id] = now + rest_s
            heappush(self._alarms, (now + rest_s, live.attempt, live.id))
        return [Moved(live)]

    def _end(self, live: LiveTask, status: str, error: str, now: float) -> list[Step]:
        steps: list[Step] = []
        if live.instance:
            self._strategy.left(live.id, live.run_s if status == COMPLETED else None, now)
            if status == CANCELLED:
                steps.append(Withdraw(live.id, live.instance))
        elif self._resting.pop(live.id, None) is None:
            self._strategy.withdrawn(live.id, now)
        self._unplace(live)
        self._move(live, status)
        live.error, live.finished_s = error, now
        del self.live[live.id]
        steps.append(Moved(live))
        return steps

    def _back(self, live: LiveTask, status: str) -> None:
        self._unplace(live)
        self._move(live, status)
        live.instance, live.scheduled_s, live.started_s = "", None, None

    def _unplace(self, live: LiveTask) -> None:
        there = self.on.get(live.instance)
        if there is not None and there.pop(live.id, None) is not None:
            self._placed -= 1

    def _move(self, live: LiveTask, status: str) -> None:
        assert status in TRANSITIONS[live.status], f"{live.id}: {live.status} -> {status}"
        live.status = status

    def check(self) -> None:
        """Raise `AssertionError` if the books contradict each other (for tests)."""
        for task_id, live in self.live.items():
            assert live.id == task_id
            assert live.status not in ENDED
            assert (live.status == QUEUED) == (live.instance == ""), live
            if live.instance:
                assert self.on[live.instance][task_id] is live
        assert self._placed == sum(map(len, self.on.values()))
        for instance_id, tasks in self.on.items():
            assert all(live.instance == instance_id and self.live[task_id] is live for task_id, live in tasks.items())
        assert all(self.live[task_id].status == QUEUED for task_id in self._resting)
