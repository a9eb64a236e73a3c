"""Whether predictions are worth anything: measured on every run that ends, with a step down and a way back.

A miss is an actual run time more than a factor of 2 away from the predicted median. When more than half of the last
`WINDOW` are misses, acting on predictions is no better than counting tasks (the break-even of simulations with errors
of known size): the quality is `poor` until the share falls below `BACK`. Predictions go on being made and measured
meanwhile. Coverage, the share of actual times inside the predicted 10 % to 90 % interval, should be 0.8; below
`COVERED` the distribution is wrong even where its middle is right, and what is conditioned on it as well.
"""

from collections import deque
from math import log

from pilotage.engine.routing.run_time import RunTime

WINDOW = 400
ENOUGH = 100
STEP_DOWN = 0.5
BACK = 0.4
COVERED = 0.5
COVERED_BACK = 0.6
_FACTOR = log(2)


class Quality:
    """The share of misses and the coverage of the last runs, and the state that follows from them."""

    def __init__(self) -> None:
        self._recent: deque[tuple[bool, bool]] = deque(maxlen=WINDOW)
        self._misses = 0
        self._covered = 0
        self.poor = False
        """Predictions should not be acted on."""

    def observe(self, predicted: RunTime, actual_s: float) -> bool:
        """A run of ``actual_s`` (above 0) ended; return whether `poor` changed."""
        if len(self._recent) == WINDOW:
            missed, covered = self._recent[0]
            self._misses -= missed
            self._covered -= covered
        middle = max(predicted.quantile_s(0.5), 1e-9)
        missed = abs(log(actual_s / middle)) > _FACTOR
        covered = predicted.quantile_s(0.1) * 0.99 <= actual_s <= predicted.quantile_s(0.9) * 1.01
        self._recent.append((missed, covered))
        self._misses += missed
        self._covered += covered
        before = self.poor
        if len(self._recent) >= ENOUGH:
            if self.poor:
                self.poor = self.missed > BACK or self.coverage < COVERED_BACK
            else:
                self.poor = self.missed > STEP_DOWN or self.coverage < COVERED
        return self.poor != before

    @property
    def missed(self) -> float:
        """The share of runs more than a factor of 2 from their predicted median, 0 to 1."""
        return self._misses / max(1, len(self._recent))

    @property
    def coverage(self) -> float:
        """The share of runs inside their predicted 10 % to 90 % interval, 0 to 1; 1 before the first."""
        return self._covered / len(self._recent) if self._recent else 1.0
