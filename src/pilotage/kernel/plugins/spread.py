"""Filter and scorer: spread tasks evenly over domains (kube-scheduler's PodTopologySpread)."""

from dataclasses import dataclass
from decimal import Context, Decimal
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from pilotage.kernel.arrays import BoolArray, FloatArray, IntArray
from pilotage.kernel.columns import ABSENT, Columns
from pilotage.kernel.domains import DomainCount, Within, tasks_per_domain
from pilotage.kernel.label_changes import label_of
from pilotage.kernel.neighbours import Meant
from pilotage.kernel.node_terms import required_of
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.normalise import LEFT_OUT, Reversed
from pilotage.kernel.plugin import ByDomain, DomainFilter, DomainScorer
from pilotage.model.amounts import MAX_AMOUNT
from pilotage.model.change import Change, LabelGiven, TasksLeft
from pilotage.model.company import Spread
from pilotage.model.events import Cure
from pilotage.model.task import Task, TaskSpec

HOSTNAME = "kubernetes.io/hostname"
"""The key whose domains are single nodes."""


class Part(NamedTuple):
    """One constraint, whether the task itself is of those it counts, and the nodes that are counted."""

    constraint: Spread
    itself: bool
    meant: Meant
    within: Within


def _parts(task: Task, hard: bool) -> tuple[Part, ...] | None:
    if not task.spec.spread:
        return None
    return (
        tuple(
            Part(c, bool(c.selector.expressions) and c.selector.matches(task.labels, task.namespace), meant, within)
            for c, meant, within in _constraints(task.spec, hard)
        )
        or None
    )


@lru_cache(maxsize=4096)
def _constraints(spec: TaskSpec, hard: bool) -> tuple[tuple[Spread, Meant, Within], ...]:
    """The constraints of one sort, each with the nodes that are counted."""
    constraints = [c for c in spec.spread if c.hard == hard]
    keys = tuple(sorted({c.key for c in constraints if not c.lenient}))
    required, tolerations = required_of(spec), spec.tolerations
    return tuple(
        (
            c,
            Meant((c.selector,)),
            Within(keys, required if c.honour_affinity else None, tolerations if c.honour_taints else None),
        )
        for c in constraints
    )


@dataclass(frozen=True)
class SpreadWithin(DomainFilter):
    """Tasks in the node's domain, the new one included, minus those in the emptiest domain: at most max_skew."""

    name = "spread"
    cures = Cure.TASK_LEFT | Cure.TASK_CAME | Cure.LABELS | Cure.TAINTS
    reason = "node(s) didn't match pod topology spread constraints"
    lacking = "node(s) didn't match pod topology spread constraints (missing required label)"

    def fragment(self, task: Task) -> tuple[Part, ...] | None:
        return _parts(task, hard=True)

    def admits(self, fragment: tuple[Part, ...], nodes: Nodes) -> BoolArray | None:
        admitted: BoolArray | None = None
        for part in fragment:
            fits = _fits(part, nodes)
            admitted = fits if admitted is None else admitted & fits
        return admitted

    def remedy(self, fragment: tuple[Part, ...], columns: Columns, row: int) -> tuple[Change, ...]:
        """A missing label with the value of the emptiest domain; fewer tasks where there are too many."""
        changes: list[Change] = []
        for part in fragment:
            key, per_domain = part.constraint.key, _count(part, Nodes.all(columns))
            value = label_of(columns, key, row)
            if value is not None:
                too_many = per_domain.in_domain(value, columns) - _most(part, per_domain)
                if too_many > 0:
                    changes.append(TasksLeft(key, value, too_many))
            elif (present := per_domain.members[1:].nonzero()[0]).size:
                emptiest = present[per_domain.sums[1:].take(present).argmin()].item()
                changes.append(LabelGiven(key, per_domain.named(emptiest + 1, columns)))
        return tuple(changes)

    def why(self, fragment: tuple[Part, ...], nodes: Nodes) -> dict[str, int]:
        """Tells nodes without a key from those that are full, by the first constraint that refuses."""
        left = np.ones(len(nodes), np.bool_)
        found = {self.lacking: 0, self.reason: 0}
        for part in fragment:
            codes = nodes.label(part.constraint.key)
            lacks = left & (codes == ABSENT)
            full = left & ~lacks & ~_fits(part, nodes)
            found[self.lacking] += int(np.count_nonzero(lacks))
            found[self.reason] += int(np.count_nonzero(full))
            left &= ~(lacks | full)
        return {reason: count for reason, count in found.items() if count}


