"""Scorer: how evenly the resources of a node are taken (NodeResourcesBalancedAllocation up to release 1.35)."""

import math
from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import BoolArray, FloatArray, IntArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.normalise import MAX_SCORE
from pilotage.kernel.plugin import Scorer
from pilotage.model.task import Task

Fragment = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Balanced(Scorer):
    """int((1 - deviation) x 100) of the used fractions of the resources, the task included.

    A fraction is min(1, requested / capacity), resources with capacity 0 left out; the deviation of two fractions is
    half their difference, of more the population standard deviation, of fewer 0. float64, basic operations in a
    fixed order. A task that asks for none of the resources is not scored.
    """

    resources: tuple[str, ...] = ("cpu", "memory")

    name = "balanced"
    narrow = True

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.resources

    def fragment(self, task: Task) -> Fragment | None:
        asked = tuple((r, task.spec.demand.get(r, 0)) for r in self.resources)
        return asked if any(amount for _, amount in asked) else None

    def score(self, fragment: Fragment, nodes: Nodes) -> IntArray:
        c, rows = nodes.columns, nodes.rows
        fractions: list[FloatArray] = []
        counts = np.zeros(len(nodes), np.int64)
        present: list[BoolArray] = []
        for resource, amount in fragment:
            i = c.resources.get(resource)
            if i is None:
                continue
            capacity = c.capacity[i, rows]
            has = capacity > 0
            fraction = (c.used[i, rows] + amount) / np.maximum(capacity, 1)
            fractions.append(np.minimum(fraction, 1.0))
            present.append(has)
            counts += has
        if len(fractions) == 2:
            deviation = np.where(counts == 2, np.abs(fractions[0] - fractions[1]) / 2, 0.0)
        else:
            deviation = _deviation(fractions, present, counts)
        even = np.subtract(1.0, deviation)
        even *= MAX_SCORE
        return even.astype(np.int64)

    def score_row(self, fragment: Fragment, columns: Columns, row: int) -> int:
        used, capacities = columns.used[:, row].tolist(), columns.capacity[:, row].tolist()
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


def _deviation(fractions: list[FloatArray], present: list[BoolArray], counts: IntArray) -> FloatArray:
    """Deviation of the present fractions of each node: by the rule of two where two are present."""
    n = np.maximum(counts, 1)
    total, squares = np.zeros(len(counts)), np.zeros(len(counts))
    low, high = np.full(len(counts), np.inf), np.full(len(counts), -np.inf)
    for fraction, has in zip(fractions, present, strict=True):
        total += np.where(has, fraction, 0.0)
        low = np.where(has, np.minimum(low, fraction), low)
        high = np.where(has, np.maximum(high, fraction), high)
    mean = total / n
    for fraction, has in zip(fractions, present, strict=True):
        squares += np.where(has, (fraction - mean) * (fraction - mean), 0.0)
    with np.errstate(invalid="ignore"):
        by_two = (high - low) / 2
    deviation: FloatArray = np.where(counts == 2, by_two, np.where(counts > 2, np.sqrt(squares / n), 0.0))
    return deviation
