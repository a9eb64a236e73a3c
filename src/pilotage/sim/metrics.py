"""What is measured of a run, step by step, from the engine's effects and columns alone.

Nothing here runs on the engine's account of CPU time.
"""

from collections.abc import Sequence
from hashlib import sha256

import numpy as np

from pilotage.engine.engine import Engine
from pilotage.kernel.nodes import Nodes
from pilotage.model.effects import Bind, Decision, Reject
from pilotage.model.task import Task
from pilotage.model.workload import Workload
from pilotage.sim.gauge import Gauge
from pilotage.sim.result import Curve
from pilotage.sim.world import Step

POINTS = 200
"""Points on the curve of a timed run."""


class Tally:
    """Decisions counted and digested, and a gauge that follows them."""

    def __init__(self, engine: Engine, workload: Workload) -> None:
        self.gauge = Gauge(engine, workload)
        self.arrived_gpu = 0
        self.arrivals = 0
        self.decisions = 0
        self.placed = 0
        self.waits_s: list[float] = []
        self._engine = engine
        self._waiting: dict[str, Task] = {}
        self._refused_feasible: set[str] = set()
        self._digest = sha256()

    def take(self, step: Step) -> None:
        """Count what happened in one step."""
        rows = [departure.row for departure in step.departed]
        for departure in step.departed:
            self.gauge.count(departure.task.spec, -1)
        for task in step.arrived:
            self.arrivals += 1
            self.arrived_gpu += task.demand["gpu"]
            self._waiting[task.id] = task
        for effect in step.effects:
            if isinstance(effect, Bind):
                self._enter(effect.decision)
                self._placed(effect, step.now)
                rows.append(self._engine.state.columns.row_of[effect.node])
            elif isinstance(effect, Reject):
                self._enter(effect.decision)
                self._refused(effect, step.now)
        self.gauge.look_at(rows)

    @property
    def unplaced(self) -> int:
        """Tasks that arrived and have no place so far."""
        return len(self._waiting)

    @property
    def refused_feasible(self) -> int:
        """Tasks that were once refused although some node passed all filters."""
        return len(self._refused_feasible)

    @property
    def digest(self) -> str:
        """SHA-256 over task, node, GPUs and score of all decisions so far, in their order."""
        return self._digest.hexdigest()

    def _enter(self, decision: Decision) -> None:
        self.decisions += 1
        line = f"{decision.task_id}\t{decision.node}\t{decision.gpus}\t{decision.score!r}\n"
        self._digest.update(line.encode())

    def _placed(self, bind: Bind, now: float) -> None:
        task = self._waiting.pop(bind.task_id)
        self.placed += 1
        self.waits_s.append(now - task.arrival_s)
        self.gauge.count(task.spec, 1)

    def _refused(self, reject: Reject, now: float) -> None:
        if reject.decision.feasible or feasible_nodes(self._engine, self._waiting[reject.task_id], now):
            self._refused_feasible.add(reject.task_id)


def feasible_nodes(engine: Engine, task: Task, now: float) -> int:
    """Return how many nodes pass all filters for ``task``, asked anew: no cache of the engine has a say.

    Within a step that decides on several tasks this looks at the state after all of them, so it can only miss nodes
    that later tasks of the same instant took.
    """
    columns = engine.state.columns
    passed = columns.alive[: columns.n].copy()
    for plugin in engine.policy.filters:
        rows = np.flatnonzero(passed)
        fragment = plugin.fragment(task)
        if fragment is not None and rows.size:
            passed[rows] = plugin.mask(fragment, Nodes(columns, rows, now, engine.seed))
    return int(np.count_nonzero(passed))


class LoadCurve:
    """Means over the events at which the arrived GPU demand rounds to each whole % of the cluster's GPUs."""

    def __init__(self) -> None:
        self._sums: dict[int, tuple[int, float, float]] = {}

    def take(self, tally: Tally) -> None:
        """Note where the run stands after one arrival."""
        gauge = tally.gauge
        if gauge.gpu_capacity:
            # Halves go up, as Go rounds them; in integers, so that no halve is missed.
            percent = (200 * tally.arrived_gpu + gauge.gpu_capacity) // (2 * gauge.gpu_capacity)
            events, allocated, fragmented = self._sums.get(percent, (0, 0.0, 0.0))
            self._sums[percent] = (events + 1, allocated + gauge.gpu_pct, fragmented + gauge.frag_pct)

    def at(self, percent: int) -> tuple[float, float] | None:
        """Return mean allocation and fragmentation at ``percent`` arrived, or None if no event rounds to it."""
        if percent not in self._sums:
            return None
        events, allocated, fragmented = self._sums[percent]
        return allocated / events, fragmented / events

    def curve(self) -> Curve | None:
        """Return all points, or None if there is none."""
        points = [(percent, *(self.at(percent) or (0.0, 0.0))) for percent in sorted(self._sums)]
        return _curve("gpu_demand_arrived_pct", points)


class TimeCurve:
    """Means over time, from the first step to the last."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, float, float, float]] = []

    def take(self, now: float, gauge: Gauge) -> None:
        """Note what holds from ``now`` on."""
        self._samples.append((now, gauge.gpu_pct, gauge.frag_pct, gauge.cpu_pct))

    def means(self) -> tuple[float, float]:
        """Return the means of GPU and CPU allocation in %; 0 for a run that took no time."""
        samples = np.array(self._samples)
        spans = np.diff(samples[:, 0])
        if not spans.sum():
            return 0.0, 0.0
        gpu, cpu = spans @ samples[:-1, [1, 3]] / spans.sum()
        return float(gpu), float(cpu)

    @property
    def end_s(self) -> float:
        """When the last thing happened, in seconds of the trace's clock."""
        return self._samples[-1][0]

    def curve(self) -> Curve | None:
        """Return `POINTS` points in equal steps of time, each with what holds then."""
        samples = np.array(self._samples)
        times = np.linspace(samples[0, 0], samples[-1, 0], POINTS)
        at = np.searchsorted(samples[:, 0], times, side="right") - 1
        return _curve("time_s", [(time, *samples[i, 1:3]) for time, i in zip(times, at, strict=True)])


def _curve(x_is: str, points: Sequence[tuple[float, float, float]]) -> Curve | None:
    if not points:
        return None
    columns = [tuple(round(float(value), 4) for value in column) for column in zip(*points, strict=True)]
    return Curve(x_is, *columns)
