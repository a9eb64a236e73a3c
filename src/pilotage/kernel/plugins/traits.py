"""Filter: traits that a host must have, or must not have."""

from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import BoolArray
from pilotage.kernel.columns import ABSENT, Columns
from pilotage.kernel.label_changes import label_changed, label_of
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import Filter
from pilotage.model.change import Change
from pilotage.model.events import Cure
from pilotage.model.expression import Operator
from pilotage.model.task import Task

Wanted = tuple[tuple[str, bool], ...]
"""Label keys, and whether each must be there."""


@dataclass(frozen=True)
class Traits(Filter):
    """Every ``Exists`` and ``DoesNotExist`` of the task's one affinity term holds; other operators are not read."""

    name = "traits"
    reads = ("labels",)
    cures = Cure.LABELS
    reason = "lacks a required trait, or has a forbidden one"

    def fragment(self, task: Task) -> Wanted | None:
        terms = task.spec.node_affinity
        if not terms:
            return None
        read = (Operator.EXISTS, Operator.DOES_NOT_EXIST)
        wanted = [(e.key, e.operator == Operator.EXISTS) for e in terms[0].expressions if e.operator in read]
        return tuple(wanted) or None

    def mask(self, fragment: Wanted, nodes: Nodes) -> BoolArray:
        mask: BoolArray = np.ones(len(nodes), np.bool_)
        for key, wanted in fragment:
            mask &= (nodes.label(key) != ABSENT) == wanted
        return mask

    def remedy(self, fragment: Wanted, columns: Columns, row: int) -> tuple[Change, ...]:
        changes: list[Change] = []
        for key, wanted in fragment:
            before = label_of(columns, key, row)
            changes += label_changed(key, before, ("" if before is None else before) if wanted else None)
        return tuple(changes)
