"""Gauges: how much of a cluster is allocated and how much is fragmented, kept up to date row by row.

Everything is an exact integer until it is read as a percentage, so a gauge never drifts.
"""

from collections.abc import Iterable

import numpy as np

from pilotage.engine.engine import Engine
from pilotage.kernel.fragmentation import cluster_fragmentation
from pilotage.kernel.nodes import Nodes
from pilotage.model.task import TaskSpec
from pilotage.model.workload import Workload


class Gauge:
    """Amounts allocated in a cluster and, if it has GPUs, its fragmentation for a target workload.

    All nodes must be there when a gauge is made.
    """

    def __init__(self, engine: Engine, workload: Workload) -> None:
        self._columns = columns = engine.state.columns
        self._workload = workload
        whole: list[int] = columns.capacity[:, : columns.n].sum(axis=1).tolist()
        self.gpu_capacity = whole[columns.resources["gpu"]]
        self.cpu_capacity = whole[columns.resources["cpu"]]
        self.gpu = 0
        self.cpu = 0
        self._scale = workload.total * self.gpu_capacity
        self._of_row: list[int] = []
        if self._scale:
            self._of_row = cluster_fragmentation(Nodes.all(columns), workload).tolist()
        self._fragmented = sum(self._of_row)

    def count(self, spec: TaskSpec, sign: int) -> None:
        """Note that a task of ``spec`` was placed (``sign`` 1) or left (``sign`` -1)."""
        self.gpu += sign * spec.demand["gpu"]
        self.cpu += sign * spec.demand.get("cpu", 0)

    def look_at(self, rows: Iterable[int]) -> None:
        """Work out the fragmentation of ``rows`` again; the others did not change."""
        changed = sorted(set(rows))
        if not (self._scale and changed):
            return
        now = cluster_fragmentation(Nodes(self._columns, np.array(changed)), self._workload)
        for row, fragmented in zip(changed, now.tolist(), strict=True):
            self._fragmented += fragmented - self._of_row[row]
            self._of_row[row] = fragmented

    @property
    def gpu_pct(self) -> float:
        """GPUs allocated, in % of the cluster's; 0 without GPUs."""
        return 100 * self.gpu / self.gpu_capacity if self.gpu_capacity else 0.0

    @property
    def cpu_pct(self) -> float:
        """CPU allocated, in % of the cluster's."""
        return 100 * self.cpu / self.cpu_capacity if self.cpu_capacity else 0.0

    @property
    def frag_pct(self) -> float:
        """Idle GPUs that the target workload can not use, in % of the cluster's GPUs."""
        return 100 * self._fragmented / self._scale if self._scale else 0.0
