"""What a run is measured by: a tally for every trace, load for untimed ones, time for timed ones."""

from collections.abc import Sequence
from typing import Any

from pilotage.engine.engine import Engine
from pilotage.model.task import Task
from pilotage.sim.hosts import Hosts
from pilotage.sim.latency import Latencies
from pilotage.sim.metrics import LoadCurve, Tally
from pilotage.sim.result import ClassCount, HeatGroup, Run
from pilotage.sim.timeline import Timeline, queueing
from pilotage.sim.traces.trace import Trace
from pilotage.sim.world import Step, World

_FULL = 100
"""GPU demand arrived, % of the cluster's, up to which refusals are counted and at which a heat map is taken."""


class Measurement:
    """Takes every step of a run and turns them into a `Run`."""

    def __init__(self, engine: Engine, trace: Trace, tasks: Sequence[Task]) -> None:
        self.tally = Tally(engine, trace.workload)
        self._engine = engine
        self._trace = trace
        self._tasks = tasks
        self._load = LoadCurve()
        self._time = Timeline()
        self._hosts = Hosts(engine, tasks)
        self._at_full: tuple[tuple[ClassCount, ...], tuple[HeatGroup, ...]] | None = None

    def take(self, step: Step) -> None:
        """Measure one step."""
        if self._trace.timed:
            self.tally.take(step)
            self._hosts.look_at(self.tally.changed, step.now)
            self._time.take(step.now, self.tally.gauge, self._hosts, self.tally.unplaced)
            return
        if self._at_full is None and self._passes_full(step):
            self._at_full = self._snapshot()
        self.tally.take(step)
        self._load.take(self.tally)

    def result(self, policy: str, seed: int, world: World, *, detail: bool) -> Run:
        """Return what was measured; ``detail``: with the heat map."""
        tally, latencies = self.tally, Latencies(world.step_cpu_s, world.step_decisions)
        at_100, at_130 = self._load.at(100), self._load.at(130)
        more: dict[str, Any] = self._timed(world) if self._trace.timed else {"curve": self._load.curve()}
        if not self._trace.timed:
            classes, heat = self._at_full or self._snapshot()
        else:
            classes, heat = tally.classes.counts(), self._hosts.heat(self._time.end_s)
        return Run(
            trace=self._trace.name,
            policy=policy,
            seed=seed,
            gpu_allocation_pct_at_100=at_100[0] if at_100 else None,
            gpu_allocation_pct_at_130=at_130[0] if at_130 else None,
            frag_pct_at_100=at_100[1] if at_100 else None,
            refused_feasible=tally.refused_feasible,
            placed=tally.placed,
            decisions=tally.decisions,
            decisions_per_s=tally.decisions / world.cpu_s,
            cpu_s=world.cpu_s,
            arrivals=tally.arrivals,
            unplaced=tally.unplaced,
            evictions=tally.evictions or None,
            digest=tally.digest,
            classes=classes,
            latency_us=latencies.histogram(),
            latency_p50_us=latencies.quantile(0.5),
            latency_p99_us=latencies.quantile(0.99),
            heat=heat if detail else (),
            **more,
        )

    def _passes_full(self, step: Step) -> bool:
        """Whether the tasks of ``step`` raise the GPU demand arrived above `_FULL` %."""
        arriving = sum(task.demand["gpu"] for task in step.arrived)
        return 100 * (self.tally.arrived_gpu + arriving) > _FULL * self.tally.gauge.gpu_capacity

    def _snapshot(self) -> tuple[tuple[ClassCount, ...], tuple[HeatGroup, ...]]:
        self._hosts.look_at(range(self._engine.state.columns.n), 0.0)
        return self.tally.classes.counts(), self._hosts.heat()

    def _timed(self, world: World) -> dict[str, Any]:
        gauge, means = self.tally.gauge, self._time.means()
        if not gauge.gpu_capacity:
            means["gpu_allocation_mean_pct"] = means["frag_mean_pct"] = None
        if not gauge.cpu_capacity:
            means["cpu_allocation_mean_pct"] = None
        return {
            **means,
            **queueing(self.tally.waits, world.duration_of),
            "hosts_most": self._hosts.most,
            "end_s": self._time.end_s,
            "curve": self._time.curve(with_gpus=bool(gauge.gpu_capacity)),
        }
