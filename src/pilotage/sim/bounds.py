"""Bounds: how much of a cluster any policy can allocate, also one that knows all arrivals and may refuse some."""

from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct

from pilotage.model.amounts import WHOLE_GPU
from pilotage.model.errors import InvalidInput
from pilotage.model.task import Task, TaskSpec
from pilotage.sim.experiment import FILL_RATIO, FIRST_SEED
from pilotage.sim.openb_protocol import arrivals
from pilotage.sim.packing_lp import ConfigurationLp, aggregate_lp, node_classes
from pilotage.sim.traces.trace import Trace


class Bound(Struct, frozen=True, kw_only=True):
    """Upper bounds of the GPU allocation at one load, in % of the cluster's GPUs.

    ``arrived_pct``: the load, GPU demand arrived in % of the cluster's GPUs; ``arrived_pct_so_far``: what had in fact
    arrived. ``aggregate_pct``: CPU, memory, GPUs and models of each class of nodes as pools; ``configuration_pct``: no
    GPU shared by more than fits on it. ``columns`` and ``rounds`` tell the work of the latter so far.
    """

    trace: str
    seed: int
    arrived_pct: float
    arrived_so_far_pct: float
    aggregate_pct: float
    configuration_pct: float
    columns: int
    rounds: int


def bounds(
    trace: Trace,
    loads_pct: Sequence[float] = (100.0,),
    *,
    seed: int = FIRST_SEED,
    fill_ratio: float = FILL_RATIO,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Bound]:
    """Return the bounds for what has arrived at each load of a run of the openb protocol with ``seed``.

    Valid for every policy, since each only relaxes what a placement must keep to; also for one that refuses tasks.
    Tasks without GPU are left out (a policy could refuse them all). Raises `InvalidInput` for a trace with times or
    a cluster without GPUs, and where the solver is not installed.
    """
    if trace.timed:
        raise InvalidInput("TRACE", f"{trace.name} has times; bounds are for traces without (tasks that stay)")
    gpus = trace.gpu_capacity
    if not gpus:
        raise InvalidInput("TRACE", f"the cluster of {trace.name} has no GPUs to bound the allocation of")
    tasks = [task for task in arrivals(trace, fill_ratio, np.random.Generator(np.random.PCG64(seed))) if task.gpus]
    specs = list(dict.fromkeys(task.spec for task in tasks))
    number = {spec: i for i, spec in enumerate(specs)}
    classes = node_classes(trace.nodes)
    pooled, cut = aggregate_lp(classes, specs), ConfigurationLp(classes, specs)
    found = []
    for load in loads_pct:
        counts, demand = _counted(tasks, number, load / 100 * gpus)
        pooled.expect(counts)
        found.append(
            Bound(
                trace=trace.name,
                seed=seed,
                arrived_pct=load,
                arrived_so_far_pct=100 * demand / gpus,
                aggregate_pct=100 * pooled.solve()[0] / (gpus / WHOLE_GPU),
                configuration_pct=100 * cut.bound(counts) / (gpus / WHOLE_GPU),
                columns=cut.lp.columns,
                rounds=cut.rounds,
            )
        )
        progress(len(found))
    return found


def _counted(tasks: Sequence[Task], number: dict[TaskSpec, int], most: float) -> tuple[list[int], int]:
    """Count the first tasks by spec, up to a GPU demand of ``most`` thousandths; return also their demand."""
    counts, demand = [0] * len(number), 0
    for task in tasks:
        if demand + task.demand["gpu"] > most:
            break
        counts[number[task.spec]] += 1
        demand += task.demand["gpu"]
    return counts, demand
