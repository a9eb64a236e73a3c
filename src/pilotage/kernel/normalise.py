"""Normalisers: bring raw scores of the feasible nodes to 0..100, as a function of their smallest and largest."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pilotage.kernel.arrays import BoolArray, ScoreArray

MAX_SCORE = 100


class Normaliser:
    """Rescales raw scores by their bounds over the feasible nodes.

    `apply` is written with operators only, so that it serves arrays and plain numbers alike, bit for bit.
    """

    def apply(self, raw: Any, low: Any, high: Any) -> Any:
        """Return ``raw`` (a number or an array) rescaled, given the smallest and largest raw score."""
        raise NotImplementedError

    def bounds(self, raw: ScoreArray, feasible: BoolArray, count: int) -> tuple[Any, Any]:
        """Return the smallest and largest raw score of the ``count`` feasible nodes, (0, 0) of none."""
        if not count:
            return (0, 0)
        lowest, highest = int(raw.argmin()), int(raw.argmax())
        if feasible.item(lowest) and feasible.item(highest):
            return raw.item(lowest), raw.item(highest)
        some = raw[feasible]  # ten times slower, and seldom needed
        return some.min().item(), some.max().item()


@dataclass(frozen=True)
class ByMaximum(Normaliser):
    """100 x raw / maximum in integers; reversed: 100 minus it. All raw scores 0: 0, reversed 100.

    Raw scores must not be negative. Source: kube-scheduler's default normalise.
    """

    reverse: bool = False

    def apply(self, raw: Any, low: Any, high: Any) -> Any:
        scaled = raw * MAX_SCORE // high if high > 0 else raw * 0
        return MAX_SCORE - scaled if self.reverse else scaled


@dataclass(frozen=True)
class MinMax(Normaliser):
    """100 x (raw - minimum) / (maximum - minimum), integers for integers; all equal: 0."""

    def apply(self, raw: Any, low: Any, high: Any) -> Any:
        if high == low:
            return raw * 0
        if isinstance(low, int):
            return (raw - low) * MAX_SCORE // (high - low)
        return (raw - low) * 100.0 / (high - low)


@dataclass(frozen=True)
class Span(Normaliser):
    """int(100 x ((raw - minimum) / (maximum - minimum))) in float64; all equal: 0.

    Source: kube-scheduler's InterPodAffinity, which divides before it multiplies.
    """

    def apply(self, raw: Any, low: Any, high: Any) -> Any:
        if high == low:
            return raw * 0
        part = (raw - low) / (high - low) * float(MAX_SCORE)
        return part.astype(np.int64) if isinstance(part, np.ndarray) else int(part)


LEFT_OUT = -1
"""Raw score of a node that `Reversed` leaves out."""


@dataclass(frozen=True)
class Reversed(Normaliser):
    """100 x (maximum + minimum - raw) / maximum in integers, maximum 0: 100; raw `LEFT_OUT`: 0, and not in the bounds.

    Source: kube-scheduler's PodTopologySpread.
    """

    def apply(self, raw: Any, low: Any, high: Any) -> Any:
        if high <= 0:
            scaled = raw * 0 + MAX_SCORE
        else:
            scaled = (high + low) - raw
            scaled *= MAX_SCORE
            scaled //= high
        if isinstance(raw, np.ndarray) and raw.min(initial=0) != LEFT_OUT:
            return scaled
        return scaled * (raw != LEFT_OUT)

    def bounds(self, raw: ScoreArray, feasible: BoolArray, count: int) -> tuple[Any, Any]:
        if raw.min(initial=0) != LEFT_OUT:
            return super().bounds(raw, feasible, count)
        some = raw[feasible & (raw != LEFT_OUT)]
        return (some.min().item(), some.max().item()) if some.size else (0, 0)
