"""The protocol of the published openb experiments: which tasks arrive in which order, on nodes in which order.

Source: hkust-adsl/kubernetes-scheduler-simulator, the artifact of Weng et al., USENIX ATC'23. Tasks are sorted by
name and shuffled, then drawn ones are appended (or random ones removed) until the GPU demand is the wanted part of
the cluster's GPUs. Nodes are sorted by name and shuffled: that is the fixed order by which ties are broken.
"""

from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from pilotage.model.errors import InvalidInput
from pilotage.model.node import Node
from pilotage.model.task import Task
from pilotage.sim.traces.trace import Trace

MAX_ARRIVALS = 2_000_000
"""Most tasks that a run is filled up to; more is a slip in the fill ratio or in the trace."""


def node_order(nodes: Sequence[Node], rng: np.random.Generator) -> list[Node]:
    """Return ``nodes`` in random order, whatever order they came in."""
    by_name = sorted(nodes, key=lambda node: node.name)
    return [by_name[i] for i in rng.permutation(len(by_name))]


def arrivals(trace: Trace, fill_ratio: float, rng: np.random.Generator) -> list[Task]:
    """Return the tasks of an untimed trace in the order in which they arrive, one a second.

    ``fill_ratio`` is the GPU demand of all arrivals together as a part of the cluster's GPUs. Without GPUs, or
    without demand for them, every task arrives once. A task drawn again is called ``NAME#2``, ``NAME#3``...
    """
    if not 0 < fill_ratio < float("inf"):
        raise InvalidInput("fill_ratio", f"must be a positive number, got {fill_ratio:g}")
    originals = sorted(trace.tasks, key=lambda task: task.id)
    order: list[int] = rng.permutation(len(originals)).tolist()
    demand = [task.demand["gpu"] for task in originals]
    target = fill_ratio * trace.gpu_capacity
    if target and any(demand):
        _check_length(len(originals), sum(demand), target)
        if sum(demand) > target:
            _thin(order, demand, target, rng)
        else:
            _fill(order, demand, [task.gpu_share if task.gpus else 0 for task in originals], target, rng)
    return _named_apart([originals[i] for i in order])


def _fill(order: list[int], demand: list[int], share: list[int], target: float, rng: np.random.Generator) -> None:
    """Append uniform draws, up to one whose share per GPU (not its total: a slip of theirs) would pass the target."""
    total = sum(demand)
    while total < target:
        drawn = int(rng.integers(len(demand)))
        if total + share[drawn] > target:
            return
        order.append(drawn)
        total += demand[drawn]


def _thin(order: list[int], demand: list[int], target: float, rng: np.random.Generator) -> None:
    """Remove uniform draws until the demand is not above the target."""
    total = sum(demand)
    while total > target:
        total -= demand[order.pop(int(rng.integers(len(order))))]


def _check_length(tasks: int, demand: int, target: float) -> None:
    expected = tasks * target / demand
    if expected > MAX_ARRIVALS:
        raise InvalidInput(
            "fill_ratio",
            f"would take about {expected:.2g} arrivals of this trace to reach {target / 1000:.6g} GPUs; "
            f"at most {MAX_ARRIVALS:,}",
        )


def _named_apart(tasks: Sequence[Task]) -> list[Task]:
    times: dict[str, int] = {}
    named = []
    for second, task in enumerate(tasks):
        count = times[task.id] = times.get(task.id, 0) + 1
        named.append(replace(task, id=task.id if count == 1 else f"{task.id}#{count}", arrival_s=float(second)))
    return named
