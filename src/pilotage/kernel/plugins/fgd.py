"""Scorer and device rule: fragmentation gradient descent (Weng et al., USENIX ATC'23)."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import CodeArray, IntArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.fragmentation import FragmentationTable, table_for
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import DeviceRule, Scorer
from pilotage.model.amounts import WHOLE_GPU
from pilotage.model.task import Task

Fragment = tuple[int, int, int]
"""(CPU in milli, GPUs, share of each in thousandths)."""

_NO_CHANGE = 50
"""The score where fragmentation stays as it is."""


@dataclass(frozen=True)
class FragmentationDescent(Scorer):
    """floor(100 x sigmoid((F before - F after) / 1000)), for a share of a GPU the best over the node's GPUs.

    F is the fragmentation of the node for the expected workload, 0 as long as none is known. Nodes that can not take
    the task by CPU or GPUs score 0.
    """

    name = "fgd"
    bits = 8
    reads = ("cpu", "devices", "models", "workload")

    def fragment(self, task: Task) -> Fragment:
        return _fragment(task)

    def score(self, fragment: Fragment, nodes: Nodes) -> IntArray:
        cpu, gpus, share = fragment
        scores: IntArray = np.zeros(len(nodes), np.int64)
        cpu_free, gpu_free = nodes.free["cpu"], nodes.gpu_free
        able = np.flatnonzero(((cpu_free >= cpu) | (cpu == 0)) & ((gpu_free >= share).sum(axis=0) >= gpus))
        if able.size:
            table = _table(nodes.columns)
            if table is None:
                scores[able] = _NO_CHANGE
                return scores
            steps = _steps(table, fragment, gpu_free[:, able], cpu_free[able], nodes.gpu_model[able])
            scores[able] = steps.max(axis=0)
        return scores

    def score_row(self, fragment: Fragment, columns: Columns, row: int) -> int:
        cpu, gpus, share = fragment
        cpu_free, free = _left(columns, row)
        if (cpu and cpu_free < cpu) or sum([left >= share for left in free]) < gpus:
            return 0
        table = _table(columns)
        if table is None:
            return _NO_CHANGE
        return max(_steps_of_one(table, fragment, free, cpu_free, columns.gpu_model.item(row)))


@dataclass(frozen=True)
class FragmentationDevices(DeviceRule):
    """The GPU with the best score of `FragmentationDescent`, the first on ties; whole GPUs: the first free ones."""

    name = "fgd"

    def choose(self, task: Task, columns: Columns, row: int, seed: int) -> tuple[int, ...]:
        cpu_free, free = _left(columns, row)
        fitting = [gpu for gpu, left in enumerate(free) if left >= task.gpu_share]
        table = _table(columns)
        if table is None or task.gpu_share == WHOLE_GPU or len(fitting) == 1:
            return tuple(fitting[: task.gpus])
        steps = _steps_of_one(table, _fragment(task), free, cpu_free, columns.gpu_model.item(row))
        return (steps.index(max(steps)),)


def _fragment(task: Task) -> Fragment:
    return (task.spec.demand.get("cpu", 0), task.spec.gpus, task.spec.gpu_share)


def _left(columns: Columns, row: int) -> tuple[int, tuple[int, ...]]:
    """Return the CPU left on a row in milli, and the thousandths left on each of its GPUs."""
    used, capacity, gpu_free = columns.numbers_of(row)
    cpu = columns.resources["cpu"]
    return capacity[cpu] - used[cpu], gpu_free


def _table(columns: Columns) -> FragmentationTable | None:
    if columns.workload is None:
        return None
    return table_for(columns.workload, tuple(columns.models.values))


def _steps(
    table: FragmentationTable, fragment: Fragment, gpu_free: IntArray, cpu_free: IntArray, model: CodeArray
) -> IntArray:
    """Return the score per GPU that may be taken from (a single line where that is no choice), int64[G or 1, n].

    All nodes are able to take the task; a GPU with too little left scores -1.
    """
    cpu, gpus, share = fragment
    if gpus == 1 and share < WHOLE_GPU:
        relief = table.relief_per_gpu(gpu_free, share, cpu_free, cpu, model)
        return np.where(gpu_free >= share, np.searchsorted(table.steps, relief, side="right"), -1)
    after = gpu_free
    if gpus:
        fits = gpu_free >= share
        after = gpu_free - share * (fits & (fits.cumsum(axis=0) <= gpus))
    both = table.of(
        np.concatenate((gpu_free, after), axis=1),
        np.concatenate((cpu_free, cpu_free - cpu)),
        np.concatenate((model, model)),
    )
    n = len(cpu_free)
    return np.searchsorted(table.steps, both[:n] - both[n:], side="right")[None, :]


def _steps_of_one(
    table: FragmentationTable, fragment: Fragment, gpu_free: Sequence[int], cpu_free: int, model: int
) -> list[int]:
    """`_steps` for one node, in plain numbers."""
    cpu, gpus, share = fragment
    if gpus == 1 and share < WHOLE_GPU:
        relief = table.relief_per_gpu_of_one(gpu_free, share, cpu_free, cpu, model)
        return [
            bisect_right(table.step_list, change) if left >= share else -1
            for change, left in zip(relief, gpu_free, strict=True)
        ]
    after, wanted = list(gpu_free), gpus
    for gpu, left in enumerate(gpu_free):
        if wanted and left >= share:
            after[gpu] -= share
            wanted -= 1
    change = table.of_one(gpu_free, cpu_free, model) - table.of_one(after, cpu_free - cpu, model)
    return [bisect_right(table.step_list, change)]
