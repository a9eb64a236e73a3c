"""The instances of one model and the tasks on them, as the lanes that `plan` reads."""

from heapq import heapify, heapreplace
from itertools import islice

from pilotage.engine.routing.plan import Lane
from pilotage.engine.routing.ports import Forecaster
from pilotage.engine.routing.run_time import RunTime
from pilotage.model.routing import Instance, RoutedTask


class Bound:
    """A task on an instance: what it is, how long it should run, and since when it is thought to run (None: queued)."""

    __slots__ = ("run_time", "started_s", "task")

    def __init__(self, task: RoutedTask, run_time: RunTime, started_s: float | None) -> None:
        self.task = task
        self.run_time = run_time
        self.started_s = started_s


class Row:
    """One instance: its column of run times, its tasks in the order they were sent, and when it was last heard of."""

    __slots__ = ("column", "heard_s", "instance", "tasks")

    def __init__(self, instance: Instance, column: int, heard_s: float) -> None:
        self.instance = instance
        self.column = column
        self.heard_s = heard_s
        self.tasks: dict[str, Bound] = {}

    def start_next(self, now: float) -> None:
        """The first ``slots`` tasks are taken to run."""
        for bound in islice(self.tasks.values(), self.instance.slots):
            if bound.started_s is None:
                bound.started_s = now


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

    def has_room(self) -> bool:
        """Whether any instance that may be given tasks has a free slot."""
        return any(row.instance.ready and len(row.tasks) < row.instance.slots for row in self.rows.values())

    def lanes(self, forecaster: Forecaster, now: float) -> tuple[list[Row], list[Lane]]:
        """Return the rows that may be given tasks, and their slots as lanes, which refer to them by position."""
        rows: list[Row] = []
        lanes: dict[tuple[int, float], Lane] = {}
        for row in self.rows.values():
            instance = row.instance
            if not instance.ready:
                continue
            factor = forecaster.factor(instance.id)
            lane = lanes.get((row.column, factor))
            if lane is None:
                lane = lanes[row.column, factor] = Lane(row.column, factor, [])
            at, busy = len(rows), len(row.tasks)
            rows.append(row)
            if instance.slots == 1 and busy < 2:
                lane.slots.append((_left_s(row, factor, now) if busy else 0.0, busy, at))
            else:
                lane.slots.extend((free_s, busy, at) for free_s in _slots_s(row, factor, now))
        return rows, list(lanes.values())


def _left_s(row: Row, factor: float, now: float) -> float:
    """Seconds until the only task of an instance is done."""
    for bound in row.tasks.values():
        age_s = 0.0 if bound.started_s is None else now - bound.started_s
        return factor * bound.run_time.remaining_s(age_s / factor)
    return 0.0


def _slots_s(row: Row, factor: float, now: float) -> list[float]:
    """Seconds until each slot is free: what is left of the running tasks, then the queued ones in their order."""
    slots = row.instance.slots
    free_s = [0.0] * slots
    heapify(free_s)
    for at, bound in enumerate(row.tasks.values()):
        if at < slots:
            age_s = 0.0 if bound.started_s is None else now - bound.started_s
            heapreplace(free_s, factor * bound.run_time.remaining_s(age_s / factor))
        else:
            heapreplace(free_s, free_s[0] + factor * bound.run_time.mean_s)
    return free_s
