"""The strategy `pilotage`: one queue per model, predicted run times with their uncertainty, late binding."""

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping
from itertools import count
from math import inf, sqrt
from statistics import NormalDist

from pilotage.engine.routing.orders import THETA, Order, queue_key
from pilotage.engine.routing.plan import WEIGHT, WINDOW, Lane, Start, outlook, plan
from pilotage.engine.routing.pool import Bound, Pool, Row
from pilotage.engine.routing.ports import Forecaster
from pilotage.engine.routing.run_time import RunTime
from pilotage.engine.routing.tail import EXACT, Tail, pour
from pilotage.model.routing import Assignment, Instance, RoutedTask

WALKED = 1_000
"""Waiting tasks that are walked at the most when somebody asks where one of them would go."""

REPLAN_S = 0.1
"""A plan is looked at again after so long though nothing happened: an instance that was waited for may hang."""

SCORES = "expected end, s from now; the best slot of each speed"

_Key = tuple[float, float, int, str]


class _Waiting:
    """A waiting task, and its predicted run times per column as of a version of forecasts and pool.

    ``joined_s``: those means that it joined the queue with.
    """

    __slots__ = ("joined_s", "key", "means_s", "outlook", "run_times", "task", "version")

    def __init__(self, task: RoutedTask, key: _Key) -> None:
        self.task = task
        self.key = key
        self.version = (-1, -1)
        self.run_times: list[RunTime] = []
        self.means_s: list[float] = []
        self.joined_s: list[float] = []
        self.outlook: Assignment | None = None


class _Queue:
    """One model: waiting tasks in planning order, instances, and whether anything changed since the last plan."""

    def __init__(self) -> None:
        self.keys: list[_Key] = []
        self.pool = Pool()
        self.tail = Tail()
        self.dirty = False
        self.planned_s = -inf
        self._full = False

    def changed(self) -> None:
        """What is on the instances, or what they are, changed."""
        self.dirty = True
        self._full = False

    def has_room(self, factors: Mapping[str, float], now: float) -> bool:
        """Whether any instance may be given a task. Newcomers change nothing in that, so they do not pay for it."""
        if self._full:
            return False
        found = self.pool.has_room(factors, now)
        self._full = not found and not self.pool.sends_ahead()
        return found


