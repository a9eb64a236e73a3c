"""Filter and scorer: node labels that a task requires or prefers."""

from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import BoolArray, IntArray
from pilotage.kernel.columns import ABSENT, Columns
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.normalise import ByMaximum
from pilotage.kernel.plugin import Filter, Scorer
from pilotage.model.events import Cure
from pilotage.model.expression import Expression, Operator
from pilotage.model.task import Preference, Task, Term

Selector = tuple[tuple[str, str], ...]
Required = tuple[Selector, tuple[Term, ...] | None]


@dataclass(frozen=True)
class NodeAffinity(Filter):
    """All of the node selector and at least one required term match the node's labels."""

    name = "node-affinity"
    reads = ("labels", "names")
    cures = Cure.LABELS
    reason = "node(s) didn't match the task's node affinity/selector"

    def fragment(self, task: Task) -> Required | None:
        spec = task.spec
        if not spec.node_selector and spec.node_affinity is None:
            return None
        return tuple(spec.node_selector.items()), spec.node_affinity

    def mask(self, fragment: Required, nodes: Nodes) -> BoolArray:
        return _required(fragment, nodes)

    def mask_row(self, fragment: Required, columns: Columns, row: int) -> bool:
        selector, terms = fragment
        return all(_label(columns, key, row) == value for key, value in selector) and (
            terms is None or any(_matches_row(term, columns, row) for term in terms)
        )


@dataclass(frozen=True)
class EnforcedAffinity(Filter):
    """At least one of the terms that the operator demands of every task's node matches."""

    terms: tuple[Term, ...]

    name = "enforced-affinity"
    reads = ("labels", "names")
    cures = Cure.LABELS
    reason = "node(s) didn't match scheduler-enforced node affinity"

    def fragment(self, task: Task) -> Required:
        return (), self.terms

    def mask(self, fragment: Required, nodes: Nodes) -> BoolArray:
        return _required(fragment, nodes)

    def mask_row(self, fragment: Required, columns: Columns, row: int) -> bool:
        return any(_matches_row(term, columns, row) for term in self.terms)


@dataclass(frozen=True)
class PinnedNodes(Filter):
    """Where every required term names its nodes, only those are looked at (kube-scheduler's PreFilter result)."""

    name = "pinned-nodes"
    reads = ("names",)
    cures = Cure.NODE_ADDED
    reason = "node(s) didn't satisfy plugin(s) [NodeAffinity]"
    narrows = True

    def fragment(self, task: Task) -> tuple[str, ...] | None:
        terms = task.spec.node_affinity
        if not terms or any(term.names is None for term in terms):
            return None
        return tuple(sorted({name for term in terms for name in term.names or ()}))

    def mask(self, fragment: tuple[str, ...], nodes: Nodes) -> BoolArray:
        return nodes.named(fragment)

    def mask_row(self, fragment: tuple[str, ...], columns: Columns, row: int) -> bool:
        return columns.names[row] in fragment

    def why(self, fragment: tuple[str, ...], nodes: Nodes) -> dict[str, int]:
        """Tells names that contradict each other from names of other nodes."""
        return {self.reason if fragment else "pod affinity terms conflict": len(nodes)}


@dataclass(frozen=True)
class PreferredAffinity(Scorer):
    """Sum of the weights of the preferred terms that match (kube-scheduler's NodeAffinity score).

    ``added`` are preferences of every task.
    """

    added: tuple[Preference, ...] = ()

    name = "preferred-affinity"
    reads = ("labels", "names")
    normaliser = ByMaximum()
    bits = 32

    def fragment(self, task: Task) -> tuple[Preference, ...] | None:
        wanted = (*task.spec.preferences, *self.added)
        return tuple(p for p in wanted if p.weight and not p.term.empty) or None

    def score(self, fragment: tuple[Preference, ...], nodes: Nodes) -> IntArray:
        first, *others = fragment
        total: IntArray = _matches(first.term, nodes) * np.int64(first.weight)
        for preference in others:
            total += _matches(preference.term, nodes) * np.int64(preference.weight)
        return total

    def score_row(self, fragment: tuple[Preference, ...], columns: Columns, row: int) -> int:
        return sum(p.weight for p in fragment if _matches_row(p.term, columns, row))


def _required(fragment: Required, nodes: Nodes) -> BoolArray:
    selector, terms = fragment
    mask: BoolArray = np.ones(len(nodes), np.bool_)
    for key, value in selector:
        mask &= nodes.has_label(key, value)
    if terms is not None:
        any_term: BoolArray = np.zeros(len(nodes), np.bool_)
        for term in terms:
            any_term |= _matches(term, nodes)
        mask &= any_term
    return mask


def _matches(term: Term, nodes: Nodes) -> BoolArray:
    if term.empty:
        return np.zeros(len(nodes), np.bool_)
    masks = [_holds(expression, nodes) for expression in term.expressions]
    if term.names is not None:
        masks.append(nodes.named(term.names))
    if term.other_names:
        masks.append(~nodes.named(term.other_names))
    mask, *others = masks
    for other in others:
        mask &= other
    return mask


def _holds(expression: Expression, nodes: Nodes) -> BoolArray:
    codes = nodes.label(expression.key)
    if expression.operator in (Operator.EXISTS, Operator.DOES_NOT_EXIST):
        absent: BoolArray = codes == ABSENT
        return absent if expression.operator == Operator.DOES_NOT_EXIST else ~absent
    if expression.operator in (Operator.IN, Operator.NOT_IN):
        known = nodes.columns.label_values.get(expression.key)
        wanted = [code for value in expression.values if known and (code := known.known(value)) is not None]
        present: BoolArray = np.zeros(len(nodes), np.bool_) if not wanted else codes == wanted[0] + 1
        for code in wanted[1:]:
            present |= codes == code + 1
        return present if expression.operator == Operator.IN else ~present
    known = nodes.columns.label_values.get(expression.key)
    table = np.array([False, *(expression.holds(value) for value in (known.values if known else ()))])
    mask: BoolArray = table.take(codes)
    return mask


def _named(term: Term, name: str) -> bool:
    return (term.names is None or name in term.names) and name not in term.other_names


def _matches_row(term: Term, columns: Columns, row: int) -> bool:
    if term.empty or not _named(term, columns.names[row]):
        return False
    return all(e.holds(_label(columns, e.key, row)) for e in term.expressions)


def _label(columns: Columns, key: str, row: int) -> str | None:
    column = columns.labels.get(key)
    code = ABSENT if column is None else int(column[row])
    return None if code == ABSENT else columns.label_values[key].values[code - 1]
