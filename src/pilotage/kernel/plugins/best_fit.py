"""Scorer: prefer the node with the least left after the task (BestFit of the openb experiment)."""

import math
from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import IntArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.normalise import MinMax
from pilotage.kernel.plugin import LARGEST_NORMALISED, Scorer
from pilotage.kernel.weights import Demanded, Pairs, demanded
from pilotage.model.task import Task


@dataclass(frozen=True)
class BestFit(Scorer):
    """floor(100 x (1 - mean over resources of (free - demand) / norm)), then minimum to maximum of the feasible.

    ``norms`` gives the amount of each resource that counts as one: the largest node's. A resource that no node
    has named does not count. float64 in a fixed order.
    """

    norms: Pairs

    name = "best-fit"
    normaliser = MinMax()

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(resource for resource, _ in self.norms)

    def fragment(self, task: Task) -> Demanded:
        return demanded(self.norms, task)

    def score(self, fragment: Demanded, nodes: Nodes) -> IntArray:
        left = np.zeros(len(nodes))
        for resource, amount, norm in fragment:
            if resource in nodes.columns.resources:
                left += (nodes.free[resource] - amount) / (norm * len(fragment))
        return np.floor(np.clip(100.0 * (1.0 - left), -LARGEST_NORMALISED, LARGEST_NORMALISED)).astype(np.int64)

    def score_row(self, fragment: Demanded, columns: Columns, row: int) -> int:
        used, capacity, _ = columns.numbers_of(row)
        left = 0.0
        for resource, amount, norm in fragment:
            i = columns.resources.get(resource)
            if i is not None:
                left += float(capacity[i] - used[i] - amount) / (norm * len(fragment))
        return math.floor(min(max(100.0 * (1.0 - left), -LARGEST_NORMALISED), LARGEST_NORMALISED))
