"""How long decisions took, as a histogram in equal steps of the logarithm."""

from collections.abc import Sequence

import numpy as np

from pilotage.sim.result import Histogram

_EDGES_US = tuple(round(float(edge), 3) for edge in 2.0 ** np.arange(2.0, 16.01, 0.5))
"""From 4 microseconds to 65 milliseconds, two steps an octave."""


class Latencies:
    """CPU microseconds of decisions; several that were made together share theirs."""

    def __init__(self, seconds: Sequence[float], decisions: Sequence[int]) -> None:
        made = np.array(decisions, np.int64)
        self._us = np.array(seconds, np.float64)[made > 0] * 1e6 / made[made > 0]
        self._times = made[made > 0]

    def histogram(self) -> Histogram | None:
        """Return the counts, or None without decisions; what is shorter than the first edge is in the first step."""
        if not self._us.size:
            return None
        at = np.clip(np.searchsorted(_EDGES_US, self._us, side="right") - 1, 0, len(_EDGES_US) - 1)
        counts = np.bincount(at, weights=self._times, minlength=len(_EDGES_US))
        return Histogram(_EDGES_US, tuple(int(count) for count in counts))

    def quantile(self, part: float) -> float | None:
        """Return the time that ``part`` of the decisions do not pass."""
        if not self._us.size:
            return None
        order = np.argsort(self._us)
        reached = np.cumsum(self._times[order])
        return float(self._us[order[np.searchsorted(reached, part * reached[-1])]])
