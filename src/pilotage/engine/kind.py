"""A kind: all tasks that a policy can not tell apart share it, and with it one row of total scores.

A kind joins the memos of its fragments: which rows are feasible and the weighted sum of their scores. After a change
of one row it costs a few microseconds to bring up to date, however many nodes there are; then one scan finds the best.
"""

from collections.abc import Hashable
from typing import NamedTuple

import numpy as np

from pilotage.engine.memo import FEW, FilterMemo, ScoreMemo
from pilotage.engine.state import State
from pilotage.kernel.arrays import BoolArray, IntArray, ScoreArray
from pilotage.kernel.nodes import Nodes, Rows, blocks
from pilotage.kernel.plugin import Filter, Group
from pilotage.kernel.policy import Policy
from pilotage.kernel.ties import first, heap, heap_once, preorder, seeded_random
from pilotage.model.events import Cure
from pilotage.model.task import Task, TaskSpec

LEADERS = 64
"""Best rows that are put in order at once: it takes 3 us, and so many equal tasks need no look at all rows."""


class Rejection(NamedTuple):
    """Why no node will do: (filter, reason, nodes) in the order of the filters, and what may turn a no into a yes."""

    reasons: tuple[tuple[str, str, int], ...]
    cures: Cure


Key = tuple[Hashable, ...]
"""The fragments of a task, one per row plugin of the policy, None where the plugin has nothing to say."""


Readers = tuple[list[FilterMemo], list[ScoreMemo], bool]
"""Memos that read some column groups, and whether any of their scorers has a normaliser."""


class Choice(NamedTuple):
    """The outcome of looking at nodes for one task; ``row`` is -1 when none is feasible.

    ``visited``: how many nodes were looked at, where the policy samples them.
    """

    row: int
    score: float
    feasible: int
    visited: int = 0


