"""Scorer: pack or spread by the exponentials of what is left free, as Nomad does."""

from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import cache

import numpy as np

from pilotage.kernel.arrays import IntArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import Scorer
from pilotage.model.task import Task

_STEPS, _UNIT = 1000, 1_000_000


@cache
def _powers() -> IntArray:
    """10^(k / 1000) in millionths, rounded down, for k = 0 .. 1000: int64[1001]; the same on every processor."""
    with localcontext() as context:
        context.prec = 40
        return np.array([int(Decimal(10) ** (Decimal(k) / _STEPS) * _UNIT) for k in range(_STEPS + 1)], np.int64)


@dataclass(frozen=True)
class ExponentialFit(Scorer):
    """20 - (10^free CPU + 10^free memory) of 18, the task included; ``spread``: (10^free CPU + 10^free memory) - 2.

    Free parts in thousandths of the capacity, rounded down; the result 0 .. 1,000 for 0 .. 18. A node without CPU or
    memory counts as full. Source: Nomad's ScoreFitBinPack and ScoreFitSpread.
    """

    spread: bool = False

    name = "exponential-fit"
    reads = ("cpu", "memory")
    bits = 32

    def fragment(self, task: Task) -> tuple[int, int]:
        return task.spec.demand.get("cpu", 0), task.spec.demand.get("memory", 0)

    def score(self, fragment: tuple[int, int], nodes: Nodes) -> IntArray:
        total = np.zeros(len(nodes), np.int64)
        for resource, amount in zip(("cpu", "memory"), fragment, strict=True):
            capacity = nodes.capacity[resource]
            free = np.clip(capacity - nodes.used[resource] - amount, 0, capacity)
            total += _powers()[free * _STEPS // np.maximum(capacity, 1)]
        return (total - 2 * _UNIT if self.spread else 20 * _UNIT - total) * 1000 // (18 * _UNIT)

    def score_row(self, fragment: tuple[int, int], columns: Columns, row: int) -> int:
        used, capacities, _ = columns.numbers_of(row)
        total = 0
        for resource, amount in zip(("cpu", "memory"), fragment, strict=True):
            i = columns.resources[resource]
            free = min(max(capacities[i] - used[i] - amount, 0), capacities[i])
            total += _powers().item(free * _STEPS // max(capacities[i], 1))
        return (total - 2 * _UNIT if self.spread else 20 * _UNIT - total) * 1000 // (18 * _UNIT)
