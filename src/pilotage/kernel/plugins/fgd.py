"""Scorer and device rule: fragmentation gradient descent (Weng et al., USENIX ATC'23)."""

from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import CodeArray, IntArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.fragmentation import FragmentationTable, sigmoid_steps, table_for
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import DeviceRule, Scorer
from pilotage.model.amounts import WHOLE_GPU
from pilotage.model.errors import InvalidInput
from pilotage.model.task import Task

Fragment = tuple[int, int, int]
"""(CPU in milli, GPUs, share of each in thousandths)."""


@dataclass(frozen=True)
class FragmentationDescent(Scorer):
    """floor(100 x sigmoid((F before - F after) / 1000)), for a share of a GPU the best over the node's GPUs.

    F is the fragmentation of the node for the expected workload. Nodes that can not take the task by CPU or GPUs
    score 0. Needs `WorkloadExpected`.
    """

    name = "fgd"
    narrow = True
    reads = ("cpu", "devices", "models", "workload")

    def fragment(self, task: Task) -> Fragment:
        return _fragment(task)

    def prove(self, columns: Columns) -> None:
        _table(columns)

    def score(self, fragment: Fragment, nodes: Nodes) -> IntArray:
        cpu, gpus, share = fragment
        scores: IntArray = np.zeros(len(nodes), np.int64)
        cpu_free, gpu_free = nodes.free["cpu"], nodes.gpu_free
        able = np.flatnonzero((cpu_free >= cpu) & ((gpu_free >= share).sum(axis=0) >= gpus))
        if able.size:
            table = _table(nodes.columns)
            steps = _steps(table, fragment, gpu_free[:, able], cpu_free[able], nodes.gpu_model[able])
            scores[able] = steps.max(axis=0)
        return scores


@dataclass(frozen=True)
class FragmentationDevices(DeviceRule):
    """The GPU with the best score of `FragmentationDescent`, the first on ties; whole GPUs: the first free ones."""

    name = "fgd"

    def choose(self, task: Task, columns: Columns, row: int, seed: int) -> tuple[int, ...]:
        free = columns.gpu_free[:, row]
        fitting = np.flatnonzero(free >= task.gpu_share)
        if task.gpu_share == WHOLE_GPU or len(fitting) == 1:
            return tuple(fitting[: task.gpus].tolist())
        nodes = Nodes(columns, np.array([row]))
        steps = _steps(_table(columns), _fragment(task), nodes.gpu_free, nodes.free["cpu"], nodes.gpu_model)
        return (int(steps[:, 0].argmax()),)


def _fragment(task: Task) -> Fragment:
    return (task.spec.demand.get("cpu", 0), task.spec.gpus, task.spec.gpu_share)


def _table(columns: Columns) -> FragmentationTable:
    if columns.workload is None:
        raise InvalidInput("policy", "fgd needs to know the expected workload, and nobody told (WorkloadExpected)")
    return table_for(columns.workload, tuple(columns.models.values))


def _steps(
    table: FragmentationTable, fragment: Fragment, gpu_free: IntArray, cpu_free: IntArray, model: CodeArray
) -> IntArray:
    """Return the score per GPU that may be taken from (a single line where that is no choice), int64[G or 1, n].

    All nodes are able to take the task; a GPU with too little left scores -1.
    """
    cpu, gpus, share = fragment
    thresholds = sigmoid_steps(table.total)
    if gpus == 1 and share < WHOLE_GPU:
        relief = table.relief_per_gpu(gpu_free, share, cpu_free, cpu, model)
        return np.where(gpu_free >= share, np.searchsorted(thresholds, relief, side="right"), -1)
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
    return np.searchsorted(thresholds, both[:n] - both[n:], side="right")[None, :]
