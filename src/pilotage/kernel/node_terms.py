"""What a task asks of the labels and taints of a node, as masks over nodes and as the answer for one."""

import numpy as np

from pilotage.kernel.arrays import BoolArray
from pilotage.kernel.columns import ABSENT, Columns
from pilotage.kernel.label_changes import label_of
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.tolerance import tolerates
from pilotage.model.expression import Expression, Operator
from pilotage.model.node import Taint, TaintEffect
from pilotage.model.task import TaskSpec, Term, Toleration

Required = tuple[tuple[tuple[str, str], ...], tuple[Term, ...] | None]
"""A task's node selector and its required terms."""

Tolerations = tuple[Toleration, ...]


def required_of(spec: TaskSpec) -> Required | None:
    """Return what ``spec`` requires of labels, or None if it is nothing."""
    if not spec.node_selector and spec.node_affinity is None:
        return None
    return tuple(spec.node_selector.items()), spec.node_affinity


def meets(required: Required, nodes: Nodes) -> BoolArray:
    """Return bool[n]: nodes that carry all of the selector and meet at least one of the terms."""
    selector, terms = required
    mask: BoolArray = np.ones(len(nodes), np.bool_)
    for key, value in selector:
        mask &= nodes.has_label(key, value)
    if terms is not None:
        any_term: BoolArray = np.zeros(len(nodes), np.bool_)
        for term in terms:
            any_term |= term_met(term, nodes)
        mask &= any_term
    return mask


def row_meets(required: Required, columns: Columns, row: int) -> bool:
    """Return what `meets` says of one row."""
    selector, terms = required
    return all(label_of(columns, key, row) == value for key, value in selector) and (
        terms is None or any(term_met_by(term, columns, row) for term in terms)
    )


def admitted(tolerations: Tolerations, nodes: Nodes) -> BoolArray:
    """Return bool[n]: nodes whose NoSchedule and NoExecute taints are all tolerated."""
    table = np.array([admits(tolerations, taints) for taints in nodes.columns.taints.values])
    mask: BoolArray = table.take(nodes.taint_set)
    return mask


def admits(tolerations: Tolerations, taints: tuple[Taint, ...]) -> bool:
    """Return whether every taint but PreferNoSchedule ones is tolerated."""
    return all(t.effect == TaintEffect.PREFER_NO_SCHEDULE or tolerates(tolerations, t) for t in taints)


def term_met(term: Term, nodes: Nodes) -> BoolArray:
    """Return bool[n]: nodes that meet all of the term; an empty one is met by none."""
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


def term_met_by(term: Term, columns: Columns, row: int) -> bool:
    """Return what `term_met` says of one row."""
    if term.empty or not _named(term, columns.names[row]):
        return False
    return all(e.holds(label_of(columns, e.key, row)) for e in term.expressions)
