"""Filter and scorer: node labels that a task requires or prefers."""

from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import BoolArray, IntArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.label_changes import fewest_label_changes
from pilotage.kernel.node_terms import Required, meets, required_of, row_meets, term_met, term_met_by
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.normalise import ByMaximum
from pilotage.kernel.plugin import Filter, Scorer
from pilotage.model.change import Change, NodeAllowed
from pilotage.model.events import Cure
from pilotage.model.task import Preference, Task, Term


@dataclass(frozen=True)
class NodeAffinity(Filter):
    """All of the node selector and at least one required term match the node's labels."""

    name = "node-affinity"
    reads = ("labels", "names")
    cures = Cure.LABELS
    reason = "node(s) didn't match the task's node affinity/selector"

    def fragment(self, task: Task) -> Required | None:
        return required_of(task.spec)

    def mask(self, fragment: Required, nodes: Nodes) -> BoolArray:
        return meets(fragment, nodes)

    def mask_row(self, fragment: Required, columns: Columns, row: int) -> bool:
        return row_meets(fragment, columns, row)

    def remedy(self, fragment: Required, columns: Columns, row: int) -> tuple[Change, ...]:
        return fewest_label_changes(*fragment, columns, row)


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
        return meets(fragment, nodes)

    def mask_row(self, fragment: Required, columns: Columns, row: int) -> bool:
        return any(term_met_by(term, columns, row) for term in self.terms)

    def remedy(self, fragment: Required, columns: Columns, row: int) -> tuple[Change, ...]:
        return fewest_label_changes(*fragment, columns, row)


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

    def remedy(self, fragment: tuple[str, ...], columns: Columns, row: int) -> tuple[Change, ...]:
        return (NodeAllowed(columns.names[row]),)


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
        total: IntArray = term_met(first.term, nodes) * np.int64(first.weight)
        for preference in others:
            total += term_met(preference.term, nodes) * np.int64(preference.weight)
        return total

    def score_row(self, fragment: tuple[Preference, ...], columns: Columns, row: int) -> int:
        return sum(p.weight for p in fragment if term_met_by(p.term, columns, row))
