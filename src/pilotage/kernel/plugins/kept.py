"""Filter: a place that tasks made room for is kept for them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import BoolArray
from pilotage.kernel.columns import Claim, Columns
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import Depends, DomainFilter
from pilotage.model.change import Change, MoreFree, MoreGpuFree, PortFreed
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
        return not self.remedy(fragment, columns, row)

    def remedy(self, fragment: Task, columns: Columns, row: int) -> tuple[Change, ...]:
        """What is lacking once those who have a claim took their places; nothing where the task fits beside them."""
        claims = [
            claim
            for claim in columns.claims.get(row, ())
            if claim.priority >= fragment.priority and claim.task_id != fragment.id
        ]
        return tuple(_lacking(fragment, columns, row, claims)) if claims else ()


def _lacking(task: Task, columns: Columns, row: int, claims: Sequence[Claim]) -> Iterator[Change]:
    used, capacity, gpu_free = columns.numbers_of(row)
    for name, amount in task.spec.demand.items():
        i = columns.resources.get(name)
        if amount and name != "gpu":
            taken = sum(claim.spec.demand.get(name, 0) for claim in claims) + amount
            missing = taken if i is None else used[i] + taken - capacity[i]
            if missing > 0:
                yield MoreFree(name, missing)
    if task.spec.gpus:
        free = list(gpu_free)
        for claim in claims:
            for gpu in claim.gpus:
                free[gpu] -= claim.spec.gpu_share
        best = sorted(((left, gpu) for gpu, left in enumerate(free)), reverse=True)[: task.spec.gpus]
        yield from (MoreGpuFree(gpu, task.spec.gpu_share - left) for left, gpu in best if left < task.spec.gpu_share)
    for mine in task.spec.ports:
        if any(_same_port(mine, theirs) for claim in claims for theirs in claim.spec.ports):
            yield PortFreed(mine)


def _same_port(a: HostPort, b: HostPort) -> bool:
    everywhere = "0.0.0.0" in (a.address, b.address)
    return (a.protocol, a.port) == (b.protocol, b.port) and (everywhere or a.address == b.address)
