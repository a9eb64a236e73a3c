"""What is measured of a run, step by step, from the engine's effects and columns alone.

Nothing here runs on the engine's account of CPU time.
"""

from hashlib import sha256

import numpy as np

from pilotage.engine.engine import Engine
from pilotage.kernel.nodes import Nodes
from pilotage.model.effects import Bind, Decision, Reject
from pilotage.model.task import Task
from pilotage.model.workload import Workload
from pilotage.sim.classes import ClassTally
from pilotage.sim.gauge import Gauge
from pilotage.sim.result import Curve
from pilotage.sim.world import Step


class Tally:
    """Decisions counted and digested, and a gauge that follows them."""

    def __init__(self, engine: Engine, workload: Workload) -> None:
        self.gauge = Gauge(engine, workload)
        self.classes = ClassTally()
        self.changed: list[int] = []
        """Rows that changed in the last step."""
        self.arrived_gpu = 0
        self.arrivals = 0
        self.decisions = 0
        self.placed = 0
        self.waits: list[tuple[Task, float]] = []
        """Tasks placed, and how many seconds each had waited for its first place."""
        self.evictions = 0
        self._evicted: set[str] = set()
        self._engine = engine
        self._waiting: dict[str, Task] = {}
        self._refused_feasible: set[str] = set()
        self._digest = sha256()

    def take(self, step: Step) -> None:
        """Count what happened in one step."""
        rows = [departure.row for departure in (*step.evicted, *step.departed)]
        for departure in step.evicted:
            self._lost(departure.task)
        for departure in step.departed:
            self.gauge.count(departure.task.spec, -1)
        for task in step.arrived:
            self.arrivals += 1
            self.arrived_gpu += task.demand["gpu"]
            self._waiting[task.id] = task
            self.classes.arrived(task.spec)
        for effect in step.effects:
            if isinstance(effect, Bind):
                self._enter(effect.decision)
                self._placed(effect, step.now)
                rows.append(self._engine.state.columns.row_of[effect.node])
            elif isinstance(effect, Reject):
                self._enter(effect.decision)
                self._refused(effect, step.now)
        self.gauge.look_at(rows)
        self.changed = rows

    @property
    def unplaced(self) -> int:
        """Tasks that arrived and have no place so far, or none any more."""
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
        if task.id not in self._evicted:
            self.waits.append((task, now - task.arrival_s))
        self.gauge.count(task.spec, 1)
        self.classes.placed(task.spec)

    def _lost(self, task: Task) -> None:
        """Count a task that had to leave for a more important one, and waits again."""
        self.evictions += 1
        self.placed -= 1
        self._evicted.add(task.id)
        self._waiting[task.id] = task
        self.gauge.count(task.spec, -1)
        self.classes.lost(task.spec)

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
        if not self._sums:
            return None
        points = np.array([(percent, *(self.at(percent) or (0.0, 0.0))) for percent in sorted(self._sums)])
        x, allocated, fragmented = (tuple(np.round(column, 4).tolist()) for column in points.T)
        return Curve(x_is="gpu_demand_arrived_pct", x=x, gpu_allocation_pct=allocated, frag_pct=fragmented)
