"""Scorer: how evenly the resources of a node are taken (NodeResourcesBalancedAllocation of kube-scheduler)."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from pilotage.kernel.arrays import FloatArray, IntArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.normalise import MAX_SCORE
from pilotage.kernel.plugin import Scorer
from pilotage.kernel.weights import ALWAYS_COUNTED
from pilotage.model.task import Task

Fragment = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Balanced(Scorer):
    """int((1 - deviation) x 100) of the used fractions of the resources, the task included.

    A fraction is min(1, requested / capacity), resources with capacity 0 left out; the deviation of two fractions is
    half their difference, of more the population standard deviation, of fewer 0. float64, basic operations in a
    fixed order. Another resource than CPU, memory and ephemeral storage counts only for tasks that ask for it; a task
    that asks for none of the resources is not scored.

    ``change``: score how much evener the task makes the node, 50 + (50 + with it - without it) / 2 truncated toward
    zero, as from release 1.36 on.
    """

    resources: tuple[str, ...] = ("cpu", "memory")
    change: bool = False

    name = "balanced"
    bits = 8

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.resources

    def fragment(self, task: Task) -> Fragment | None:
        demand = task.spec.demand
        asked = [(r, demand.get(r, 0)) for r in self.resources]
        if not any(amount for _, amount in asked):
            return None
        return tuple([pair for pair in asked if pair[1] or pair[0] in ALWAYS_COUNTED])

    def score(self, fragment: Fragment, nodes: Nodes) -> IntArray:
        even = self._even(fragment, nodes)
        return _changed(even, self._even(_nothing(fragment), nodes)) if self.change else even

    def _even(self, fragment: Fragment, nodes: Nodes) -> IntArray:
        c = nodes.columns
        known = [(c.resources[resource], amount) for resource, amount in fragment if resource in c.resources]
        requested = [nodes.of(c.float_used[i]) + amount for i, amount in known]
        capacity = [nodes.of(c.float_capacity[i]) for i, _ in known]
        if len(known) == 2 and all(c.capacity_bounds(i)[0] for i, _ in known):
            for fraction, whole in zip(requested, capacity, strict=True):
                np.divide(fraction, whole, out=fraction)
                if fraction.max(initial=0) > 1.0:  # looking is faster than cutting
                    np.minimum(fraction, 1.0, out=fraction)
            deviation, other = requested
            deviation -= other
            np.abs(deviation, out=deviation)
            deviation *= 0.5
        else:
            deviation = _deviation(requested, capacity, len(nodes))
        np.subtract(1.0, deviation, out=deviation)
        deviation *= MAX_SCORE
        even: IntArray = deviation.astype(np.int64)
        return even

    def score_row(self, fragment: Fragment, columns: Columns, row: int) -> int:
        even = self._even_row(fragment, columns, row)
        return _changed(even, self._even_row(_nothing(fragment), columns, row)) if self.change else even

    def _even_row(self, fragment: Fragment, columns: Columns, row: int) -> int:
        used, capacities, _ = columns.numbers_of(row)
        fractions = []
        for resource, amount in fragment:
            i = columns.resources.get(resource)
            if i is not None and capacities[i]:
                fractions.append(min((used[i] + amount) / capacities[i], 1.0))
        count = len(fractions)
        if count == 2:
            return int((1.0 - abs(fractions[0] - fractions[1]) / 2) * MAX_SCORE)
        if count < 2:
            return MAX_SCORE
        total = squares = 0.0
        for fraction in fractions:  # not sum(): from Python 3.12 on it adds floats with compensation
            total += fraction
        mean = total / count
        for fraction in fractions:
            squares += (fraction - mean) * (fraction - mean)
        return int((1.0 - math.sqrt(squares / count)) * MAX_SCORE)


def _nothing(fragment: Fragment) -> Fragment:
    return tuple((resource, 0) for resource, _ in fragment)


def _changed(after: Any, before: Any) -> Any:
    """Arrays and plain numbers alike."""
    gain = MAX_SCORE // 2 + after - before
    return MAX_SCORE // 2 + (gain + (gain < 0)) // 2


def _deviation(requested: list[FloatArray], capacity: list[FloatArray], n: int) -> FloatArray:
    """Deviation of the fractions of each of n nodes, resources with capacity 0 left out."""
    present = [some > 0 for some in capacity]
    fractions = [np.minimum(r / np.maximum(c, 1), 1.0) for r, c in zip(requested, capacity, strict=True)]
    counts: IntArray = np.zeros(n, np.int64)
    total, squares = np.zeros(n), np.zeros(n)
    low, high = np.full(n, np.inf), np.full(n, -np.inf)
    for fraction, has in zip(fractions, present, strict=True):
        counts += has
        total += np.where(has, fraction, 0.0)
        low = np.where(has, np.minimum(low, fraction), low)
        high = np.where(has, np.maximum(high, fraction), high)
    several = np.maximum(counts, 1)
    mean = total / several
    for fraction, has in zip(fractions, present, strict=True):
        squares += np.where(has, (fraction - mean) * (fraction - mean), 0.0)
    by_two = np.where(counts == 2, high, 0.0) - np.where(counts == 2, low, 0.0)
    deviation: FloatArray = np.where(counts > 2, np.sqrt(squares / several), by_two / 2)
    return deviation
