"""Scorer: prefer the node whose free amounts line up least with the demand (DotProd of the openb experiment)."""

import math
from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import IntArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import LARGEST_RAW, Scorer
from pilotage.kernel.weights import Demanded, Pairs, demanded
from pilotage.model.task import Task


@dataclass(frozen=True)
class DotProduct(Scorer):
    """floor(100 x (1 - mean over resources of free x demand / norm^2)); free is what is left before the task.

    ``norms`` gives the amount of each resource that counts as one: the largest node's. float64 in a fixed order.
    """

    norms: Pairs

    name = "dot-product"

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(resource for resource, _ in self.norms)

    def fragment(self, task: Task) -> Demanded:
        return demanded(self.norms, task)

    def score(self, fragment: Demanded, nodes: Nodes) -> IntArray:
        total = np.zeros(len(nodes))
        for resource, amount, norm in fragment:
            if resource in nodes.columns.resources:
                total += nodes.free[resource] * (amount / (norm * norm))
        return np.floor(np.clip(100.0 * (1.0 - total / len(fragment)), -LARGEST_RAW, LARGEST_RAW)).astype(np.int64)

    def score_row(self, fragment: Demanded, columns: Columns, row: int) -> int:
        used, capacity, _ = columns.numbers_of(row)
        total = 0.0
        for resource, amount, norm in fragment:
            i = columns.resources.get(resource)
            if i is not None:
                total += (capacity[i] - used[i]) * (amount / (norm * norm))
        return math.floor(min(max(100.0 * (1.0 - total / len(fragment)), -LARGEST_RAW), LARGEST_RAW))
