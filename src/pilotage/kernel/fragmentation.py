"""Fragmentation of a node for a target workload, in exact integers.

Source: Weng et al., "Beware of Fragmentation", USENIX ATC'23. For a node with GPU remainders r_g (thousandths), R
their sum, c CPU left, and a spec m (d CPU, k GPUs of share s each, models T):
F(m) = R if m can not run on the node or asks for no GPU, else the sum of the r_g below s; F = sum of p_m F(m).

With integer weights w_m in place of p_m, everything stays exact. What is not fragment is usable by some spec, and that
falls apart into terms that are looked up: total x F = total R - sum over g of V(r_g) - Z(number of whole free GPUs),

- V(r) = r x weight of the one-GPU specs with s <= r, for those that CPU and model allow;
- Z(z) = 1000 z x weight of the specs with 1 < k <= z GPUs, likewise.
"""

from bisect import bisect_right
from collections.abc import Sequence
from decimal import Decimal, localcontext
from functools import lru_cache
from math import ceil

import numpy as np

from pilotage.kernel.arrays import CodeArray, IntArray
from pilotage.kernel.nodes import Nodes
from pilotage.model.amounts import WHOLE_GPU
from pilotage.model.workload import Workload


def sigmoid_steps(total: int) -> IntArray:
    """Return int64[99]: the change ``total`` x (F before - F after) from which the FGD score is at least 1 .. 99.

    FGD's score is floor(100 / (1 + exp(-change / 1000))); its steps lie at change = 1000 ln(p / (100 - p)). They are
    worked out in decimal arithmetic, so every machine has the same ones.
    """
    with localcontext() as context:
        context.prec = 50
        steps = [total * 1000 * (Decimal(p) / Decimal(100 - p)).ln() for p in range(1, 100)]
        return np.array([ceil(step) for step in steps], np.int64)


