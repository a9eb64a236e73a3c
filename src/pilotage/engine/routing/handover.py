"""What a task costs beside its run: to be stored and sent there, and the news of its end on its way back.

Where runs are not much longer than that, a slot that is given its next task only when the end of the last one is known
idles for a good part of the time. So the cost is measured, per instance, and tasks are sent so much ahead.
"""

from collections import deque
from statistics import median

LEAST_S = 0.001
"""Below this nothing is gained by sending ahead."""

_KEPT = 15
_ENOUGH = 3


class HandOver:
    """The cost in seconds as of the last tasks that found a free slot; 0 while it is small, or not known."""

    __slots__ = ("_last", "cost_s")

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=_KEPT)
        self.cost_s = 0.0

    def observe(self, beside_s: float) -> None:
        """A task that found a free slot took so long beside its run, from the decision to the news of its end."""
        self._last.append(beside_s)
        if len(self._last) >= _ENOUGH:
            middle_s = median(self._last)
            self.cost_s = middle_s if middle_s >= LEAST_S else 0.0
