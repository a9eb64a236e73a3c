"""What is on one instance by our own books: how many tasks, how much expected work, how uncertain.

Expectation and variance are sums over the tasks in flight, in whole microseconds: a task that leaves takes exactly
what it brought, so nothing drifts. (The rule answered to keeps the variance and subtracts the *actual* time.)
"""

from itertools import islice
from math import sqrt

from pilotage.model.routing import Instance

_SCALE = 1_000_000


class Backlog:
    """One instance and the tasks it was given, in order. The first ``slots`` of them are taken to run."""

    __slots__ = ("_mean", "_tasks", "_variance", "instance")

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._tasks: dict[str, list[float]] = {}  # mean in us, variance in us^2, start in s (or -1)
        self._mean = 0
        self._variance = 0

    @property
    def id(self) -> str:
        """The instance's id."""
        return self.instance.id

    @property
    def outstanding(self) -> int:
        """Tasks sent there and not ended: waiting and running."""
        return len(self._tasks)

    def add(self, task_id: str, mean_s: float, std_s: float, now: float) -> None:
        """A task was sent there."""
        mean, variance = round(mean_s * _SCALE), round((std_s * _SCALE) ** 2)
        self._tasks[task_id] = [mean, variance, now if len(self._tasks) < self.instance.slots else -1.0]
        self._mean += mean
        self._variance += variance

    def remove(self, task_id: str, now: float) -> None:
        """A task is no longer there; the next one is taken to start now."""
        mean, variance, _ = self._tasks.pop(task_id)
        self._mean -= int(mean)
        self._variance -= int(variance)
        for entry in islice(self._tasks.values(), self.instance.slots):
            if entry[2] < 0:
                entry[2] = now

    def expected_s(self, now: float) -> float:
        """Work that is still to be done before a task sent now could start, per slot.

        A running task counts for what is left of its expectation, never for less than nothing.
        """
        if not self._tasks:
            return 0.0
        work = float(self._mean)
        for mean, _, started in islice(self._tasks.values(), self.instance.slots):
            work -= min(max(0.0, (now - started) * _SCALE), mean) if started >= 0 else 0.0
        return work / _SCALE / self.instance.slots

    def error_s(self) -> float:
        """Standard deviation of that work: variances of independent tasks add."""
        return sqrt(self._variance) / _SCALE / self.instance.slots
