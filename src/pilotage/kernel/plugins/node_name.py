"""Filter: a task that names its node goes there and nowhere else."""

from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import BoolArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import Filter
from pilotage.model.change import Change, NodeAllowed
from pilotage.model.events import Cure
from pilotage.model.task import Task


@dataclass(frozen=True)
class NodeName(Filter):
    """The node's name equals the requested one, if one is requested."""

    name = "node-name"
    reads = ("names",)
    cures = Cure.NODE_ADDED
    reason = "node(s) didn't match the requested node name"

    def fragment(self, task: Task) -> str | None:
        return task.spec.node_name or None

    def mask(self, fragment: str, nodes: Nodes) -> BoolArray:
        row = nodes.columns.row_of.get(fragment, -1)
        if isinstance(nodes.rows, slice):
            mask: BoolArray = np.zeros(len(nodes), np.bool_)
            if nodes.rows.start <= row < nodes.rows.stop:
                mask[row - nodes.rows.start] = True
            return mask
        named: BoolArray = nodes.rows == row
        return named

    def mask_row(self, fragment: str, columns: Columns, row: int) -> bool:
        return columns.row_of.get(fragment, -1) == row

    def remedy(self, fragment: str, columns: Columns, row: int) -> tuple[Change, ...]:
        return (NodeAllowed(columns.names[row]),)
