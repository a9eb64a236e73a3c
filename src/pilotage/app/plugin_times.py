"""How long plugins and decisions of a policy take on this machine, in microseconds."""

from collections.abc import Callable
from statistics import median
from time import perf_counter_ns
from typing import NamedTuple

import numpy as np

from pilotage.app.plugin_checks import Part, ask
from pilotage.app.sample_cluster import Sample
from pilotage.engine.engine import Engine
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.policy import Policy
from pilotage.model.events import TaskSubmitted
from pilotage.model.task import Task

SIZES = (1000, 5000)
"""Numbers of nodes at which everything is timed."""

_LONG_ENOUGH_NS = 60_000_000
_KINDS = 6


class DecisionTime(NamedTuple):
    """Microseconds from task to effect: of a kind that was never seen, and of one that was decided just before."""

    cold_us: float
    warm_us: float


def plugin_time(plugin: Part, engine: Engine, tasks: tuple[Task, ...]) -> float:
    """Return the median microseconds of asking ``plugin`` about every node, over a few kinds of tasks."""
    columns = engine.state.columns
    nodes = Nodes(columns, np.flatnonzero(columns.alive[: columns.n]), seed=engine.seed)
    fragments = list(dict.fromkeys(plugin.fragment(task) for task in tasks))
    calls = [fragment for fragment in fragments if fragment is not None][:_KINDS]
    return median(_timed(lambda f=fragment: ask(plugin, f, nodes)) for fragment in calls) if calls else 0.0  # type: ignore[misc]


def decision_time(policy: Policy, sample: Sample, seed: int) -> DecisionTime:
    """Return the median microseconds of deciding a task, over a few kinds of tasks."""
    engine = sample.engine(policy, seed)
    cold, warm = [], []
    for task in [task for task in sample.kinds if task.spec.demand.get("cpu", 0) < 100_000][: 2 * _KINDS]:
        took = [_decided(engine, Task(id=f"timed-{task.id}-{i}", spec=task.spec)) for i in range(6)]
        cold.append(took[0])
        warm += took[1:]
    return DecisionTime(median(cold), median(warm))


def _decided(engine: Engine, task: Task) -> float:
    engine.apply(TaskSubmitted(task))
    begin = perf_counter_ns()
    engine.decide()
    return (perf_counter_ns() - begin) / 1000


def _timed(call: Callable[[], object]) -> float:
    """Return the least of a few calls, at least one, in microseconds."""
    times: list[int] = []
    while len(times) < 7 and sum(times) < _LONG_ENOUGH_NS:
        begin = perf_counter_ns()
        call()
        times.append(perf_counter_ns() - begin)
    return min(times) / 1000
