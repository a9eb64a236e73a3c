"""Filter: ports of the node that the task takes for itself must be free."""

from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import BoolArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import Filter
from pilotage.model.change import Change, PortFreed
from pilotage.model.events import Cure
from pilotage.model.task import HostPort, Task

EVERY_ADDRESS = "0.0.0.0"


@dataclass(frozen=True)
class Ports(Filter):
    """Protocol and port equal, and addresses equal or one of them every address: a conflict (kube-scheduler's rule)."""

    name = "ports"
    reads = ("ports",)
    cures = Cure.TASK_LEFT
    reason = "node(s) didn't have free ports for the requested task ports"

    def fragment(self, task: Task) -> tuple[HostPort, ...] | None:
        return task.spec.ports or None

    def mask(self, fragment: tuple[HostPort, ...], nodes: Nodes) -> BoolArray:
        mask: BoolArray = np.ones(nodes.columns.n, np.bool_)
        for port in fragment:
            for row, addresses in nodes.columns.ports.get((port.protocol, port.port), {}).items():
                if _conflicts(port, addresses):
                    mask[row] = False
        return mask[nodes.rows]

    def mask_row(self, fragment: tuple[HostPort, ...], columns: Columns, row: int) -> bool:
        return not any(
            _conflicts(port, columns.ports.get((port.protocol, port.port), {}).get(row, {})) for port in fragment
        )

    def remedy(self, fragment: tuple[HostPort, ...], columns: Columns, row: int) -> tuple[Change, ...]:
        return tuple(PortFreed(port) for port in fragment if not self.mask_row((port,), columns, row))


def _conflicts(port: HostPort, taken: dict[str, int]) -> bool:
    if port.address == EVERY_ADDRESS:
        return bool(taken)
    return port.address in taken or EVERY_ADDRESS in taken
