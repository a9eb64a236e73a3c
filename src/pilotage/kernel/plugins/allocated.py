"""Scorers: how much of a node is taken, least best or most best, as kube-scheduler's NodeResourcesFit scores it."""

from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import IntArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.normalise import MAX_SCORE
from pilotage.kernel.plugin import Scorer
from pilotage.kernel.weights import Demanded, Pairs, counted
from pilotage.model.task import Task


@dataclass(frozen=True)
class Allocated(Scorer):
    """Weighted mean over resources of the free (``most``: the used) part of 100, the task included.

    int64: (capacity - requested) x 100 / capacity, or requested x 100 / capacity with requested at most capacity;
    a resource with capacity 0 does not count. Source: LeastAllocated and MostAllocated of kube-scheduler.
    """

    weights: Pairs
    most: bool = False

    name = "allocated"
    bits = 8

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(resource for resource, _ in self.weights)

    def fragment(self, task: Task) -> Demanded | None:
        return counted(self.weights, task)

    def score(self, fragment: Demanded, nodes: Nodes) -> IntArray:
        c = nodes.columns
        total = np.zeros(len(nodes), np.int64)
        weights = 0
        lacking: IntArray | None = None  # weight of the resources that a node has nothing of, where any does
        for resource, amount, weight in fragment:
            i = c.resources.get(resource)
            if i is None:
                continue
            capacity = nodes.of(c.capacity[i])
            part = nodes.of(c.used[i]) + amount
            np.minimum(part, capacity, out=part)
            if not self.most:
                np.subtract(capacity, part, out=part)
            part *= MAX_SCORE
            weights += weight
            if not capacity.all():
                none = capacity == 0
                lacking = none * weight if lacking is None else lacking + none * weight
                capacity = capacity + none
            part //= capacity
            total += part if weight == 1 else part * weight
        if lacking is None:
            return total // max(weights, 1)
        return total // np.maximum(weights - lacking, 1)

    def score_row(self, fragment: Demanded, columns: Columns, row: int) -> int:
        used, capacities = columns.amounts_of(row)
        total = weights = 0
        for resource, amount, weight in fragment:
            i = columns.resources.get(resource)
            if i is None or not capacities[i]:
                continue
            capacity = capacities[i]
            requested = min(used[i] + amount, capacity)
            total += (requested if self.most else capacity - requested) * MAX_SCORE // capacity * weight
            weights += weight
        return total // weights if weights else 0
