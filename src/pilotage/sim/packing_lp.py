"""Linear programmes that bound how much GPU any policy can allocate: aggregate, and by configurations of one GPU.

Both relax the packing: a class of equal nodes is one pool of CPU and memory, and tasks may be split. The aggregate LP
pools the GPUs of a class too. The configuration LP (Gilmore and Gomory, 1961) cuts them apart: one column is a
multiset of shares on one GPU, or a task of whole GPUs; columns come from pricing, a knapsack per class of nodes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import gcd
from typing import NamedTuple

import numpy as np

from pilotage.kernel.arrays import FloatArray
from pilotage.kernel.knapsack import knapsack
from pilotage.model.amounts import WHOLE_GPU
from pilotage.model.errors import InvalidInput
from pilotage.model.node import Node
from pilotage.model.task import TaskSpec

TOLERANCE = 1e-5
"""How far, as a part of the GPUs, the reported bound may lie above the optimum of its LP."""

_CPU, _MEMORY, _GPU = range(3)
_SCALE = (1 / 1000, 1 / 2**30, 1 / WHOLE_GPU)
"""The solver is given cores, GiB and GPUs."""


class NodeClass(NamedTuple):
    """Nodes that are alike: what one of them has, and how many there are."""

    model: str
    cpu: int
    memory: int
    gpus: int
    nodes: int

    def takes(self, spec: TaskSpec) -> bool:
        """Whether an empty node of the class can run ``spec``, as far as amounts and GPU models tell."""
        demand = spec.demand
        return (
            spec.gpus <= self.gpus
            and demand.get("cpu", 0) <= self.cpu
            and demand.get("memory", 0) <= self.memory
            and not (spec.gpu_models and self.model not in spec.gpu_models)
        )


def node_classes(nodes: Iterable[Node]) -> list[NodeClass]:
    """Return the classes of the nodes that have GPUs, in a fixed order."""
    alike = Counter(
        (node.gpu_model, node.capacity.get("cpu", 0), node.capacity.get("memory", 0), node.gpus)
        for node in nodes
        if node.gpus
    )
    return [NodeClass(*fields, count) for fields, count in sorted(alike.items())]


class Column(NamedTuple):
    """Tasks by the number of their spec, placed together on ``gpus`` GPUs of a node of a class."""

    at: int
    gpus: int
    tasks: Mapping[int, int]


class PackingLp:
    """Rows: CPU, memory and GPUs of each class, then the number of tasks of each spec. Columns come one by one.

    Raises `InvalidInput` where the solver is not installed.
    """

    def __init__(self, classes: Sequence[NodeClass], specs: Sequence[TaskSpec]) -> None:
        try:
            import highspy
        except ImportError:
            raise InvalidInput(
                "bound",
                "needs the solver HiGHS, which is not installed: add the extra `optimise` "
                "(uv pip install 'pilotage[optimise]' or pip install 'pilotage[optimise]')",
            ) from None
        self.classes = classes
        self.specs = specs
        self.columns = 0
        self._free = highspy.kHighsInf
        self._solver = highspy.Highs()  # type: ignore[no-untyped-call]
        for option, value in (("output_flag", False), ("threads", 1), ("solver", "simplex")):
            self._solver.setOptionValue(option, value)
        for one in classes:
            for amount, scale in zip((one.cpu, one.memory, one.gpus * WHOLE_GPU), _SCALE, strict=True):
                self._add_row(one.nodes * amount * scale)
        for _ in specs:
            self._add_row(0.0)

    def _add_row(self, most: float) -> None:
        self._solver.addRow(-self._free, most, 0, np.zeros(0, np.int32), np.zeros(0))

    def expect(self, counts: Sequence[int]) -> None:
        """Set how many tasks of each spec there are."""
        first = 3 * len(self.classes)
        for i, count in enumerate(counts):
            self._solver.changeRowBounds(first + i, -self._free, float(count))

    def add(self, column: Column) -> None:
        """Add a column; it brings the GPU shares of its tasks, in GPUs."""
        amounts, share = [0, 0, column.gpus], 0
        for i, times in column.tasks.items():
            demand = self.specs[i].demand
            amounts[_CPU] += times * demand.get("cpu", 0)
            amounts[_MEMORY] += times * demand.get("memory", 0)
            share += times * demand["gpu"]
        rows = [3 * column.at + kind for kind in range(3)] + [3 * len(self.classes) + i for i in column.tasks]
        values = [amount * scale for amount, scale in zip(amounts[:_GPU], _SCALE[:_GPU], strict=True)]
        values += [column.gpus / WHOLE_GPU, *map(float, column.tasks.values())]
        self._solver.addCol(
            -share / WHOLE_GPU, 0.0, self._free, len(rows), np.array(rows, np.int32), np.array(values, np.float64)
        )
        self.columns += 1

    def solve(self) -> tuple[float, FloatArray]:
        """Return the most GPUs allocated with the columns so far, and the price of each row (0 or more)."""
        self._solver.run()
        prices = np.maximum(-np.array(self._solver.getSolution().row_dual, np.float64), 0.0)
        return -self._solver.getObjectiveValue(), prices


def aggregate_lp(classes: Sequence[NodeClass], specs: Sequence[TaskSpec]) -> PackingLp:
    """Return the LP in which the GPUs of a class are one pool: a column per class and spec that it can run."""
    lp = PackingLp(classes, specs)
    for at, one in enumerate(classes):
        for i, spec in enumerate(specs):
            if one.takes(spec):
                lp.add(Column(at, spec.demand["gpu"], {i: 1}))
    return lp


class ConfigurationLp:
    """The LP by configurations; columns found for one load are kept for the next."""

    def __init__(self, classes: Sequence[NodeClass], specs: Sequence[TaskSpec]) -> None:
        self.lp = PackingLp(classes, specs)
        self.rounds = 0
        self._shared = [
            [i for i, spec in enumerate(specs) if spec.gpu_share < WHOLE_GPU and one.takes(spec)] for one in classes
        ]
        self._unit = gcd(WHOLE_GPU, *(spec.gpu_share for spec in specs))
        """Thousandths of a GPU that all shares are multiples of: no size is rounded."""
        for at, one in enumerate(classes):
            for i, spec in enumerate(specs):
                if spec.gpu_share == WHOLE_GPU and one.takes(spec):
                    self.lp.add(Column(at, spec.gpus * WHOLE_GPU, {i: 1}))

    def bound(self, counts: Sequence[int]) -> float:
        """Return an upper bound, in GPUs, of what any policy can allocate of ``counts`` tasks of each spec.

        Valid wherever pricing stops: what a class could still gain is at most its GPUs times the best reduced value.
        """
        lp = self.lp
        lp.expect(counts)
        gpus = [one.nodes * one.gpus for one in lp.classes]
        seen: set[tuple[int, tuple[tuple[int, int], ...]]] = set()
        best = float("inf")
        while True:
            value, prices = lp.solve()
            self.rounds += 1
            found = [self._price(at, prices) for at in range(len(lp.classes))]
            best = min(best, value + sum(many * gain for many, (gain, _) in zip(gpus, found, strict=True)))
            fresh = [
                (at, tuple(sorted(tasks.items())))
                for at, (gain, tasks) in enumerate(found)
                if gain > 1e-9 and (at, tuple(sorted(tasks.items()))) not in seen
            ]
            if best - value <= TOLERANCE * sum(gpus) or not fresh:
                return best
            for at, tasks in fresh:
                seen.add((at, tasks))
                lp.add(Column(at, WHOLE_GPU, dict(tasks)))

    def _price(self, at: int, prices: FloatArray) -> tuple[float, dict[int, int]]:
        """Return the best multiset of shares for one GPU of a class, by its value above the prices of its rows."""
        lp = self.lp
        cpu, memory, gpu = prices[3 * at : 3 * at + 3].tolist()
        best: dict[int, tuple[float, int]] = {}
        for i in self._shared[at]:
            spec = lp.specs[i]
            value = spec.gpu_share / WHOLE_GPU - prices.item(3 * len(lp.classes) + i)
            value -= cpu * spec.demand.get("cpu", 0) * _SCALE[_CPU]
            value -= memory * spec.demand.get("memory", 0) * _SCALE[_MEMORY]
            size = spec.gpu_share // self._unit
            if value > best.get(size, (0.0, -1))[0]:
                best[size] = (value, i)
        sizes = sorted(best)
        values, counts = knapsack(sizes, [best[size][0] for size in sizes], WHOLE_GPU // self._unit)
        tasks = {best[size][1]: count for size, count in zip(sizes, counts, strict=True) if count}
        return max(values[-1] - gpu, 0.0), tasks
