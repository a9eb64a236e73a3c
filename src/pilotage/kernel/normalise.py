"""Normalisers: bring raw scores of the feasible nodes to 0..100, as a function of their smallest and largest."""

from dataclasses import dataclass
from typing import Any

MAX_SCORE = 100


class Normaliser:
    """Rescales raw scores by their bounds over the feasible nodes.

    `apply` is written with operators only, so that it serves arrays and plain numbers alike, bit for bit.
    """

    def apply(self, raw: Any, low: Any, high: Any) -> Any:
        """Return ``raw`` (a number or an array) rescaled, given the smallest and largest raw score."""
        raise NotImplementedError


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
