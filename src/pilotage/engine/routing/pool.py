"""The instances of one model and the tasks on them, as the lanes that `plan` reads."""

from collections.abc import Mapping
from heapq import heapify, heapreplace
from itertools import islice
from math import inf

from pilotage.engine.routing.handover import HandOver
from pilotage.engine.routing.plan import Lane
from pilotage.engine.routing.run_time import RunTime
from pilotage.model.routing import Instance, RoutedTask

MOST_AHEAD = 16
"""Tasks per slot that are sent ahead at the most: one whose word of run times is wrong must not hoard them."""

_FRESH = 0.02
"""An expected end is looked at again when this part of the time until it has passed, or later."""

_BUSY_S = 1e-6
"""What is left of a running task at the least: nothing has ended before it says so."""


REPORTS_AHEAD = 2.0
"""A slot may be given a task ahead if it is expected to be free within so many times the time to the next report."""

HANDOVERS_AHEAD = 10.0
"""And within so many times what handing a task over takes. More than once, since run times are uncertain, and an
instance that idles for want of news costs more than a task that is bound a little early (docs/routing.md)."""


class Bound:
    """A task on an instance: what it is, how long it should run, and since when it is thought to run (None: queued).

    ``sent_s``: when it was sent, if it found a free slot.
    """

    __slots__ = ("run_time", "sent_s", "started_s", "task")

    def __init__(
        self, task: RoutedTask, run_time: RunTime, started_s: float | None, sent_s: float | None = None
    ) -> None:
        self.task = task
        self.run_time = run_time
        self.started_s = started_s
        self.sent_s = sent_s


class Row:
    """One instance: its column of run times, its tasks in the order they were sent, and when it was last heard of."""

    __slots__ = ("_factor", "_handover", "_slots", "_until_s", "ahead_s", "column", "heard_s", "instance", "tasks")

    def __init__(self, instance: Instance, column: int, heard_s: float) -> None:
        self.instance = instance
        self.column = column
        self.heard_s = heard_s
        self.tasks: dict[str, Bound] = {}
        self._handover = HandOver()
        self.ahead_s = 0.0
        """A slot that is expected to be free within so long may be given its next task now."""
        self._slots: list[float] = []
        self._until_s = -inf  # the moments in _slots hold until then
        self._factor = 1.0

    def changed(self, now: float) -> None:
        """Its tasks are others now: the first ``slots`` of them are taken to run."""
        self._until_s = -inf
        room = len(self.tasks) < (1 + MOST_AHEAD) * self.instance.slots
        self.ahead_s = HANDOVERS_AHEAD * self._handover.cost_s if room else 0.0
        for bound in islice(self.tasks.values(), self.instance.slots):
            if bound.started_s is None:
                bound.started_s = now

    def runs(self, task_id: str) -> bool:
        """Whether a task is among those that are taken to run."""
        return len(self.tasks) <= self.instance.slots or task_id in islice(self.tasks, self.instance.slots)

    def has_room(self, factor: float, now: float) -> bool:
        """Whether it may be given a task: a slot is free, or will be before a task sent now has reached it."""
        if not self.instance.ready:
            return False
        if len(self.tasks) < self.instance.slots:
            return True
        return self.ahead_s > 0 and min(self.free_s(factor, now)) <= now + self.ahead_s

    def handed_over(self, beside_s: float, now: float) -> None:
        """A task that had found a free slot took so long beside its run."""
        self._handover.observe(beside_s)
        self.changed(now)

    def ahead_of_report_s(self, report_s: float, now: float) -> float:
        """`ahead_s` of an instance that is heard of only every ``report_s``."""
        return REPORTS_AHEAD * max(0.0, self.heard_s + report_s - now)

    def free_s(self, factor: float, now: float) -> list[float]:
        """Return the moment at which each slot is free: now, or when the tasks on it are expected to end."""
        idle = self.instance.slots - len(self.tasks)
        ends_s = self.ends_s(factor, now)
        return ends_s + [now] * idle if idle > 0 else ends_s

    def ends_s(self, factor: float, now: float) -> list[float]:
        """Return the moment at which each slot is free that has a task."""
        if now >= self._until_s or factor != self._factor:
            self._factor = factor
            self._expect(now)
        return self._slots

    def _expect(self, now: float) -> None:
        """Running tasks first, then the queued ones in their order, each on the slot that is free first."""
        factor, slots, until_s = self._factor, self.instance.slots, inf
        moments: list[float] = []
        for at, bound in enumerate(self.tasks.values()):
            if at < slots:
                started_s = now if bound.started_s is None else bound.started_s
                expected_s, holds_s = bound.run_time.expected_s((now - started_s) / factor)
                end_s = max(started_s + factor * expected_s, now + _BUSY_S)
                moments.append(end_s)
                until_s = min(until_s, max(started_s + factor * holds_s, now + _FRESH * (end_s - now)))
                if at == slots - 1:
                    heapify(moments)
            else:
                heapreplace(moments, moments[0] + factor * bound.run_time.mean_s)
        self._slots, self._until_s = moments, until_s


class Pool:
    """Rows and columns: an instance is a row, a platform (speed class) a column of predicted run times."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.platforms: list[str] = []

    def change(self, instance: Instance, now: float) -> None:
        """Add an instance, or take over its new form; the tasks on it stay."""
        if instance.platform not in self.platforms:
            self.platforms.append(instance.platform)
        column = self.platforms.index(instance.platform)
        row = self.rows.get(instance.id)
        if row is None:
            self.rows[instance.id] = Row(instance, column, now)
        else:
            row.instance, row.column = instance, column
            row.changed(now)

    def has_room(self, factors: Mapping[str, float], now: float) -> bool:
        """Whether any instance may be given a task."""
        return any(row.has_room(factors.get(row.instance.id, 1.0), now) for row in self.rows.values())

    def sends_ahead(self) -> bool:
        """Whether time alone may make room: some instance is given tasks before a slot of it is free."""
        return any(row.ahead_s > 0 for row in self.rows.values())

    def lanes(self, factors: Mapping[str, float], now: float, tasks: int | None = None) -> tuple[list[Row], list[Lane]]:
        """Return all rows, and the slots of those that may be given tasks as lanes, which refer to rows by position.

        ``tasks``: so many are planned, and what so many do not reach is left out where instances have many slots.
        """
        rows = list(self.rows.values())
        lanes: dict[tuple[int, float], Lane] = {}
        for at, row in enumerate(rows):
            instance = row.instance
            if not instance.ready:
                continue
            factor = factors.get(instance.id, 1.0) if factors else 1.0
            lane = lanes.get((row.column, factor))
            if lane is None:
                lane = lanes[row.column, factor] = Lane(row.column, factor, [])
            busy = len(row.tasks)
            free = instance.slots - busy
            if tasks is not None and free > tasks:
                free = tasks + 1  # one more: a task is weighed against the next slot
            else:
                lane.slots.extend([(moment_s, busy, at) for moment_s in row.ends_s(factor, now)])
            # Each free slot comes with the tasks that will be there when it is taken: several tasks are spread.
            lane.slots.extend([(now, tasks_there, at) for tasks_there in range(busy, busy + free)])
        return rows, list(lanes.values())
