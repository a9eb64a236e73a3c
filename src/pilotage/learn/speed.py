"""How fast each instance really is: drift told apart from the noise of its tasks.

Of every run, u = ln(actual / predicted). d = median of an instance's last `OWN` u, minus the median of the last `ALL`
of all instances (a bias of the predictor is nobody's speed). s = 1.4826 x their median absolute deviation, which stands
for a standard deviation and shrugs off outliers. The median of n has a standard error of 1.2533 s / sqrt(n). Only
where |d| exceeds both `SIGMAS` of those and `LEAST` is the instance taken to be exp(d) times as slow as predicted; in
all other cases the factor is exactly 1. A plain moving average chases noise and makes every day worse to make a
rare one better; this one was without cost on every trace tried (docs/routing.md).
"""

from collections import deque
from math import exp, log, sqrt
from statistics import median

OWN = 25
ALL = 400
SIGMAS = 5.0
LEAST = 0.4
_REFRESH = 50
_MAD = 1.4826
_MEDIAN_ERROR = 1.2533


class Speeds:
    """The speed factors of instances, from runs as they end."""

    def __init__(self) -> None:
        self._own: dict[str, deque[float]] = {}
        self._all: deque[float] = deque(maxlen=ALL)
        self._usual = 0.0
        self._threshold = 0.0
        self._seen = 0
        self.factors: dict[str, float] = {}
        """How many times its prediction a task takes, of the instances that clearly deviate; all others: 1."""

    def observe(self, instance: str, actual_s: float, predicted_s: float) -> None:
        """A task ran there; both times must be above 0."""
        ratio = log(actual_s / predicted_s)
        own = self._own.setdefault(instance, deque(maxlen=OWN))
        own.append(ratio)
        self._all.append(ratio)
        self._seen += 1
        if self._seen >= 4 * OWN and (self._seen % _REFRESH == 0 or not self._threshold):
            self._usual = median(self._all)
            spread = _MAD * median(abs(each - self._usual) for each in self._all)
            self._threshold = max(LEAST, SIGMAS * _MEDIAN_ERROR * spread / sqrt(OWN))
        self.factors.pop(instance, None)
        if self._threshold and len(own) == OWN:
            drift = median(own) - self._usual
            if abs(drift) > self._threshold:
                self.factors[instance] = exp(drift)

    def forget(self, instance: str) -> None:
        """The instance is gone, or a new one under its name."""
        self._own.pop(instance, None)
        self.factors.pop(instance, None)
