"""Scorer: keep tasks with the same GPU request together (GpuClustering of the openb experiment)."""

from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import IntArray
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import Scorer
from pilotage.model.amounts import WHOLE_GPU
from pilotage.model.task import Task, TaskSpec

_LARGEST_NODE = 8 * WHOLE_GPU


@dataclass(frozen=True)
class GpuClustering(Scorer):
    """floor(25 x (8000 - free) / 8000), plus 75, 50, 25 or 0 by the company on the node.

    75: GPU tasks of this class only; 50: of this class and others; 25: no GPU task; 0: other classes only. The class
    of a task is a share of one GPU, or its number of whole GPUs. Tasks without GPU are not scored.
    """

    name = "gpu-clustering"
    reads = ("gpu", "counts")
    bits = 32
    counter = "gpu-class"

    def fragment(self, task: Task) -> int | None:
        return self.count_key(task.spec)

    def count_key(self, spec: TaskSpec) -> int | None:
        """Return the class: 0 for a share, else the number of GPUs; None (not counted) without GPU."""
        return None if not spec.gpus else 0 if spec.gpu_share < WHOLE_GPU else spec.gpus

    def score(self, fragment: int, nodes: Nodes) -> IntArray:
        same = nodes.counts(self.counter, fragment)
        total = nodes.counts(self.counter, None)
        company = np.where(same == total, 75, np.where(same > 0, 50, 0))
        company = np.where(total == 0, 25, company)
        return 25 * (_LARGEST_NODE - nodes.free["gpu"]) // _LARGEST_NODE + company
