"""Scorer: fill used GPUs first, then free GPUs of used nodes, then free nodes (GpuPacking of the openb experiment)."""

from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import IntArray
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import Scorer
from pilotage.model.amounts import WHOLE_GPU
from pilotage.model.task import Task


@dataclass(frozen=True)
class GpuPacking(Scorer):
    """Three levels by what the task would open.

    A share of a used GPU: max(50, 100 - floor(free percent of it / 10)); u free GPUs on a node with a used one:
    max(33, 50 - u); on a node with n GPUs, all free: max(33 - n, n). Assumes the tightest GPU is taken. Tasks
    without GPU are not scored.
    """

    name = "gpu-packing"
    bits = 32
    reads = ("devices",)

    def fragment(self, task: Task) -> tuple[int, int] | None:
        return (task.spec.gpus, task.spec.gpu_share) if task.spec.gpus else None

    def score(self, fragment: tuple[int, int], nodes: Nodes) -> IntArray:
        gpus, share = fragment
        n = len(nodes)
        count = nodes.gpu_count
        used_gpu: IntArray = np.zeros(n, np.int64)
        tightest: IntArray = np.full(n, WHOLE_GPU, np.int64)
        for gpu, free in enumerate(nodes.gpu_free):
            used_gpu |= (free < WHOLE_GPU) & (gpu < count)
            tightest = np.where(free >= share, np.minimum(tightest, free), tightest)
        opened = np.where(used_gpu > 0, max(33, 50 - gpus), np.maximum(33 - count, count))
        if gpus > 1:
            return opened
        shared = np.maximum(50, 100 - tightest // 100)
        return np.where(tightest < WHOLE_GPU, shared, opened)
