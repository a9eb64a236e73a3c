"""Bins: what a number known beforehand (input tokens, say) tells about one that is not (output tokens)."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import TypeGuard

from pilotage.engine.routing.run_time import Sample

BINS = 10


class Bins:
    """Equal-count bins of a feature, and the outcomes seen in each as a distribution.

    ``features`` and ``outcomes`` have one entry per observation, at least one. Equal features share a bin, so there
    may be fewer bins than asked for.
    """

    def __init__(self, features: Sequence[float], outcomes: Sequence[float], bins: int = BINS) -> None:
        ranked = sorted(features)
        cuts = (ranked[len(ranked) * i // bins] for i in range(1, bins))
        edges = sorted({cut for cut in cuts if cut > ranked[0]})
        members: list[list[float]] = [[] for _ in range(len(edges) + 1)]
        for feature, outcome in zip(features, outcomes, strict=True):
            members[bisect_right(edges, feature)].append(outcome)
        self.edges = edges
        """A feature is in the bin after the last edge that it reaches."""
        self.samples = [Sample(each) for each in members]
        self.pooled = Sample(outcomes)
        """All outcomes: what holds when the feature says nothing."""

    def of(self, feature: float) -> Sample:
        """Return the distribution of outcomes for a feature, in or out of the range that was seen."""
        return self.samples[bisect_right(self.edges, feature)]


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value of metadata can be a feature."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
