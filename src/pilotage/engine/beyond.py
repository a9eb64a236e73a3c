"""Decisions of policies with plugins that look beyond a row: at tasks on other nodes, at everything, at the time;
and of those that look at a sample of the nodes only.

The kind of the task gives the rows that its row plugins leave and their totals; these plugins are asked anew at each
decision. ``domain`` ones see all rows at once, over counts that are kept up to date; the rest see feasible rows only.
"""

import numpy as np

from pilotage.engine.kind import Choice, Kind, Rejection, reasons, zeros
from pilotage.engine.state import State
from pilotage.kernel.arrays import BoolArray, IntArray, ScoreArray
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.normalise import Normaliser
from pilotage.kernel.plugin import ByDomain, DomainFilter, DomainScorer
from pilotage.kernel.policy import Policy
from pilotage.model.task import Task


class Beyond:
    """The plugins of a policy that look beyond a row; false if there are none, and no sampling."""

    def __init__(self, policy: Policy) -> None:
        # Stable: domain plugins first, since they are asked about all rows whatever the others say.
        filters = [f for f in policy.filters if f.depends != "row"]
        self.filters = sorted(filters, key=lambda f: not isinstance(f, DomainFilter))
        self.scorers = [(s, weight) for s, weight in policy.scorers if s.depends != "row"]
        self._plugins = (*self.filters, *(scorer for scorer, _ in self.scorers))
        self._samples = policy.sampling is not None

    def __bool__(self) -> bool:
        return bool(self.filters or self.scorers or self._samples)

    def concerns(self, task: Task) -> bool:
        """Whether any of these plugins has something to say about ``task``, or nodes are sampled for it."""
        return self._samples or any(plugin.fragment(task) is not None for plugin in self._plugins)

    def choose(self, kind: Kind, state: State, task: Task, now: float, seed: int) -> Choice:
        """Return the best row for ``task`` by exact comparison of all feasible rows."""
        kind.refresh(state)
        if self._samples:
            state.rotation.settle()
        everyone = Nodes.all(state.columns, now, seed)
        feasible, count = self._feasible(kind, task, everyone)
        if kind.sampled or kind.narrowing:
            return self._choose_sampled(kind, state, task, everyone, feasible)
        if not count:
            return Choice(-1, 0, 0)
        mask = kind.feasible[: state.columns.n] if feasible is None else feasible
        parts = self._parts(task, everyone, mask, count)
        if feasible is None and not parts:
            return kind.choose(state, task, seed)
        total = kind.totals_among(state, mask, count)
        for part in parts:
            total = total + part
        best = self._best(total, mask)
        if not best.size:  # rows that are not feasible are above all others
            total = np.where(mask, total, kind.lowest)
            best = self._best(total, mask)
        row = best.item(0)
        if kind.tie != "first" or not state.in_order:
            row = kind.settle(state, best, task, seed, feasible)
        return Choice(row, total.item(row), count)

    @staticmethod
    def _best(total: ScoreArray, mask: BoolArray) -> IntArray:
        """Return the rows in ``mask`` that have the largest total of all rows, rising."""
        best = total == total.item(total.argmax())
        best &= mask
        rows: IntArray = best.nonzero()[0]
        return rows

    def _choose_sampled(
        self, kind: Kind, state: State, task: Task, everyone: Nodes, feasible: BoolArray | None
    ) -> Choice:
        """The same among the first feasible rows of the visit, as many as the policy wants."""
        rows = state.rotation.visiting()
        for memo in kind.narrowing:
            rows = rows[memo.values.take(rows)]
        hits = (kind.feasible if feasible is None else feasible).take(rows).nonzero()[0]
        wanted, visited = kind.wanted(len(rows)), len(rows)
        if len(hits) > wanted:
            visited = hits.item(wanted)
            hits = hits[:wanted]
        rows = rows.take(hits)
        if not rows.size:
            return Choice(-1, 0, 0, visited)
        mask = np.zeros(len(everyone), np.bool_)
        mask[rows] = True
        bounds = kind.bounds_among(mask, len(rows))
        total = kind.sums(rows, bounds)
        for part in self._parts(task, everyone, mask, len(rows)):
            total += part.take(rows)
        score = total.max().item()
        row = kind.settle(state, rows[total == score], task, everyone.seed, visited=rows)
        return Choice(row, score, len(rows), visited)

    def _feasible(self, kind: Kind, task: Task, everyone: Nodes) -> tuple[BoolArray | None, int]:
        """Return bool[n], or None if no filter of these has refused a row of the kind, and how many rows are left."""
        before = left = kind.feasible[: len(everyone)]
        for plugin in self.filters:
            fragment = plugin.fragment(task)
            if fragment is None:
                continue
            if isinstance(plugin, DomainFilter):
                admitted = plugin.admits(fragment, everyone)
                left = left if admitted is None else left & admitted
            elif (rows := left.nonzero()[0]).size:
                left = left.copy()
                left[rows] = plugin.mask(fragment, everyone.only(rows))
        count = kind.count if left is before else int(np.count_nonzero(left))
        return (left, count) if count < kind.count else (None, count)

    def _parts(self, task: Task, everyone: Nodes, feasible: BoolArray, count: int) -> list[ScoreArray]:
        """Return the weighted scores of the scorers that tell nodes apart; those of nodes not feasible mean nothing."""
        parts = []
        for scorer, weight in self.scorers:
            fragment = scorer.fragment(task)
            if fragment is None:
                continue
            if isinstance(scorer, DomainScorer):
                raw = scorer.score_among(fragment, everyone, feasible, count)
                if raw is None:
                    continue
                if isinstance(raw, ByDomain):
                    parts.append(_spread_out(raw, scorer.normaliser, weight))
                    continue
                if scorer.normaliser is not None:
                    raw = scorer.normaliser.apply(raw, *scorer.normaliser.bounds(raw, feasible, count))
            else:
                rows = feasible.nonzero()[0]
                some = scorer.score(fragment, everyone.only(rows))
                if scorer.normaliser is not None:
                    some = scorer.normaliser.apply(some, some.min().item(), some.max().item())
                raw = zeros(len(everyone), scorer.exact)
                raw[rows] = some
            if weight != 1:
                raw = raw * weight
            parts.append(raw)
        return parts

    def rejection(self, kind: Kind, state: State, task: Task, now: float, seed: int) -> Rejection:
        """Return why no node will do, each node under the first filter that refuses it, and what may cure that."""
        found, cures = kind.rejection(state)
        found_here = list(found)
        left = kind.feasible[: state.columns.n].copy()
        for plugin in self.filters:
            rows, fragment = left.nonzero()[0], plugin.fragment(task)
            if fragment is not None and rows.size:
                refused = rows[~plugin.mask(fragment, Nodes(state.columns, rows, now, seed))]
                if refused.size:
                    found_here += reasons(plugin, fragment, Nodes(state.columns, refused, now, seed))
                    cures |= plugin.cures
                    left[refused] = False
        return Rejection(tuple(found_here), cures)


def _spread_out(raw: ByDomain, normaliser: Normaliser | None, weight: int) -> ScoreArray:
    """Return the weighted scores of all nodes, worked out once per domain."""
    values = raw.values
    if normaliser is not None:
        some = values.take(raw.seen)
        values = normaliser.apply(values, some.min().item(), some.max().item())
    return (values if weight == 1 else values * weight).take(raw.codes)
