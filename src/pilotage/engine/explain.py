"""Why a task goes where it goes, why not elsewhere, and what would have to change.

Everything is asked of the plugins anew, on the state as it is, without any cache: so an explanation is also a check.
"""

from collections.abc import Hashable

import numpy as np
from msgspec import Struct

from pilotage.engine.engine import Engine
from pilotage.kernel.arrays import IntArray, ScoreArray
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import DomainFilter, Filter
from pilotage.kernel.ties import Tie, first, heap, preorder, seeded_random
from pilotage.model.change import Change, MoreFree, MoreGpuFree
from pilotage.model.task import Task

TOP = 5
"""Nodes that are told of, best ones or nearest ones."""

TIE_RULES: dict[Tie, str] = {
    "first": "the first in the order of the nodes",
    "heap": "the first in the heap order of kube-scheduler 1.35",
    "seeded-random": "one drawn by seed and task",
}


class Part(Struct, frozen=True):
    """What one scorer adds: its raw score, that score normalised, times its weight."""

    scorer: str
    raw: float
    normalised: float
    weight: int

    @property
    def points(self) -> float:
        """What counts in the sum."""
        return self.weight * self.normalised


class Candidate(Struct, frozen=True):
    """A node that may take the task: its place among all of them (from 1), the sum, and what it is made of."""

    node: str
    rank: int
    score: float
    parts: tuple[Part, ...]


class Refusal(Struct, frozen=True):
    """A filter that refuses a node, why, and the smallest changes that would make it accept; none: none is known."""

    filter: str
    reasons: tuple[str, ...]
    changes: tuple[Change, ...]


class Refused(Struct, frozen=True):
    """A node that may not take the task, with all filters that refuse it, and how far it is from fitting."""

    node: str
    refusals: tuple[Refusal, ...]
    distance: float


class Explanation(Struct, frozen=True, kw_only=True):
    """A decision about one task on a state.

    ``node`` is the choice, empty for none; ``feasible`` nodes were compared, of ``nodes`` in all (a policy that samples
    compares some only). ``top`` holds the best of them; ``margin`` is how far the runner-up is behind, ``tied`` how
    many have the best score, and then ``tie`` says who wins. ``rejections``: (filter, reason, nodes), every node under
    the first filter that refuses it. ``nearest``: the refused nodes that lack least. ``held_back`` names the queue and
    the resource whose limit kept all nodes from being asked. ``asked``: what was asked about one more node.
    """

    task_id: str
    node: str
    nodes: int
    feasible: int
    top: tuple[Candidate, ...]
    margin: float | None
    tied: int
    tie: str
    rejections: tuple[tuple[str, str, int], ...]
    nearest: tuple[Refused, ...]
    held_back: tuple[str, str] | None = None
    asked: Candidate | Refused | None = None


def explain(engine: Engine, task: Task, now: float, *, about: str = "") -> Explanation:
    """Explain what ``engine`` would decide about ``task`` now; ``about`` names a node to look at besides.

    Nothing changes. Raises `InvalidInput` when there is no such node.
    """
    return _Look(engine, task, now).explanation(about)


