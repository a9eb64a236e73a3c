"""The mix of tasks, learned from what arrives: for policies that need one where nobody tells it (`WorkloadExpected`).

Arrivals are counted by what a mix tells apart, over a window of the last ones. Until enough were seen there is no mix,
and a policy makes do without. Then it is derived again when twice as many are known as it rests on, or when the window
differs from it by more than chance, or when it shows that tasks leave again.
"""

from msgspec import Struct

from pilotage.model.task import TaskSpec
from pilotage.model.workload import Group, Workload, group_of, head_of

ENOUGH = 1_000
"""Arrivals with GPUs or without from which a mix is trusted (measured: 300 may mislead, 1,000 lose 0.1 points)."""

HALF_WINDOW = 8_192
"""The window holds from one to two times as many arrivals: counts are kept in two halves, the older one is dropped."""

LOOK_EVERY = 512
"""Arrivals between two looks at whether the mix has drifted."""

DRIFT = 10
"""One in how many arrivals must have changed (total variation distance) to derive the mix again."""


Counts = tuple[tuple[Group, int], ...]
"""Arrivals by group, in the order in which groups were first seen: ties go by it."""


class MixCheckpoint(Struct, frozen=True, kw_only=True):
    """All that a learner knows."""

    seen: int
    older: Counts
    newer: Counts
    in_newer: int
    derived_from: Counts
    leaves: bool = False


class MixLearner:
    """Counts arrivals; `note` says when another mix should be expected, and which."""

    def __init__(self) -> None:
        self.seen = 0
        self._older: dict[Group, int] = {}
        self._newer: dict[Group, int] = {}
        self._in_newer = 0
        self._derived_from: dict[Group, int] = {}
        self._leaves = False

    def left(self) -> None:
        """Note that a task left its node: what is learned from now on is a mix of tasks that end."""
        if not self._leaves:
            self._leaves = True
            self._derived_from = {}

    def note(self, spec: TaskSpec) -> Workload | None:
        """Count one arrival; return the mix to expect from now on, or None while the one in use will do."""
        group = group_of(spec)
        self._newer[group] = self._newer.get(group, 0) + 1
        self._in_newer += 1
        self.seen += 1
        if self.seen < ENOUGH or (self.seen != ENOUGH and self.seen % LOOK_EVERY):
            return None
        counts = dict(self._older)
        for group, count in self._newer.items():
            counts[group] = counts.get(group, 0) + count
        if self._in_newer >= HALF_WINDOW:
            self._older, self._newer, self._in_newer = self._newer, {}, 0
        known, before = sum(counts.values()), sum(self._derived_from.values())
        if known < 2 * before and not _differ(counts, known, self._derived_from, before):
            return None
        self._derived_from = counts
        return head_of(counts, leaves=self._leaves)

    def checkpoint(self) -> MixCheckpoint:
        """Return all that `restore` needs to make a learner that goes on like this one."""
        return MixCheckpoint(
            seen=self.seen,
            older=tuple(self._older.items()),
            newer=tuple(self._newer.items()),
            in_newer=self._in_newer,
            derived_from=tuple(self._derived_from.items()),
            leaves=self._leaves,
        )

    def restore(self, checkpoint: MixCheckpoint) -> None:
        """Take over what another learner knew."""
        self.seen, self._in_newer = checkpoint.seen, checkpoint.in_newer
        self._older, self._newer = dict(checkpoint.older), dict(checkpoint.newer)
        self._derived_from, self._leaves = dict(checkpoint.derived_from), checkpoint.leaves


def _differ(some: dict[Group, int], total: int, others: dict[Group, int], of_others: int) -> bool:
    """Whether two counts differ in more than one of `DRIFT` arrivals, exactly: half the sum of all differences."""
    apart = sum(
        abs(some.get(group, 0) * of_others - others.get(group, 0) * total) for group in some.keys() | others.keys()
    )
    return DRIFT * apart > 2 * total * of_others