def _fits(part: Part, nodes: Nodes) -> BoolArray:
    """Return bool[n]: nodes with the key whose domain may take one more task; not to be written to."""
    per_domain = _count(part, nodes)
    return per_domain.at_most(_most(part, per_domain), nodes, absent=False)


def _most(part: Part, per_domain: DomainCount) -> int:
    """Return how many tasks a domain may have before the new one comes."""
    constraint = part.constraint
    if not constraint.selector.expressions:  # it counts nothing, here and for the task itself
        return MAX_AMOUNT
    return constraint.max_skew + per_domain.lowest(constraint.min_domains) - part.itself


@dataclass(frozen=True)
class EvenSpread(DomainScorer):
    """round(sum over soft constraints of count x ln(size + 2) + max_skew - 1), fewest best.

    ``count``: matching tasks in the node's domain (of a host: on the node); ``size``: number of domains among the
    feasible nodes (of hosts: feasible nodes). float64 in the order of the constraints; logarithms are correctly
    rounded. Nodes without a key are left out, unless a constraint is lenient.
    """

    name = "even-spread"
    normaliser = Reversed()

    def fragment(self, task: Task) -> tuple[Part, ...] | None:
        return _parts(task, hard=False)

    def score_among(
        self, fragment: tuple[Part, ...], nodes: Nodes, feasible: BoolArray, count: int
    ) -> IntArray | ByDomain:
        ignored: BoolArray | None = None
        for key in {part.constraint.key for part in fragment if not part.constraint.lenient}:
            codes = nodes.label(key)
            if codes.min(initial=1) == ABSENT:
                ignored = codes == ABSENT if ignored is None else ignored | (codes == ABSENT)
        scored = feasible if ignored is None else feasible & ~ignored
        size = count if ignored is None else int(np.count_nonzero(scored))
        if ignored is None and len(fragment) == 1 and fragment[0].constraint.key != HOSTNAME:
            part, per_domain = fragment[0], _count(fragment[0], nodes)
            seen = per_domain.seen(nodes, feasible)
            return ByDomain(_rounded(_by_domain(part, per_domain, len(seen))), nodes.label(per_domain.key), seen)
        total: FloatArray = np.zeros(len(nodes))
        for part in fragment:
            codes = nodes.label(part.constraint.key)
            if part.constraint.key == HOSTNAME:
                raw = _by_host(part, nodes, size)
                if part.constraint.lenient:
                    raw[codes == ABSENT] = 0.0
                total += raw
            else:
                per_domain = _count(part, nodes)
                total += _by_domain(part, per_domain, len(per_domain.seen(nodes, scored))).take(codes)
        result = _rounded(total)
        if ignored is not None:
            result[ignored] = LEFT_OUT
        return result


def _count(part: Part, nodes: Nodes) -> DomainCount:
    return tasks_per_domain(nodes.columns, part.meant, part.constraint.key, part.within)


def _by_domain(part: Part, per_domain: DomainCount, size: int) -> FloatArray:
    """Return one constraint's part of the score by label code, float64[D]; 0 for nodes without the label."""
    constraint = part.constraint
    raw = per_domain.sums.astype(np.float64)
    raw *= _ln(size + 2) if constraint.selector.expressions else 0.0  # an empty selector counts nothing
    raw += constraint.max_skew - 1
    raw[ABSENT] = 0.0
    return raw


def _by_host(part: Part, nodes: Nodes, size: int) -> FloatArray:
    """Return one constraint's part of the score where every node is a domain, float64[n]."""
    constraint = part.constraint
    own = nodes.of(nodes.columns.neighbours.count(part.meant).values)
    raw = own.astype(np.float64)
    raw *= _ln(size + 2) if constraint.selector.expressions else 0.0
    raw += constraint.max_skew - 1
    return raw


def _rounded(numbers: FloatArray) -> IntArray:
    """Round to whole numbers, halves away from zero; none is negative."""
    whole = np.floor(numbers)
    whole += numbers - whole >= 0.5
    return whole.astype(np.int64)


@cache
def _ln(n: int) -> float:
    """The natural logarithm, correctly rounded: the same on every processor."""
    return float(Decimal(n).ln(Context(prec=40)))
