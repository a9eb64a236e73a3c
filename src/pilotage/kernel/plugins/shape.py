"""Scorer: a score for each level of utilisation, given as points of a line (RequestedToCapacityRatio)."""

from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import IntArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.normalise import MAX_SCORE
from pilotage.kernel.plugin import Scorer
from pilotage.kernel.weights import Demanded, Pairs, counted
from pilotage.model.errors import InvalidInput
from pilotage.model.task import Task

Points = tuple[tuple[int, int], ...]
"""(utilisation 0..100 strictly increasing, score 0..10)."""

_SCALE = MAX_SCORE // 10


@dataclass(frozen=True)
class Shape(Scorer):
    """Weighted mean of the line's value at each resource's utilisation, the task included; values <= 0 do not count.

    Integer division truncates toward zero inside a segment, the mean is rounded half away from zero. Source:
    RequestedToCapacityRatio of kube-scheduler.
    """

    points: Points
    weights: Pairs

    name = "shape"
    bits = 8

    def __post_init__(self) -> None:
        if not self.points:
            raise InvalidInput("shape.points", "needs at least one point (utilisation, score)")
        levels = [level for level, _ in self.points]
        if any(not 0 <= level <= 100 for level in levels) or levels != sorted(set(levels)):
            raise InvalidInput("shape.points", f"utilisation must rise strictly from 0 to 100 at most, got {levels}")
        if any(not 0 <= score <= 10 for _, score in self.points):
            raise InvalidInput("shape.points", f"scores must be from 0 to 10, got {[s for _, s in self.points]}")

    @property
    def reads(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(resource for resource, _ in self.weights)

    def fragment(self, task: Task) -> Demanded | None:
        return counted(self.weights, task)

    def score(self, fragment: Demanded, nodes: Nodes) -> IntArray:
        c = nodes.columns
        table = np.array([self.value(level) for level in range(101)], np.int64)
        total = np.zeros(len(nodes), np.int64)
        weights = np.zeros(len(nodes), np.int64)
        for resource, amount, weight in fragment:
            i = c.resources.get(resource)
            if i is None:
                continue
            capacity = nodes.of(c.capacity[i])
            requested = np.minimum(nodes.of(c.used[i]) + amount, capacity)
            value = np.where(capacity > 0, table[requested * 100 // np.maximum(capacity, 1)], 0)
            total += value * weight
            weights += (value > 0) * weight
        weights = np.maximum(weights, 1)
        return (2 * total + weights) // (2 * weights)

    def score_row(self, fragment: Demanded, columns: Columns, row: int) -> int:
        used, capacity, _ = columns.numbers_of(row)
        total = weights = 0
        for resource, amount, weight in fragment:
            i = columns.resources.get(resource)
            if i is None or not capacity[i]:
                continue
            value = self.value(min(used[i] + amount, capacity[i]) * 100 // capacity[i])
            if value > 0:
                total += value * weight
                weights += weight
        return (2 * total + weights) // (2 * weights) if weights else 0

    def value(self, level: int) -> int:
        """Return the line's value, 0..100, at a utilisation of ``level`` percent."""
        before = self.points[0]
        for point in self.points:
            if level <= point[0]:
                (u0, s0), (u1, s1) = before, point
                if u0 == u1:
                    return s1 * _SCALE
                rise = (s1 - s0) * _SCALE * (level - u0)
                step = abs(rise) // (u1 - u0)
                return s0 * _SCALE + (step if rise >= 0 else -step)
            before = point
        return before[1] * _SCALE
