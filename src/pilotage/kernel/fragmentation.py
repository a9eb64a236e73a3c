"""Fragmentation of a node for a target workload, in exact integers.

Source: Weng et al., "Beware of Fragmentation", USENIX ATC'23. For a node with GPU remainders r_g (thousandths), R
their sum, c CPU left, and a spec m (d CPU, k GPUs of share s each, models T):
F(m) = R if m can not run on the node or asks for no GPU, else the sum of the r_g below s; F = sum of p_m F(m).

With integer weights w_m in place of p_m, everything stays exact: total x F = W R - sum over (s, k) of
[at least k remainders >= s] x (weight of the specs (s, k) that CPU and model allow) x (sum of remainders >= s).
"""

from decimal import Decimal, localcontext
from functools import lru_cache
from math import ceil

import numpy as np

from pilotage.kernel.arrays import CodeArray, IntArray
from pilotage.kernel.nodes import Nodes
from pilotage.model.workload import Workload


class FragmentationTable:
    """A target workload, compiled for nodes of known GPU models.

    K (share, count) pairs: ``shares``, ``counts`` int64[K, 1, 1]. ``cpu`` int64[P]: the distinct CPU demands, rising.
    ``weight`` int64[models, P + 1, K]: total weight of the specs of a pair that run on a model with at least the
    first p CPU demands met. ``total`` the weight of all specs, CPU-only ones included.
    """

    def __init__(self, workload: Workload, models: tuple[str, ...]) -> None:
        gpu_parts = [(spec, weight) for spec, weight in workload.parts if spec.gpus]
        pairs = sorted({(spec.gpu_share, spec.gpus) for spec, _ in gpu_parts})
        levels = sorted({spec.demand.get("cpu", 0) for spec, _ in gpu_parts})
        self.total = workload.total
        self.shares: IntArray = np.array([share for share, _ in pairs], np.int64).reshape(-1, 1, 1)
        self.counts: IntArray = np.array([count for _, count in pairs], np.int64).reshape(-1, 1, 1)
        self.cpu: IntArray = np.array(levels, np.int64)
        self.weight: IntArray = np.zeros((len(models), len(levels) + 1, len(pairs)), np.int64)
        for spec, weight in gpu_parts:
            pair = pairs.index((spec.gpu_share, spec.gpus))
            level = levels.index(spec.demand.get("cpu", 0))
            for code, model in enumerate(models):
                if not spec.gpu_models or model in spec.gpu_models:
                    self.weight[code, level + 1 :, pair] += weight

    def usable_weight(self, cpu_free: IntArray, model: CodeArray) -> IntArray:
        """Return int64[K, n]: weight of the specs of each pair that CPU and model of each node allow."""
        return self.weight[model, np.searchsorted(self.cpu, cpu_free, side="right")].T

    def of(self, gpu_free: IntArray, cpu_free: IntArray, model: CodeArray) -> IntArray:
        """Return ``total`` x F per node, int64[n], from remainders int64[G, n], CPU left and model codes [n]."""
        runs = gpu_free >= self.shares
        count = runs.sum(axis=1)
        usable = np.where(runs, gpu_free, 0).sum(axis=1)
        weight = np.where(count >= self.counts[:, 0], self.usable_weight(cpu_free, model), 0)
        fragmentation: IntArray = self.total * gpu_free.sum(axis=0) - (weight * usable).sum(axis=0)
        return fragmentation

    def relief_per_gpu(
        self, gpu_free: IntArray, share: int, cpu_free: IntArray, cpu: int, model: CodeArray
    ) -> IntArray:
        """Return ``total`` x (F before - F after) per GPU and node, int64[G, n], if a task took ``share`` there.

        The task also takes ``cpu``. Entries of GPUs with less than ``share`` left mean nothing.
        """
        after = gpu_free - share
        runs, runs_after = gpu_free >= self.shares, after >= self.shares
        taken = np.where(runs, gpu_free, 0)
        count, usable = runs.sum(axis=1, keepdims=True), taken.sum(axis=1, keepdims=True)
        kept = np.where(count >= self.counts, self.usable_weight(cpu_free, model)[:, None, :], 0) * usable
        count_after = count - runs + runs_after
        usable_after = usable - taken + np.where(runs_after, after, 0)
        weight = np.where(count_after >= self.counts, self.usable_weight(cpu_free - cpu, model)[:, None, :], 0)
        relief: IntArray = self.total * share + (weight * usable_after - kept).sum(axis=0)
        return relief


@lru_cache(maxsize=64)
def table_for(workload: Workload, models: tuple[str, ...]) -> FragmentationTable:
    """Return the compiled table of a workload; the same one for the same arguments."""
    return FragmentationTable(workload, models)


def cluster_fragmentation(nodes: Nodes, workload: Workload) -> IntArray:
    """Return ``workload.total`` x F of every node in view, int64[n], in thousandths of a GPU."""
    table = table_for(workload, tuple(nodes.columns.models.values))
    return table.of(nodes.gpu_free, nodes.free["cpu"], nodes.gpu_model)


@lru_cache(maxsize=64)
def sigmoid_steps(total: int) -> IntArray:
    """Return int64[99]: the change ``total`` x (F before - F after) from which the FGD score is at least 1 .. 99.

    FGD's score is floor(100 / (1 + exp(-change / 1000))); its steps lie at change = 1000 ln(p / (100 - p)). They are
    worked out in decimal arithmetic, so every machine has the same ones.
    """
    with localcontext() as context:
        context.prec = 50
        steps = [total * 1000 * (Decimal(p) / Decimal(100 - p)).ln() for p in range(1, 100)]
        return np.array([ceil(step) for step in steps], np.int64)
