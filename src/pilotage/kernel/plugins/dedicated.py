"""Filter: dedicated hosts are for VMs that ask for one."""

from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import BoolArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.label_changes import label_changed, label_of
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import Filter
from pilotage.model.change import Change
from pilotage.model.events import Cure
from pilotage.model.task import Task

DEDICATED = "dedicated"
"""Label of a host (``true`` or absent), and key of a task's node selector (``true`` or ``false``)."""


@dataclass(frozen=True)
class Dedicated(Filter):
    """A dedicated VM needs a dedicated host. ``strict``: and no other VM may have one."""

    strict: bool = True

    name = "dedicated"
    reads = ("labels",)
    cures = Cure.LABELS
    reason = "is dedicated and the VM is not, or the other way round"

    def fragment(self, task: Task) -> bool | None:
        wanted = task.spec.node_selector.get(DEDICATED)
        if wanted is None or (wanted == "false" and not self.strict):
            return None
        return wanted == "true"

    def mask(self, fragment: bool, nodes: Nodes) -> BoolArray:
        dedicated = nodes.has_label(DEDICATED, "true")
        return dedicated if fragment else np.logical_not(dedicated)

    def remedy(self, fragment: bool, columns: Columns, row: int) -> tuple[Change, ...]:
        return label_changed(DEDICATED, label_of(columns, DEDICATED, row), "true" if fragment else None)
