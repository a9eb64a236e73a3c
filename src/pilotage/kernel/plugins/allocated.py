"""Scorers: how much of a node is taken, least best or most best, as kube-scheduler's NodeResourcesFit scores it."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from pilotage.kernel.arrays import FloatArray, IntArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.normalise import MAX_SCORE
from pilotage.kernel.plugin import Scorer
from pilotage.kernel.weights import Demanded, Pairs, counted
from pilotage.model.task import Task

Amount = TypeVar("Amount", IntArray, FloatArray)

EXACT_CAPACITY = 2.0**46
"""Below it, floor(100 x part / capacity) in float64 is the quotient of the integers.

The product stays under 2^53, and a quotient that is no integer differs from the next by 1 / capacity or more, which
is above the rounding error of a number up to 100 (2^-47)."""


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
        total: FloatArray | None = None
        weights = 0
        lacking: FloatArray | None = None  # weight of the resources that a node has nothing of, where any does
        for resource, amount, weight in fragment:
            i = c.resources.get(resource)
            if i is None:
                continue
            weights += weight
            smallest, largest = c.capacity_bounds(i)
            if largest < EXACT_CAPACITY:
                capacity: FloatArray = nodes.of(c.float_capacity[i])
                used: FloatArray = nodes.of(c.float_used[i])
                part = self._part(used, amount, capacity)
                if not smallest:
                    none = (capacity == 0).astype(np.float64)
                    lacking = none * weight if lacking is None else lacking + none * weight
                    capacity = capacity + none
                part /= capacity
                np.floor(part, out=part)
            else:
                whole: IntArray = nodes.of(c.capacity[i])
                held: IntArray = nodes.of(c.used[i])
                none = (whole == 0).astype(np.float64)
                lacking = none * weight if lacking is None else lacking + none * weight
                part = (self._part(held, amount, whole) // np.maximum(whole, 1)).astype(np.float64)
            if weight != 1:
                part *= weight
            total = part if total is None else np.add(total, part, out=total)
        if total is None:
            return np.zeros(len(nodes), np.int64)
        if lacking is not None:
            total /= np.maximum(weights - lacking, 1)
        elif weights & (weights - 1):
            total /= weights
        else:
            total *= 1 / weights  # the same for a power of two, and faster
        return total.astype(np.int64)  # all scores so far are whole numbers, too small for a quotient to be rounded up

    def _part(self, used: Amount, amount: int, capacity: Amount) -> Amount:
        """Return a hundred times the part of the capacity that counts: the used or the free one."""
        if self.most:
            part = used + amount
            np.minimum(part, capacity, out=part)
        else:
            part = capacity - used
            part -= amount
            if part.min(initial=0) < 0:  # looking is faster than cutting
                np.maximum(part, 0, out=part)
        part *= MAX_SCORE
        return part

    def score_row(self, fragment: Demanded, columns: Columns, row: int) -> int:
        used, capacities, _ = columns.numbers_of(row)
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
