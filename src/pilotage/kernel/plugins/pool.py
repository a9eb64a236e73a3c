"""Filter: a host belongs to one pool, and a VM asks for one."""

from dataclasses import dataclass

from pilotage.kernel.arrays import BoolArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.label_changes import label_changed, label_of
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import Filter
from pilotage.model.change import Change
from pilotage.model.events import Cure
from pilotage.model.task import Task

POOL = "pool"
"""Label of a host, and key of a task's node selector."""


@dataclass(frozen=True)
class Pool(Filter):
    """The host's pool is the one that is asked for. A task that names none may go anywhere."""

    name = "pool"
    reads = ("labels",)
    cures = Cure.LABELS
    reason = "is in another pool"

    def fragment(self, task: Task) -> str | None:
        return task.spec.node_selector.get(POOL)

    def mask(self, fragment: str, nodes: Nodes) -> BoolArray:
        return nodes.has_label(POOL, fragment)

    def remedy(self, fragment: str, columns: Columns, row: int) -> tuple[Change, ...]:
        return label_changed(POOL, label_of(columns, POOL, row), fragment)
