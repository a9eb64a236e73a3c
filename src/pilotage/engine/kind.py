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
from pilotage.kernel.plugin import Filter, Group, Scorer
from pilotage.kernel.policy import Policy
from pilotage.kernel.ties import first, heap, preorder, seeded_random
from pilotage.model.events import Cure
from pilotage.model.task import Task, TaskSpec


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
        self.free_filters = [f for f in policy.filters if f.depends != "row"]
        self.free_scorers = [(s, weight) for s, weight in policy.scorers if s.depends != "row"]
        self.exact = all(scorer.exact for scorer, _ in policy.scorers)
        self.feasible: BoolArray = np.zeros(0, np.bool_)
        self.total = _zeros(0, self.exact)
        self.count = 0
        """Number of feasible rows."""
        self._bounds: list[tuple[float, float]] = []
        self._groups = tuple(sorted({Group.NODE, *(group for memo in self.memos for group in memo.groups)}))
        self._position = [-1] * len(self._groups)
        self._version = -1
        self._readers: dict[tuple[int, ...], Readers] = {}
        self._preorder: IntArray | None = None
        """Ranks of the feasible rows for the tie rule `heap`, as long as those and the nodes are the same."""
        self._started = 0
        """Where the visit of nodes started when those ranks were worked out."""
        self._sampled = False
        """Whether decisions look at some of the nodes only: then nothing is summed up in advance."""
        self._scores = bool(policy.scorers)
        self._narrowing = [memo for memo in filters if memo.plugin.narrows and policy.sampling is not None]
        self._normalised = any(memo.normaliser is not None for memo in scorers)
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
        log, sampled = state.log, self._wanted(len(state.rotation)) < len(state.rotation)
        if sampled != self._sampled:
            self._sampled, self._version = sampled, -1
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
        self.total = _zeros(state.columns.rows, self.exact)
        return True

    def _step(self, state: State, row: int, groups: tuple[int, ...]) -> None:
        """Catch up with a single change: the common case in a run of equal tasks."""
        filters, scorers, rescored = self._reading(groups)
        if Group.NODE in groups:
            self._preorder = None
        for mask in filters:
            mask.step(state, row)
        for memo in scorers:
            memo.step(state, row)
        self._position = state.log.position(self._groups)
        self._patch_few(state, [row], rescored)

    def _catch_up(self, state: State) -> None:
        log = state.log
        stirred = tuple([g for g, seen in zip(self._groups, self._position, strict=True) if log.ends[g] != seen])
        filters, scorers, rescored = self._reading(stirred)
        changed, since = log.since(self._groups, self._position), self._version
        if Group.NODE in stirred:
            self._preorder = None
            for memo in (*filters, *scorers):
                memo.refresh(state)
        else:
            for memo in (*filters, *scorers):
                memo.follow(state, changed, since)
        if self._make_room(state) or changed is None:
            self._rebuild(state)
        elif len(changed.rows) > FEW:
            self._patch_many(state, changed.distinct, rescored)
        elif changed.rows:
            self._patch_few(state, changed.rows, rescored)

    def _reading(self, groups: tuple[int, ...]) -> Readers:
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
        self._preorder = None
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
        lowest = self._lowest
        for row in () if self._sampled else rows:
            self.total[row] = self._total_of(row) if self.feasible.item(row) else lowest

    def _bounds_moved(self, state: State, flipped: bool, rescored: bool) -> bool:
        """Find the bounds anew if they may have moved; if they have, sum up all rows and return True."""
        if flipped:
            self._preorder = None
        if not (self._normalised and (flipped or rescored)):
            return False
        bounds = self._find_bounds(state.columns.n)
        if bounds == self._bounds:
            return False
        self._bounds = bounds
        self._sum_up_all(state.columns.n)
        return True

    @property
    def _lowest(self) -> float:
        """The total of a row that is not feasible: below any real one."""
        return -(2**63) if self.exact else -np.inf

    def _find_bounds(self, n: int) -> list[tuple[float, float]]:
        """Smallest and largest raw score over the feasible rows, per scorer (0, 0 where it is not normalised)."""
        feasible = self.feasible[:n]
        return (
            []
            if self._sampled
            else [
                bounds(memo.values[:n], feasible, self.count) if memo.normaliser is not None else (0, 0)
                for memo in self.scorers
            ]
        )

    def _sum_up_all(self, n: int) -> None:
        for block in blocks(n):
            self._sum_up(block)

    def _wanted(self, nodes: int) -> int:
        """How many feasible nodes are enough where there are ``nodes``; without scorers the first one will do."""
        if self.sampling is None:
            return nodes
        return self.sampling.wanted(nodes) if self._scores else min(1, nodes)

    def _sum_up(self, rows: Rows) -> None:
        if self._sampled:
            return
        feasible = self.feasible[rows]
        total = _zeros(len(feasible), self.exact)
        for memo, (low, high) in zip(self.scorers, self._bounds, strict=True):
            raw = memo.raw(rows)
            if memo.normaliser is not None:
                raw = memo.normaliser.apply(raw, low, high)
            total += raw if memo.weight == 1 else raw * memo.weight
        np.putmask(total, ~feasible, self._lowest)
        self.total[rows] = total

    def _total_of(self, row: int) -> float:
        total: float = 0 if self.exact else 0.0
        for memo, (low, high) in zip(self.scorers, self._bounds, strict=True):
            raw = memo.values.item(row)
            total += memo.weight * (raw if memo.normaliser is None else memo.normaliser.apply(raw, low, high))
        return total

    # -- answers -------------------------------------------------------------------------------------------------

    def choose(self, state: State, task: Task, now: float, seed: int) -> Choice:
        """Return the best row for ``task``, one of this kind, by exact comparison of all feasible rows."""
        self.refresh(state)
        if self._sampled or self._narrowing:
            return self._choose_sampled(state, task, now, seed)
        if (self.free_filters or self.free_scorers) and self._looks_beyond_rows(task):
            rows = self._freely_feasible(state, task, now, seed)
            if self.sampling is not None:
                rows = rows[state.rotation.places(state.columns.rows)[rows].argsort()]
            return self._choose_among(state, rows, task, now, seed)
        if not self.count:
            return Choice(-1, 0, 0)
        total = self.total[: state.columns.n]
        row = int(total.argmax())
        score = total.item(row)
        if self.tie != "first" or not state.in_order:
            row = self._settle(state, (total == score).nonzero()[0], task, seed)
        return Choice(row, score, self.count)

    def _looks_beyond_rows(self, task: Task) -> bool:
        """Whether any plugin that looks beyond the row has something to say about ``task``."""
        return any(plugin.fragment(task) is not None for plugin in self.free_filters) or any(
            scorer.fragment(task) is not None for scorer, _ in self.free_scorers
        )

    def _choose_sampled(self, state: State, task: Task, now: float, seed: int) -> Choice:
        """The same among the first feasible rows of the visit, as many as the policy wants."""
        rows = state.rotation.visiting()
        for memo in self._narrowing:
            rows = rows[memo.values.take(rows)]
        feasible = self.feasible
        if self.free_filters:
            feasible = np.zeros_like(feasible)
            feasible[self._freely_feasible(state, task, now, seed)] = True
        hits = feasible.take(rows).nonzero()[0]
        wanted = self._wanted(len(rows))
        visited = len(rows)
        if len(hits) > wanted:
            visited = hits.item(wanted)
            hits = hits[:wanted]
        choice = self._choose_among(state, rows.take(hits), task, now, seed)
        return choice._replace(visited=visited)

    def _choose_among(self, state: State, rows: IntArray, task: Task, now: float, seed: int) -> Choice:
        """The same among some rows. Plugins that look beyond the row are asked anew, about these rows only."""
        columns = state.columns
        if not rows.size:
            return Choice(-1, 0, 0)
        nodes = Nodes(columns, rows, now, seed)
        raws: list[tuple[Scorer, int, ScoreArray]] = [
            (memo.plugin, memo.weight, memo.raw(rows)) for memo in self.scorers
        ]
        for scorer, weight in self.free_scorers:
            fragment = scorer.fragment(task)
            if fragment is not None:
                raws.append((scorer, weight, scorer.score(fragment, nodes)))
        total = _zeros(len(rows), self.exact)
        for scorer, weight, raw in raws:
            low, high = raw.min().item(), raw.max().item()
            total += weight * (raw if scorer.normaliser is None else scorer.normaliser.apply(raw, low, high))
        score = total.max().item()
        return Choice(self._settle(state, rows[total == score], task, seed, rows), score, len(rows))

    def _freely_feasible(self, state: State, task: Task, now: float, seed: int) -> IntArray:
        rows = np.flatnonzero(self.feasible[: state.columns.n])
        for plugin in self.free_filters:
            fragment = plugin.fragment(task)
            if fragment is not None and rows.size:
                rows = rows[plugin.mask(fragment, Nodes(state.columns, rows, now, seed))]
        return rows

    def _settle(self, state: State, best: IntArray, task: Task, seed: int, feasible: IntArray | None = None) -> int:
        """Choose among ``best`` rows by the tie rule; ``feasible`` rows, if they are not those of this kind."""
        if len(best) == 1:
            return best.item(0)
        columns = state.columns
        if self.tie == "seeded-random":
            return seeded_random(best, columns.name_hash, seed, task.id)
        order, in_order = columns.order, state.in_order
        if self.sampling is not None:
            order, in_order = state.rotation.places(columns.rows), feasible is not None
        if self.tie == "first":
            return first(best, order)
        if feasible is not None:
            return heap(best, preorder(feasible, order, in_order))
        if self._preorder is None or self._started != state.rotation.start:
            feasible = self.feasible[: columns.n].nonzero()[0]
            self._preorder, self._started = preorder(feasible, order, in_order), state.rotation.start
        return heap(best, self._preorder)

    def rejection(self, state: State, task: Task, now: float, seed: int) -> Rejection:
        """Return why no node will do, each node under the first filter that refuses it, and what may cure that."""
        self.refresh(state)
        if self._rejected_at == state.version and not self.free_filters:
            return self._rejection
        left = state.columns.alive[: state.columns.n].copy()
        found: list[tuple[str, str, int]] = []
        cures = Cure.NODE_ADDED
        answers = [(memo.plugin, memo.fragment, memo.values) for memo in self.filters]
        for plugin, fragment, values in answers:
            refused = np.flatnonzero(left & ~values[: len(left)])
            if refused.size:
                found += _reasons(plugin, fragment, Nodes(state.columns, refused))
                cures |= plugin.cures
                left[refused] = False
        for plugin in self.free_filters:
            rows, fragment = np.flatnonzero(left), plugin.fragment(task)
            if fragment is not None and rows.size:
                refused = rows[~plugin.mask(fragment, Nodes(state.columns, rows, now, seed))]
                if refused.size:
                    found += _reasons(plugin, fragment, Nodes(state.columns, refused, now, seed))
                    cures |= plugin.cures
                    left[refused] = False
        self._rejection, self._rejected_at = Rejection(tuple(found), cures), state.version
        return self._rejection


def bounds(raw: ScoreArray, feasible: BoolArray, count: int) -> tuple[float, float]:
    """Return the smallest and largest of the raw scores of the ``count`` feasible rows, (0, 0) of none."""
    if not count:
        return (0, 0)
    lowest, highest = int(raw.argmin()), int(raw.argmax())
    if feasible.item(lowest) and feasible.item(highest):
        return raw.item(lowest), raw.item(highest)
    some = raw[feasible]  # ten times slower, and seldom needed
    return some.min().item(), some.max().item()


def _zeros(n: int, exact: bool) -> ScoreArray:
    return np.zeros(n, np.int64) if exact else np.zeros(n, np.float64)


def _reasons(plugin: Filter, fragment: Hashable, nodes: Nodes) -> list[tuple[str, str, int]]:
    return [(plugin.name, reason, count) for reason, count in plugin.why(fragment, nodes).items()]