class _Look:
    """All answers about one task on one state."""

    def __init__(self, engine: Engine, task: Task, now: float) -> None:
        self.engine, self.task, self.now = engine, task, now
        self.state, self.policy = engine.state, engine.policy
        self.columns = self.state.columns
        asked = [(plugin, plugin.fragment(task)) for plugin in self.policy.filters]
        # As in a decision: filters that rest on a row alone come first, then those over domains.
        asked.sort(key=lambda pair: (pair[0].depends != "row", not isinstance(pair[0], DomainFilter)))
        self.filters: list[tuple[Filter, Hashable]] = [(f, fragment) for f, fragment in asked if fragment is not None]
        living = np.flatnonzero(self.columns.alive[: self.columns.n])
        self.rejections: list[tuple[str, str, int]] = []
        self.refused: list[int] = []
        self.rows = self._sampled(self._passing(living))
        self.raw = self._raw()

    def explanation(self, about: str) -> Explanation:
        """Put everything together."""
        over = (
            self.state.queues.over_limit(self.task.queue, self.task.spec.demand) if self.state.queues.declared else None
        )
        total = self._total()
        row = -1 if over or not total.size else self._settled(self.rows[total == total.max()])
        order = self._ranked(total, row)
        best = total.max().item() if len(total) else None
        runner_up = total[order[1]].item() if len(order) > 1 else None
        return Explanation(
            task_id=self.task.id,
            node="" if row < 0 else self.columns.names[row],
            nodes=len(self.state.nodes),
            feasible=len(self.rows),
            top=tuple(self._candidate(place, rank, total) for rank, place in enumerate(order[:TOP], start=1)),
            margin=None if best is None or runner_up is None else best - runner_up,
            tied=int(np.count_nonzero(total == best)) if best is not None else 0,
            tie=TIE_RULES[self.policy.tie],
            rejections=tuple(self.rejections),
            nearest=() if len(self.rows) else tuple(self._nearest()),
            held_back=over,
            asked=self._asked(about, order, total) if about else None,
        )

    # -- filters -------------------------------------------------------------------------------------------------

    def _view(self, rows: IntArray) -> Nodes:
        return Nodes(self.columns, rows, self.now, self.engine.seed)

    def _passing(self, rows: IntArray) -> IntArray:
        """Return the rows that all filters accept; note the others under the first filter that refuses them."""
        for plugin, fragment in self.filters:
            if rows.size:
                mask = plugin.mask(fragment, self._view(rows))
                refused = rows[~mask]
                if refused.size:
                    reasons = plugin.why(fragment, self._view(refused))
                    self.rejections += [(plugin.name, reason, count) for reason, count in reasons.items()]
                    self.refused += refused.tolist()
                    rows = rows[mask]
        return rows

    def _sampled(self, feasible: IntArray) -> IntArray:
        """Return the feasible rows that a policy with sampling compares: the first of the visit."""
        if self.policy.sampling is None:
            return feasible
        visit = self.state.rotation.visiting()
        for plugin, fragment in self.filters:
            if plugin.narrows and visit.size:
                visit = visit[plugin.mask(fragment, self._view(visit))]
        wanted = self.policy.sampling.wanted(len(visit)) if self.policy.scorers else 1
        passing = np.zeros(self.columns.n, np.bool_)
        passing[feasible] = True
        return visit[passing[visit]][:wanted]

    def _refused(self, row: int) -> Refused:
        refusals, distance = [], 0.0
        for plugin, fragment in self.filters:
            view = self._view(np.array([row]))
            if not plugin.mask(fragment, view)[0]:
                changes = plugin.remedy(fragment, self.columns, row)
                refusals.append(Refusal(plugin.name, tuple(plugin.why(fragment, view)), changes))
                distance += sum(map(self._size, changes)) if changes else 1.0
        return Refused(self.columns.names[row], tuple(refusals), distance)

    def _size(self, change: Change) -> float:
        """Return how large a change is: what is missing as a part of what is asked for, any other fact as one."""
        if isinstance(change, MoreFree):
            return change.amount / max(1, self.task.demand.get(change.resource, 0))
        if isinstance(change, MoreGpuFree):
            return change.thousandths / max(1, self.task.gpu_share)
        return 1.0

    def _nearest(self) -> list[Refused]:
        looked_at = [self._refused(row) for row in sorted(self.refused, key=self.columns.order.item)]
        return sorted(looked_at, key=lambda refused: refused.distance)[:TOP]

    # -- scores --------------------------------------------------------------------------------------------------

    def _raw(self) -> list[tuple[str, int, ScoreArray, ScoreArray]]:
        """Return (scorer, weight, raw, normalised) of all scorers that have something to say."""
        if not len(self.rows):
            return []
        found = []
        nodes = self._view(self.rows)
        for scorer, weight in self.policy.scorers:
            fragment = scorer.fragment(self.task)
            if fragment is None:
                continue
            raw: ScoreArray = scorer.score(fragment, nodes)
            normalised = raw
            if scorer.normaliser is not None:
                everyone = np.ones(len(raw), np.bool_)
                normalised = scorer.normaliser.apply(raw, *scorer.normaliser.bounds(raw, everyone, len(raw)))
            found.append((scorer.name, weight, raw, normalised))
        return found

    def _total(self) -> ScoreArray:
        exact = all(scorer.exact for scorer, _ in self.policy.scorers)
        total: ScoreArray = np.zeros(len(self.rows), np.int64 if exact else np.float64)
        for _, weight, _, normalised in self.raw:
            total = total + normalised * weight
        return total

    def _settled(self, best: IntArray) -> int:
        """Return the row that the tie rule chooses among ``best``."""
        if self.policy.tie == "seeded-random":
            return seeded_random(best, self.columns.name_hash, self.engine.seed, self.task.id)
        sampled = self.policy.sampling is not None
        order = self.state.rotation.places(self.columns.rows) if sampled else self.columns.order
        if self.policy.tie == "first":
            return first(best, order)
        return heap(best, preorder(self.rows, order, in_order=False))

    def _ranked(self, total: ScoreArray, chosen: int) -> list[int]:
        """Return places in ``rows``, best first: the choice before its equals, those in the order of the nodes."""
        orders = self.columns.order[self.rows]
        order: list[int] = np.lexsort((orders, self.rows != chosen, -total)).tolist()
        return order

    def _candidate(self, place: int, rank: int, total: ScoreArray) -> Candidate:
        parts = tuple(
            Part(name, raw[place].item(), normalised[place].item(), weight)
            for name, weight, raw, normalised in self.raw
        )
        return Candidate(self.columns.names[self.rows[place]], rank, total[place].item(), parts)

    def _asked(self, about: str, order: list[int], total: ScoreArray) -> Candidate | Refused:
        row = self.state.row_of(about)
        places = np.flatnonzero(self.rows == row)
        if not places.size:
            return self._refused(row)
        place = int(places[0])
        return self._candidate(place, order.index(place) + 1, total)
