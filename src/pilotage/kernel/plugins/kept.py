"""Filter: a place that tasks made room for is kept for them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import BoolArray
from pilotage.kernel.columns import Claim, Columns
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import Depends, DomainFilter
from pilotage.model.events import Cure
from pilotage.model.task import HostPort, Task


@dataclass(frozen=True)
class KeptForOthers(DomainFilter):
    """The task must fit beside those of equal or higher priority that have a claim on the node."""

    name = "kept"
    depends: Depends = "global"
    cures = Cure.TASK_LEFT
    reason = "node(s) are kept for tasks that made room there"

    def fragment(self, task: Task) -> Task:
        return task

    def admits(self, fragment: Task, nodes: Nodes) -> BoolArray | None:
        refused = [row for row in nodes.columns.claims if not self.mask_row(fragment, nodes.columns, row)]
        if not refused:
            return None
        rows = nodes.rows
        admitted: BoolArray = ~np.isin(np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows, refused)
        return admitted

    def mask_row(self, fragment: Task, columns: Columns, row: int) -> bool:
        claims = [
            claim
            for claim in columns.claims.get(row, ())
            if claim.priority >= fragment.priority and claim.task_id != fragment.id
        ]
        return not claims or _fits_beside(fragment, columns, row, claims)


def _fits_beside(task: Task, columns: Columns, row: int, claims: Sequence[Claim]) -> bool:
    used, capacity = columns.amounts_of(row)
    for name, amount in task.spec.demand.items():
        i = columns.resources.get(name)
        if amount and name != "gpu":
            claimed = sum(claim.spec.demand.get(name, 0) for claim in claims)
            if i is None or used[i] + claimed + amount > capacity[i]:
                return False
    if task.spec.gpus:
        free: list[int] = columns.gpu_free[:, row].tolist()
        for claim in claims:
            for gpu in claim.gpus:
                free[gpu] -= claim.spec.gpu_share
        if sum(left >= task.spec.gpu_share for left in free) < task.spec.gpus:
            return False
    return not any(
        _same_port(mine, theirs) for mine in task.spec.ports for claim in claims for theirs in claim.spec.ports
    )


def _same_port(a: HostPort, b: HostPort) -> bool:
    everywhere = "0.0.0.0" in (a.address, b.address)
    return (a.protocol, a.port) == (b.protocol, b.port) and (everywhere or a.address == b.address)