class LateBinding:
    """A `Strategy` around the decider `plan`; see `pilotage.engine.taskqueue.strategy` for what calls it when.

    ``report_s``: instances are heard of only so often (0: they say at once when a task ends); then slots are given
    tasks ahead of time, so that they do not idle unheard. So they are for as long as handing a task over takes, which
    is measured.
    """

    name = "pilotage"
    late = True

    def __init__(
        self,
        forecaster: Forecaster,
        *,
        order: Order = "priority",
        theta: float = THETA,
        weight: float = WEIGHT,
        window: int = WINDOW,
        report_s: float = 0.0,
    ) -> None:
        self._forecaster = forecaster
        self._order = order
        self._theta = theta
        self._weight = weight
        self._window = window
        self._report_s = report_s
        self._queues: dict[str, _Queue] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._model_of: dict[str, str] = {}  # instance id -> model
        self._on: dict[str, str] = {}  # task id -> instance id
        self._numbers = count()
        self._now = 0.0

    # ------------------------------------------------------------------ instances

    def instance_changed(self, instance: Instance, now: float) -> None:
        """Keep the tasks on it; an instance that runs another model now takes them along."""
        known = self._model_of.get(instance.id)
        if known is not None and known != instance.model:
            row = self._queues[known].pool.rows.pop(instance.id)
            self._queues[known].tail.outdated()
            queue = self._queue(instance.model)
            queue.pool.change(instance, now)
            queue.pool.rows[instance.id].tasks = row.tasks
        else:
            queue = self._queue(instance.model)
            queue.pool.change(instance, now)
        self._model_of[instance.id] = instance.model
        queue.changed()
        queue.tail.outdated()

    def instance_removed(self, instance_id: str, now: float) -> None:
        """Forget it, and what was learned of its speed."""
        model = self._model_of.pop(instance_id, None)
        if model is not None:
            queue = self._queues[model]
            for task_id in queue.pool.rows.pop(instance_id).tasks:
                del self._on[task_id]
            queue.tail.outdated()
            self._forecaster.forget(instance_id)
            self._tidy(model)

    def reported(self, instance_id: str, now: float) -> None:
        """The instance was heard of: what it said was told by `started` and `left`."""
        model = self._model_of[instance_id]
        self._queues[model].pool.rows[instance_id].heard_s = now
        self._queues[model].changed()

    # ------------------------------------------------------------------ tasks

    def submitted(self, task: RoutedTask, now: float) -> None:
        """Queue it by the order in effect."""
        first, second = queue_key(self._order, task)
        waiting = _Waiting(task, (first, second, next(self._numbers), task.id))
        self._waiting[task.id] = waiting
        queue = self._queue(task.model)
        insort(queue.keys, waiting.key)
        waiting.joined_s = self._means_s(waiting, queue.pool)
        queue.tail.joined(waiting.joined_s)
        queue.dirty = True

    def withdrawn(self, task_id: str, now: float) -> None:
        """Take it out of the queue."""
        waiting = self._waiting.pop(task_id, None)
        if waiting is not None:
            self._leave(self._queues[waiting.task.model], waiting)
            self._tidy(waiting.task.model)

    def placed(self, task: RoutedTask, instance_id: str, started_s: float | None, now: float) -> None:
        """Book a task that is on an instance already."""
        row = self._queues[self._model_of[instance_id]].pool.rows[instance_id]
        run_time = self._forecaster.forecast(task.model, task.metadata, row.instance.platform)
        row.tasks[task.id] = Bound(task, run_time, started_s)
        self._on[task.id] = instance_id
        row.changed(now)

    def started(self, task_id: str, now: float) -> None:
        """Its age counts from here, if its slot is free."""
        row = self._row_of(task_id)
        if row is not None and row.runs(task_id):
            row.tasks[task_id].started_s = now
            row.changed(now)

    def left(self, task_id: str, run_s: float | None, now: float) -> None:
        """Free its slot, and learn from it if it ran to its end."""
        row = self._row_of(task_id)
        if row is None:
            return
        del self._on[task_id]
        bound = row.tasks.pop(task_id)
        row.changed(now)
        self._queues[row.instance.model].changed()
        if run_s is not None and run_s > 0:
            if bound.sent_s is not None:
                row.handed_over(now - bound.sent_s - run_s, now)
            task, instance = bound.task, row.instance
            self._forecaster.observe(task.model, task.metadata, instance.platform, instance.id, run_s)

    # ------------------------------------------------------------------ decisions

    def decide(self, now: float) -> list[Assignment]:
        """Plan every model in which something changed or some time passed, and start what the plan starts now."""
        self._now = now
        made: list[Assignment] = []
        for queue in self._queues.values():
            if queue.dirty or now >= queue.planned_s + REPLAN_S:
                queue.dirty, queue.planned_s = False, now
                if queue.keys and (self._report_s or queue.has_room(self._forecaster.factors, now)):
                    made += self._plan(queue, now)
        return made

    def planned(self, task_id: str) -> Assignment | None:
        """Where a waiting task would go, if nothing new happened; None where there is no instance for it.

        The instant is that of the latest decision. Of a task behind `WALKED` others it is what `outlook` said.
        """
        waiting = self._waiting.get(task_id)
        if waiting is None:
            return None
        queue = self._queues[waiting.task.model]
        position = bisect_left(queue.keys, waiting.key)
        if position >= WALKED:
            return self.outlook(task_id)
        rows, lanes, _, run_s = self._view(queue, self._now, position + 1)
        return _told(waiting, outlook(run_s, lanes, self._weight)[-1], rows) if lanes else None

    def outlook(self, task_id: str) -> Assignment | None:
        """As `planned` of a task that was just submitted, at a cost that the length of the queue does not change."""
        waiting = self._waiting.get(task_id)
        if waiting is None or waiting.outlook is not None:
            return waiting.outlook if waiting else None
        queue, now = self._queues[waiting.task.model], self._now
        last = waiting.key >= queue.keys[-1]
        if not last and bisect_left(queue.keys, waiting.key) < EXACT:
            return self.planned(task_id)
        start = queue.tail.place(
            self._means_s(waiting, queue.pool),
            now,
            self._weight,
            lambda: queue.pool.lanes(self._forecaster.factors, now)[1],
            lambda: self._view(queue, now, len(queue.keys) - 1)[3],
        )
        if start is None:
            return None
        waiting.outlook = _told(waiting, start, list(queue.pool.rows.values()))
        return waiting.outlook

    @property
    def quality(self) -> Mapping[str, tuple[float, float, bool]]:
        """See `Forecaster.quality`."""
        return self._forecaster.quality

    def wait(self, instance_id: str, now: float) -> tuple[float, float]:
        """When the instance's first slot is expected to be free, and the deviation of what is on it, per slot."""
        model = self._model_of.get(instance_id)
        if model is None:
            return 0.0, 0.0
        row = self._queues[model].pool.rows[instance_id]
        free_s = row.free_s(self._forecaster.factors.get(instance_id, 1.0), now)
        error_s = sqrt(sum(bound.run_time.std_s**2 for bound in row.tasks.values())) / row.instance.slots
        return max(0.0, min(free_s) - now), error_s

    def odds(self, task: RoutedTask, now: float) -> float:
        """Return the probability that a task submitted now starts by its deadline; 1 without one.

        The start is taken to be normal around the plan's: as uncertain as the run times of the tasks before it on a
        slot.
        """
        if task.deadline_s is None:
            return 1.0
        queue = self._queues.get(task.model)
        if queue is None or not queue.pool.rows:
            return 1.0  # nothing is known of its instances yet
        platforms = queue.pool.platforms
        run_times = [self._forecaster.forecast(task.model, task.metadata, each) for each in platforms]
        first, second = queue_key(self._order, task)
        ahead = bisect_left(queue.keys, (first, second, next(self._numbers), task.id))
        rows, lanes, _, run_s = self._view(queue, now, min(ahead, WALKED), whole=True)
        if not lanes:
            return 1.0
        mine = [each.mean_s for each in run_times]
        if ahead > WALKED:
            pour(ahead - WALKED, queue.tail.means_s, lanes, self._weight)
        start = outlook([*run_s, mine], lanes, self._weight)[-1]
        slack_s = task.deadline_s - start.start_s
        slots = sum(row.instance.slots for row in rows if row.instance.ready)
        before = (ahead + sum(len(row.tasks) for row in rows)) / slots
        spread_s = run_times[rows[start.row].column].std_s * sqrt(before)
        if spread_s <= 0 or start.start_s <= now:
            return float(slack_s >= 0)
        return NormalDist().cdf(slack_s / spread_s)

    def _plan(self, queue: _Queue, now: float) -> list[Assignment]:
        """Plan a short window, and a longer one only where slots are left free by the short one.

        Later tasks never change what earlier ones get, so this gives what the long window would (but for `aged`, which
        picks among the tasks of the short one).
        """
        made = self._plan_window(queue, now, self._window)
        left = self._order != "aged" and len(queue.keys) > self._window - len(made)
        if left and queue.has_room(self._forecaster.factors, now):
            slots = sum(row.instance.slots for row in queue.pool.rows.values())
            if slots > self._window:
                made += self._plan_window(queue, now, slots)
        return made

    def _plan_window(self, queue: _Queue, now: float, length: int) -> list[Assignment]:
        rows, lanes, window, run_s = self._view(queue, now, length)
        if not lanes:
            return []
        if self._report_s:
            open_until_s = [now + row.ahead_of_report_s(self._report_s, now) for row in rows]
        else:
            open_until_s = [now + row.ahead_s for row in rows]
        firsts = [(lane, min(lane.slots)) for lane in lanes]
        starts = plan(
            run_s,
            lanes,
            now,
            weight=self._weight,
            open_until_s=open_until_s,
            pick=self._aged_key(window) if self._order == "aged" else None,
            banned=_banned(window, rows),
        )
        made = []
        for start in starts:
            waiting, row = window[start.position], rows[start.row]
            self._bind(queue, waiting, row, now)
            times = run_s[start.position]
            scores = tuple(
                (rows[slot[2]].instance.id, slot[0] - now + lane.factor * times[lane.column]) for lane, slot in firsts
            )
            made.append(Assignment(waiting.task.id, row.instance.id, start.start_s + start.run_s, SCORES, scores))
        return made

    def _view(
        self, queue: _Queue, now: float, length: int, *, whole: bool = False
    ) -> tuple[list[Row], list[Lane], list[_Waiting], list[list[float]]]:
        """Return rows, lanes (fastest first), the first ``length`` waiting tasks, and their predicted run times.

        The lanes have the slots that those tasks can reach, or (``whole``) all.
        """
        window = [self._waiting[key[3]] for key in queue.keys[:length]]
        rows, lanes = queue.pool.lanes(self._forecaster.factors, now, None if whole else len(window))
        run_s = [self._means_s(each, queue.pool) for each in window]
        if run_s:
            lanes.sort(key=lambda lane: lane.factor * sum(times[lane.column] for times in run_s))
        return rows, lanes, window, run_s

    def _means_s(self, waiting: _Waiting, pool: Pool) -> list[float]:
        version = (self._forecaster.version, len(pool.platforms))
        if waiting.version != version:
            task = waiting.task
            waiting.run_times = [self._forecaster.forecast(task.model, task.metadata, each) for each in pool.platforms]
            waiting.means_s = [each.mean_s for each in waiting.run_times]
            waiting.version = version
        return waiting.means_s

    def _aged_key(self, window: list[_Waiting]) -> Callable[[int], float]:
        return lambda position: window[position].task.arrival_s + self._theta * min(window[position].means_s)

    def _bind(self, queue: _Queue, waiting: _Waiting, row: Row, now: float) -> None:
        task = waiting.task
        del self._waiting[task.id]
        self._leave(queue, waiting)
        sent_s = now if len(row.tasks) < row.instance.slots else None
        row.tasks[task.id] = Bound(task, waiting.run_times[row.column], None, sent_s)
        row.changed(now)
        self._on[task.id] = row.instance.id

    # ------------------------------------------------------------------ books

    def _leave(self, queue: _Queue, waiting: _Waiting) -> None:
        del queue.keys[bisect_left(queue.keys, waiting.key)]
        queue.tail.went(waiting.joined_s)

    def _queue(self, model: str) -> _Queue:
        queue = self._queues.get(model)
        if queue is None:
            queue = self._queues[model] = _Queue()
        return queue

    def _row_of(self, task_id: str) -> Row | None:
        instance_id = self._on.get(task_id)
        return None if instance_id is None else self._queues[self._model_of[instance_id]].pool.rows[instance_id]

    def _tidy(self, model: str) -> None:
        """Names of models come from outside: keep none that nobody uses."""
        queue = self._queues[model]
        if not queue.keys and not queue.pool.rows:
            del self._queues[model]


def _told(waiting: _Waiting, start: Start, rows: list[Row]) -> Assignment:
    return Assignment(waiting.task.id, rows[start.row].instance.id, start.start_s + start.run_s, "planned")


def _banned(window: list[_Waiting], rows: list[Row]) -> set[tuple[int, int]]:
    """Pairs of a task and an instance that refused or lost it, unless it was everywhere it could be."""
    banned: set[tuple[int, int]] = set()
    for position, waiting in enumerate(window):
        avoid = waiting.task.avoid
        if avoid and any(row.instance.ready and row.instance.id not in avoid for row in rows):
            banned |= {(position, at) for at, row in enumerate(rows) if row.instance.id in avoid}
    return banned
