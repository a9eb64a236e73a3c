"""Scorer: prefer the node whose scarcest resource is used up furthest by the task: best fit in several dimensions."""

from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import IntArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import Scorer
from pilotage.model.task import Task

_PARTS = 10_000
_OWN = ("gpu", "tasks")
"""Amounts that say nothing of how full a node is: shares of GPUs are counted elsewhere, tasks are unlimited mostly."""


@dataclass(frozen=True)
class DominantShare(Scorer):
    """Largest of (used + demand) / capacity over the resources that the task asks for, in ten-thousandths.

    float64 division, then rounded down: amounts fit a float64 exactly.
    """

    name = "dominant-share"
    reads = ("cpu", "memory", "any other resource")
    bits = 32

    def fragment(self, task: Task) -> tuple[tuple[str, int], ...]:
        return tuple((name, amount) for name, amount in task.spec.demand.items() if amount and name not in _OWN)

    def score(self, fragment: tuple[tuple[str, int], ...], nodes: Nodes) -> IntArray:
        share = np.zeros(len(nodes), np.int64)
        for resource, amount in fragment:
            i = nodes.columns.resources.get(resource)
            if i is not None:
                capacity = nodes.of(nodes.columns.capacity[i])
                taken = np.minimum(nodes.of(nodes.columns.used[i]) + amount, capacity)
                parts = (taken / np.maximum(capacity, 1) * _PARTS).astype(np.int64)
                share = np.maximum(share, parts)
        return share

    def score_row(self, fragment: tuple[tuple[str, int], ...], columns: Columns, row: int) -> int:
        used, capacities, _ = columns.numbers_of(row)
        share = 0
        for resource, amount in fragment:
            i = columns.resources.get(resource)
            if i is not None:
                taken = min(used[i] + amount, capacities[i])
                share = max(share, int(taken / max(capacities[i], 1) * _PARTS))
        return share
