"""Filter: a cordoned node takes no new tasks."""

from dataclasses import dataclass

from pilotage.kernel.arrays import BoolArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import Filter
from pilotage.kernel.tolerance import tolerates
from pilotage.model.change import Change, Uncordoned
from pilotage.model.events import Cure
from pilotage.model.node import Taint
from pilotage.model.task import Task

UNSCHEDULABLE = Taint("node.kubernetes.io/unschedulable")
"""Who tolerates this taint may go to a cordoned node (kube-scheduler's rule)."""


@dataclass(frozen=True)
class Cordon(Filter):
    """Refuses cordoned nodes, except to tasks that tolerate the well-known taint of cordoned nodes."""

    name = "cordon"
    reads = ("cordon",)
    cures = Cure.CORDON
    reason = "node(s) were unschedulable"

    def fragment(self, task: Task) -> bool | None:
        return None if tolerates(task.spec.tolerations, UNSCHEDULABLE) else True

    def mask(self, fragment: bool, nodes: Nodes) -> BoolArray:
        return ~nodes.cordoned

    def mask_row(self, fragment: bool, columns: Columns, row: int) -> bool:
        return not columns.cordoned[row]

    def remedy(self, fragment: bool, columns: Columns, row: int) -> tuple[Change, ...]:
        return (Uncordoned(),)