class Kind:
    """What a policy knows about tasks of one kind, on every row of a state."""

    def __init__(
        self, number: int, key: Key, policy: Policy, filters: list[FilterMemo], scorers: list[ScoreMemo]
    ) -> None:
        self.number = number
        self.key = key
        self.specs: list[TaskSpec] = []
        self.filters = filters
        self.scorers = scorers
        self.tie = policy.tie
        self.sampling = policy.sampling
        self.exact = all(scorer.exact for scorer, _ in policy.scorers)
        self.feasible: BoolArray = np.zeros(0, np.bool_)
        self.total = zeros(0, self.exact)
        self.count = 0
        """Number of feasible rows."""
        self._bounds: list[tuple[float, float]] = []
        self._groups = tuple(sorted({Group.NODE, *(group for memo in self.memos for group in memo.groups)}))
        self._position = [-1] * len(self._groups)
        self._version = -1
        self._readers: dict[tuple[int, ...], Readers] = {}
        self._settled = False
        self._witnesses: dict[tuple[int, int], int] = {}
        """By scorer and side (0 below, 1 above), a row that had its smallest or largest raw score."""
        self._preorder: IntArray | None = None
        """Ranks of the feasible rows for the tie rule `heap`, as long as those and the nodes are the same."""
        self._leaders: list[int] = []
        """Some rows that had the best total, the first by the tie rule last; others may have it too once these fell."""
        self._best: float = 0
        """That total; none is above it while there are leaders."""
        self.scans = 0
        """How often all totals were looked through for the best: the work, for tests of complexity."""
        self._started = 0
        """Where the visit of nodes started when those ranks were worked out."""
        self.sampled = False
        """Whether decisions look at some of the nodes only: then nothing is summed up in advance."""
        self._scores = bool(policy.scorers)
        self.narrowing = [memo for memo in filters if memo.plugin.narrows and policy.sampling is not None]
        self.normalised = any(memo.normaliser is not None for memo in scorers)
        self._rejection = Rejection((), Cure.NODE_ADDED)
        self._rejected_at = -1

    @property
    def memos(self) -> list[FilterMemo | ScoreMemo]:
        """What the kind joins."""
        return [*self.filters, *self.scorers]

    @property
    def bytes_per_row(self) -> int:
        """Bytes a row of the arrays that belong to this kind alone."""
        return self.feasible.itemsize + self.total.itemsize

    # -- keeping up with the state -------------------------------------------------------------------------------

    def refresh(self, state: State) -> None:
        """Bring feasible rows and totals up to the state's version."""
        if self._version == state.version:
            return
        log, sampled = state.log, self.wanted(len(state.rotation)) < len(state.rotation)
        if sampled != self.sampled:
            self.sampled, self._version = sampled, -1
        try:
            if self._version < 0:
                self._start(state)
            elif log.version == self._version + 1 and log.last is not None and len(self.total) >= state.columns.rows:
                self._step(state, *log.last)
            else:
                self._catch_up(state)
        except BaseException:
            self._position = [-1] * len(self._groups)
            self._version = -1
            raise
        self._version = state.version

    def _start(self, state: State) -> None:
        """Look at all nodes for the first time, or again after a fault."""
        for memo in self.filters:
            memo.refresh(state)
        for scores in self.scorers:
            scores.refresh(state)
        self._make_room(state)
        self._position = state.log.position(self._groups)
        self._rebuild(state)

    def _make_room(self, state: State) -> bool:
        """Make the arrays as long as the columns; return whether they were too short."""
        if len(self.feasible) >= state.columns.rows:
            return False
        self.feasible = np.zeros(state.columns.rows, np.bool_)
        self.total = zeros(state.columns.rows, self.exact)
        return True

    def _step(self, state: State, row: int, groups: tuple[int, ...]) -> None:
        """Catch up with a single change: the common case in a run of equal tasks."""
        filters, scorers, rescored = self.reading(groups)
        if Group.NODE in groups:
            self._forget_order()
        for mask in filters:
            mask.step(state, row)
        for memo in scorers:
            memo.step(state, row)
        self._position = state.log.position(self._groups)
        self._patch_few(state, [row], rescored)

    def _catch_up(self, state: State) -> None:
        log = state.log
        stirred = tuple([g for g, seen in zip(self._groups, self._position, strict=True) if log.ends[g] != seen])
        filters, scorers, rescored = self.reading(stirred)
        changed, since = log.since(self._groups, self._position), self._version
        if Group.NODE in stirred:
            self._forget_order()
            for memo in (*filters, *scorers):
                memo.refresh(state)
        else:
            for memo in (*filters, *scorers):
                memo.follow(state, changed, since)
        if self._make_room(state) or changed is None:
            self._rebuild(state)
        elif len(changed.rows) > FEW:
            self._patch_many(state, changed.array, rescored)
        elif changed.rows:
            self._patch_few(state, changed.rows, rescored)

    def reading(self, groups: tuple[int, ...]) -> Readers:
        """Return the memos that read any of ``groups``; the others are as up to date as this kind was."""
        found = self._readers.get(groups)
        if found is None:
            wanted = set(groups)
            filters = [memo for memo in self.filters if wanted.intersection(memo.groups)]
            scorers = [memo for memo in self.scorers if wanted.intersection(memo.groups)]
            rescored = any(memo.normaliser is not None for memo in scorers)
            found = self._readers[groups] = (filters, scorers, rescored)
        return found

    def _rebuild(self, state: State) -> None:
        n = state.columns.n
        feasible = self.feasible[:n]
        np.copyto(feasible, state.columns.alive[:n])
        for memo in self.filters:
            feasible &= memo.values[:n]
        self.count = int(np.count_nonzero(feasible))
        self._forget_order()
        self._bounds = self._find_bounds(n)
        self._sum_up_all(n)

    def _patch_many(self, state: State, rows: IntArray, rescored: bool) -> None:
        feasible = state.columns.alive[rows]
        for memo in self.filters:
            feasible &= memo.values[rows]
        before = self.feasible[rows]
        self.feasible[rows] = feasible
        self.count += int(np.count_nonzero(feasible)) - int(np.count_nonzero(before))
        flipped = bool((feasible != before).any())
        if not self._bounds_moved(state, flipped, rescored):
            self._sum_up(rows)

    def _patch_few(self, state: State, rows: list[int], rescored: bool) -> None:
        alive, flipped = state.columns.alive, False
        for row in rows:
            ok = alive.item(row)
            for mask in self.filters:
                if not ok:
                    break
                ok = mask.values.item(row)
            if ok != self.feasible.item(row):
                self.feasible[row] = ok
                self.count += 1 if ok else -1
                flipped = True
        if self._bounds_moved(state, flipped, rescored):
            return
        lowest = self.lowest
        for row in () if self.sampled else rows:
            before = self.total.item(row)
            now = self.total[row] = self._total_of(row) if self.feasible.item(row) else lowest
            if now >= self._best and now != before and self._leaders:
                self._leaders = [row] if now > self._best else []
                self._best = now

    def _forget_order(self) -> None:
        """Rows came, went or moved among those that are feasible: where each stands in the tie rule is open."""
        self._preorder = None
        self._leaders = []

    def _bounds_moved(self, state: State, flipped: bool, rescored: bool) -> bool:
        """Find the bounds anew if they may have moved; if they have, sum up all rows and return True."""
        if flipped:
            self._forget_order()
        if not (self.normalised and (flipped or rescored)):
            return False
        bounds = self._find_bounds(state.columns.n)
        if bounds == self._bounds:
            return False
        self._bounds = bounds
        self._sum_up_all(state.columns.n)
        return True

    @property
    def lowest(self) -> float:
        """The total of a row that is not feasible: below any real one."""
        return -(2**63) if self.exact else -np.inf

    def _find_bounds(self, n: int) -> list[tuple[float, float]]:
        return [] if self.sampled else self.bounds_among(self.feasible[:n], self.count)

    def bounds_among(self, feasible: BoolArray, count: int) -> list[tuple[float, float]]:
        """Smallest and largest raw score over some rows, per scorer (0, 0 where it is not normalised)."""
        n = len(feasible)
        return [
            memo.normaliser.bounds(memo.values[:n], feasible, count) if memo.normaliser is not None else (0, 0)
            for memo in self.scorers
        ]

    def _sum_up_all(self, n: int) -> None:
        for block in blocks(n):
            self._sum_up(block)

    def wanted(self, nodes: int) -> int:
        """How many feasible nodes are enough where there are ``nodes``; without scorers the first one will do."""
        if self.sampling is None:
            return nodes
        return self.sampling.wanted(nodes) if self._scores else min(1, nodes)

    def _sum_up(self, rows: Rows) -> None:
        if self.sampled:
            return
        self._leaders = []
        total = self.sums(rows, self._bounds)
        np.putmask(total, ~self.feasible[rows], self.lowest)
        self.total[rows] = total

    def sums(self, rows: Rows, bounds: list[tuple[float, float]]) -> ScoreArray:
        """Add up the weighted scores of some rows, whether they are feasible or not."""
        total = zeros(len(self.feasible[rows]), self.exact)
        for memo, (low, high) in zip(self.scorers, bounds, strict=True):
            raw = memo.raw(rows)
            if memo.normaliser is not None:
                raw = memo.normaliser.apply(raw, low, high)
            total += raw if memo.weight == 1 else raw * memo.weight
        return total

    def totals_among(self, state: State, feasible: BoolArray, count: int) -> ScoreArray:
        """Return the totals if ``count`` of this kind's rows are left feasible; those of others mean nothing.

        The array may be the kind's own: copy it before changing it.
        """
        n = state.columns.n
        if count < self.count and not self._bounds_hold(feasible):
            bounds = self.bounds_among(feasible, count)
            if bounds != self._bounds:
                return self.sums(slice(0, n), bounds)
        return self.total[:n]

    def _bounds_hold(self, feasible: BoolArray) -> bool:
        """Whether rows are left that show the bounds as they are: the quick way to know them unmoved."""
        for i, (memo, bounds) in enumerate(zip(self.scorers, self._bounds, strict=True)):
            for side, bound in enumerate(bounds) if memo.normaliser is not None else ():
                row = self._witnesses.get((i, side), 0)
                if not feasible.item(row) or memo.values.item(row) != bound:
                    shows = memo.values[: len(feasible)] == bound
                    shows &= feasible
                    row = self._witnesses[i, side] = int(shows.argmax())
                    if not shows.item(row):
                        return False
        return True

    def _total_of(self, row: int) -> float:
        total: float = 0 if self.exact else 0.0
        for memo, (low, high) in zip(self.scorers, self._bounds, strict=True):
            raw = memo.values.item(row)
            total += memo.weight * (raw if memo.normaliser is None else memo.normaliser.apply(raw, low, high))
        return total

    # -- answers -------------------------------------------------------------------------------------------------

    def choose(self, state: State, task: Task, seed: int) -> Choice:
        """Return the best row for ``task``, one of this kind, by exact comparison of all feasible rows."""
        self.refresh(state)
        if not self.count:
            return Choice(-1, 0, 0)
        row = self._leader()
        if row < 0:
            total = self.total[: state.columns.n]
            row = int(total.argmax())
            self.scans += 1
            self._best = total.item(row)
            if self.tie != "first" or not state.in_order:
                best = (total == self._best).nonzero()[0]
                row = self.settle(state, best, task, seed)
                self._line_up(best)
        return Choice(row, self._best, self.count)

    def _leader(self) -> int:
        """Return the first of the leaders that still has the best total, -1 if nobody knows."""
        leaders = self._leaders
        while leaders and self.total.item(leaders[-1]) != self._best:
            leaders.pop()
        return leaders[-1] if leaders else -1

    def _line_up(self, best: IntArray) -> None:
        """Let the ``best`` rows lead, where the tie rule is known to put them in the same order next time."""
        if len(best) == 1:
            self._leaders = best.tolist()
        elif self._preorder is not None and self.sampling is None:
            ranks = self._preorder.take(best)
            if len(best) > LEADERS:
                first_ones = ranks.argpartition(LEADERS)[:LEADERS]
                best, ranks = best[first_ones], ranks[first_ones]
            self._leaders = best[ranks.argsort()[::-1]].tolist()

    def settle(
        self,
        state: State,
        best: IntArray,
        task: Task,
        seed: int,
        feasible: BoolArray | None = None,
        visited: IntArray | None = None,
    ) -> int:
        """Choose among ``best`` rows by the tie rule.

        ``feasible`` bool[n] if it is not that of this kind; ``visited``: the feasible rows in the order of a visit.
        """
        if len(best) == 1:
            return best.item(0)
        columns = state.columns
        if self.tie == "seeded-random":
            return seeded_random(best, columns.name_hash, seed, task.id)
        order, in_order = columns.order, state.in_order
        if self.sampling is not None:
            order, in_order = state.rotation.places(columns.rows), visited is not None
        if self.tie == "first":
            return first(best, order)
        if visited is not None:
            return heap(best, preorder(visited, order, in_order))
        among = self.feasible[: columns.n] if feasible is None else feasible
        # A kind that comes back finds its ranks; one that is seen once, or with other rows each time, needs few.
        if in_order and (feasible is not None or not self._settled):
            self._settled = self._settled or feasible is None
            return heap_once(best, among)
        if feasible is not None:
            return heap(best, preorder(among.nonzero()[0], order, in_order))
        if self._preorder is None or self._started != state.rotation.start:
            self._preorder = preorder(among.nonzero()[0], order, in_order)
            self._started = state.rotation.start
        return heap(best, self._preorder)

    def rejection(self, state: State) -> Rejection:
        """Return why no node will do, each node under the first filter that refuses it, and what may cure that."""
        self.refresh(state)
        if self._rejected_at != state.version:
            left = state.columns.alive[: state.columns.n].copy()
            found: list[tuple[str, str, int]] = []
            cures = Cure.NODE_ADDED
            for memo in self.filters:
                refused = np.flatnonzero(left & ~memo.values[: len(left)])
                if refused.size:
                    found += reasons(memo.plugin, memo.fragment, Nodes(state.columns, refused))
                    cures |= memo.plugin.cures
                    left[refused] = False
            self._rejection, self._rejected_at = Rejection(tuple(found), cures), state.version
        return self._rejection


def zeros(n: int, exact: bool) -> ScoreArray:
    """Return n scores of 0, int64 or float64."""
    return np.zeros(n, np.int64) if exact else np.zeros(n, np.float64)


def reasons(plugin: Filter, fragment: Hashable, nodes: Nodes) -> list[tuple[str, str, int]]:
    """Return (filter, reason, nodes) for nodes that ``plugin`` refuses."""
    return [(plugin.name, reason, count) for reason, count in plugin.why(fragment, nodes).items()]
