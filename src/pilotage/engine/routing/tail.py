"""The end of the queue: where a task that has just joined would go, at a cost that the queue's length does not change.

The plan itself walks the queue. Here the slots' moments are kept as they will be when all who wait have been served,
every newcomer moves one of them on, and from time to time they are made afresh: exactly for a short queue, for a long
one as if the waiting tasks were water. Poured over the slots, the lane k with mean run time m_k fills up to the moment
C - weight x m_k (all lanes cost the next task the same, C), and C is such that the tasks poured in are as many as wait.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate

from pilotage.engine.routing.plan import Lane, Start, outlook

EXACT = 32
"""Waiting tasks up to which the slots are made afresh by walking the queue."""

_FRESH = 64
"""Newcomers after which they are made afresh."""

_FRESH_S = 0.1
"""And seconds."""


class Tail:
    """Sums over the waiting tasks, per column of predicted run times, and the slots after them."""

    def __init__(self) -> None:
        self._work_s: list[float] = []
        self._tasks = 0
        self._lanes: list[Lane] = []
        self._placed = _FRESH
        self._made_s = 0.0

    def joined(self, run_s: Sequence[float]) -> None:
        """A task waits, with these predicted run times per column."""
        if len(run_s) > len(self._work_s):  # a new platform: for those before it a task like this one is assumed
            self._work_s += [self._tasks * each for each in run_s[len(self._work_s) :]]
        self._tasks += 1
        for column, each in enumerate(run_s):
            self._work_s[column] += each

    def went(self, run_s: Sequence[float]) -> None:
        """It waits no longer; ``run_s`` is what it joined with."""
        for column, whole_s in enumerate(self._work_s):
            self._work_s[column] -= run_s[column] if column < len(run_s) else whole_s / self._tasks
        self._tasks -= 1
        if not self._tasks:
            self._work_s = []

    @property
    def means_s(self) -> list[float]:
        """The mean predicted run time of the waiting tasks per column."""
        return [each / self._tasks for each in self._work_s]

    def outdated(self) -> None:
        """The instances are others now."""
        self._placed = _FRESH

    def place(
        self,
        run_s: Sequence[float],
        now: float,
        weight: float,
        lanes: Callable[[], list[Lane]],
        waiting: Callable[[], Sequence[Sequence[float]]],
    ) -> Start | None:
        """Return where the newest of the waiting tasks would go; None where no instance may be given tasks.

        ``lanes()``: the slots as they are. ``waiting()``: run times of those that wait before it, asked for only while
        these are at most `EXACT`.
        """
        if self._placed >= _FRESH or now >= self._made_s + _FRESH_S:
            self._placed, self._made_s = 0, now
            self._lanes = lanes()
            if self._tasks <= EXACT + 1:
                outlook(waiting(), self._lanes, weight)
            else:
                pour(self._tasks - 1, self.means_s, self._lanes, weight)
        if not self._lanes:
            return None
        self._placed += 1
        return outlook([run_s], self._lanes, weight)[0]


def pour(tasks: int, means_s: Sequence[float], lanes: Sequence[Lane], weight: float) -> None:
    """Move the slots' moments on as ``tasks`` tasks of mean run times ``means_s`` (per column) would."""
    mean_s = [max(1e-9, lane.factor * means_s[lane.column]) for lane in lanes]
    floors = sorted(
        (moment_s + weight * each, 1 / each)
        for lane, each in zip(lanes, mean_s, strict=True)
        for moment_s, _, _ in lane.slots
    )
    if not floors:
        return
    # With the k lowest slots reached, they serve sum (C - floor) x rate = C x rates - offset tasks.
    rates = list(accumulate(rate for _, rate in floors))
    offsets = list(accumulate(floor * rate for floor, rate in floors))
    reached = next(
        (at for at in range(1, len(floors)) if floors[at][0] * rates[at - 1] - offsets[at - 1] >= tasks), len(floors)
    )
    cost_s = (tasks + offsets[reached - 1]) / rates[reached - 1]
    for lane, each in zip(lanes, mean_s, strict=True):
        lane.slots[:] = [(max(moment_s, cost_s - weight * each), busy, row) for moment_s, busy, row in lane.slots]