class FragmentationTable:
    """A target workload, compiled for nodes of known GPU models.

    ``total``: the sum of all weights. ``cpu`` int64[P]: the distinct CPU demands of specs with GPUs, rising. A node is
    of *class* model x (P + 1) + p, p the number of CPU demands that it can meet. ``single`` int64[classes x 1001]: V by
    class and remainder. ``several`` int64[classes x (most + 1)]: the weight in Z by class and whole free GPUs, more
    than the most that any spec asks for counting as the most. ``steps``: `sigmoid_steps`. A GPU that is gone but still
    in use has a remainder below zero, which nobody can use.
    """

    def __init__(self, workload: Workload, models: tuple[str, ...]) -> None:
        specs = [(spec, weight) for spec, weight in workload.parts if spec.gpus]
        levels = sorted({spec.demand.get("cpu", 0) for spec, _ in specs})
        most = max((spec.gpus for spec, _ in specs), default=1)
        self.total = workload.total
        self.levels = levels
        self.steps: IntArray = sigmoid_steps(self.total)
        self.step_list: list[int] = self.steps.tolist()
        self.cpu: IntArray = np.array(levels, np.int64)
        self.most = most
        single = np.zeros((len(models), len(levels) + 1, WHOLE_GPU + 1), np.int64)
        several = np.zeros((len(models), len(levels) + 1, most + 1), np.int64)
        for spec, weight in specs:
            level = levels.index(spec.demand.get("cpu", 0)) + 1
            for code, model in enumerate(models):
                if spec.gpu_models and model not in spec.gpu_models:
                    continue
                if spec.gpus == 1:
                    single[code, level:, spec.gpu_share :] += weight
                else:
                    several[code, level:, spec.gpus :] += weight
        self.single: IntArray = (single * np.arange(WHOLE_GPU + 1)).reshape(-1)
        self.several: IntArray = several.reshape(-1)

    def of(self, gpu_free: IntArray, cpu_free: IntArray, model: CodeArray) -> IntArray:
        """Return ``total`` x F per node, int64[n], from remainders int64[G, n], CPU left and model codes [n]."""
        kind = self._class(cpu_free, model)
        usable = self.single.take(kind * (WHOLE_GPU + 1) + np.maximum(gpu_free, 0)).sum(axis=0)
        fragmentation: IntArray = self.total * gpu_free.sum(axis=0) - usable
        return fragmentation - self._usable_by_several(kind, (gpu_free == WHOLE_GPU).sum(axis=0))

    def relief_per_gpu(
        self, gpu_free: IntArray, share: int, cpu_free: IntArray, cpu: int, model: CodeArray
    ) -> IntArray:
        """Return ``total`` x (F before - F after) per GPU and node, int64[G, n], if a task took ``share`` there.

        The task also takes ``cpu``. Entries of GPUs with less than ``share`` left mean nothing.
        """
        before = self.of(gpu_free, cpu_free, model)
        kind = self._class(cpu_free - cpu, model)
        at = kind * (WHOLE_GPU + 1)
        each = self.single.take(at + np.maximum(gpu_free, 0))
        usable = each.sum(axis=0) - each
        usable += self.single.take(at + np.maximum(gpu_free - share, 0))
        whole = gpu_free == WHOLE_GPU
        usable += self._usable_by_several(kind, whole.sum(axis=0) - whole)
        usable += before - self.total * (gpu_free.sum(axis=0) - share)
        return usable

    def relief_per_gpu_of_one(
        self, gpu_free: Sequence[int], share: int, cpu_free: int, cpu: int, model: int
    ) -> list[int]:
        """`relief_per_gpu` for one node, in plain numbers."""
        before, single, per = self.of_one(gpu_free, cpu_free, model), self.single, WHOLE_GPU + 1
        kind = self._class_of_one(cpu_free - cpu, model)
        at, whole = kind * per, gpu_free.count(WHOLE_GPU)
        usable = sum([single.item(at + max(free, 0)) for free in gpu_free])
        fixed = before - self.total * (sum(gpu_free) - share) + usable
        several = [self._usable_by_several_of_one(kind, whole), self._usable_by_several_of_one(kind, whole - 1)]
        return [
            fixed - single.item(at + max(free, 0)) + single.item(at + max(free - share, 0)) + several[free == WHOLE_GPU]
            for free in gpu_free
        ]

    def of_one(self, gpu_free: Sequence[int], cpu_free: int, model: int) -> int:
        """`of` for one node, in plain numbers."""
        kind, single = self._class_of_one(cpu_free, model), self.single
        at = kind * (WHOLE_GPU + 1)
        usable = sum([single.item(at + max(free, 0)) for free in gpu_free])
        several = self._usable_by_several_of_one(kind, gpu_free.count(WHOLE_GPU))
        return self.total * sum(gpu_free) - usable - several

    def _class(self, cpu_free: IntArray, model: CodeArray) -> IntArray:
        kind: IntArray = model * (len(self.levels) + 1) + np.searchsorted(self.cpu, cpu_free, side="right")
        return kind

    def _class_of_one(self, cpu_free: int, model: int) -> int:
        return model * (len(self.levels) + 1) + bisect_right(self.levels, cpu_free)

    def _usable_by_several(self, kind: IntArray, whole: IntArray) -> IntArray:
        weight: IntArray = self.several.take(kind * (self.most + 1) + np.minimum(whole, self.most))
        return weight * whole * WHOLE_GPU

    def _usable_by_several_of_one(self, kind: int, whole: int) -> int:
        whole = max(whole, 0)
        return self.several.item(kind * (self.most + 1) + min(whole, self.most)) * whole * WHOLE_GPU


@lru_cache(maxsize=64)
def table_for(workload: Workload, models: tuple[str, ...]) -> FragmentationTable:
    """Return the compiled table of a workload; the same one for the same arguments."""
    return FragmentationTable(workload, models)


def cluster_fragmentation(nodes: Nodes, workload: Workload) -> IntArray:
    """Return ``workload.total`` x F of every node in view, int64[n], in thousandths of a GPU."""
    table = table_for(workload, tuple(nodes.columns.models.values))
    return table.of(nodes.gpu_free, nodes.free["cpu"], nodes.gpu_model)
