"""Filter: a node must have enough of every amount that the task asks for."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import BoolArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import Filter
from pilotage.model.change import Change, MoreFree
from pilotage.model.events import Cure
from pilotage.model.task import Task

Fragment = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Capacity(Filter):
    """used + demand <= capacity for every resource asked for, number of tasks included; not for GPUs."""

    name = "capacity"
    reads = ("cpu", "memory", "tasks", "any other resource")
    cures = Cure.CAPACITY | Cure.TASK_LEFT

    def fragment(self, task: Task) -> Fragment:
        spec = task.spec
        return tuple(
            [item for item in spec.demand.items() if item[1] and item[0] != "gpu" and item[0] not in spec.uncapped]
        )

    def mask(self, fragment: Fragment, nodes: Nodes) -> BoolArray:
        fits: BoolArray | None = None
        for _, enough in self._enough(fragment, nodes):
            fits = enough if fits is None else np.logical_and(fits, enough, out=fits)
        return np.ones(len(nodes), np.bool_) if fits is None else fits

    @staticmethod
    def _enough(fragment: Fragment, nodes: Nodes) -> Iterator[tuple[str, BoolArray]]:
        """Yield for each amount asked for whether nodes have it."""
        c = nodes.columns
        for name, amount in fragment:
            i = c.resources.get(name)
            if i is None:
                yield name, np.zeros(len(nodes), np.bool_)
            else:
                yield name, nodes.of(c.used[i]) + amount <= nodes.of(c.capacity[i])

    def mask_row(self, fragment: Fragment, columns: Columns, row: int) -> bool:
        used, capacity, _ = columns.numbers_of(row)
        for name, amount in fragment:
            i = columns.resources.get(name)
            if i is None or used[i] + amount > capacity[i]:
                return False
        return True

    def why(self, fragment: Fragment, nodes: Nodes) -> dict[str, int]:
        """Counts a node under every resource that it lacks, as kube-scheduler does."""
        lacking = {name: len(nodes) - int(np.count_nonzero(enough)) for name, enough in self._enough(fragment, nodes)}
        return {
            "Too many tasks" if name == "tasks" else f"Insufficient {name}": count
            for name, count in lacking.items()
            if count
        }

    def remedy(self, fragment: Fragment, columns: Columns, row: int) -> tuple[Change, ...]:
        used, capacity, _ = columns.numbers_of(row)
        changes = []
        for name, amount in fragment:
            i = columns.resources.get(name)
            missing = amount if i is None else used[i] + amount - capacity[i]
            if missing > 0:
                changes.append(MoreFree(name, missing))
        return tuple(changes)
