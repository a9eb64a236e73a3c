"""Scorer and device rule: spend the GPU remainder that is worth least, strand the least GPU (policy ``pilotage``)."""

import math
from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import IntArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import DeviceRule, Scorer
from pilotage.kernel.worth import HEADROOM, MOST, own_ratios, stranded, stranded_of_one, worth_of
from pilotage.model.amounts import WHOLE_GPU
from pilotage.model.task import Task

Fragment = tuple[int, int, int]
"""(CPU in milli, GPUs, share of each in thousandths)."""

BUCKET = 50
"""Thousandths of a GPU in one step of the cost: what is cheaper by less leaves the choice to the node order."""
_SLACK = 1e-6


@dataclass(frozen=True)
class WorthAndStranding(Scorer):
    """-(ceil(worth lost / 50) + ceil(GPU newly stranded / 50)), both in thousandths of a GPU.

    Worth lost: of a shared GPU w(r) - w(r - share), and 100 more if it was whole and tasks of the mix leave again, the
    least over the node's GPUs that fit; 1000 per whole GPU; 0 without GPU. Newly stranded: after minus before, below
    zero when the task eats GPU that lacked CPU beside it.
    """

    name = "worth-and-stranding"
    reads = ("cpu", "devices", "models", "workload")
    bits = 32

    def fragment(self, task: Task) -> Fragment:
        return task.spec.demand.get("cpu", 0), task.spec.gpus, task.spec.gpu_share

    def score(self, fragment: Fragment, nodes: Nodes) -> IntArray:
        cpu, gpus, share = fragment
        worth = worth_of(nodes.columns.workload)
        free = np.maximum(nodes.gpu_free, 0)
        lost: IntArray | int = gpus * WHOLE_GPU
        if gpus and share < WHOLE_GPU:
            lost = np.minimum.reduce(worth.losses(share).column.take(free), initial=MOST)
        idle, cpu_free = np.add.reduce(free), nodes.free["cpu"]
        idle_then = np.array((idle, np.maximum(idle - gpus * share, 0)))  # before the task, and after
        cpu_then = np.array((cpu_free, cpu_free - cpu))
        before, after = stranded(cpu_then, idle_then, worth.limits(nodes.of(own_ratios(nodes.columns))))
        newly = np.ceil((after - before) / BUCKET - _SLACK)
        score: IntArray = lost // -BUCKET - newly.astype(np.int64)
        return score

    def score_row(self, fragment: Fragment, columns: Columns, row: int) -> int:
        cpu, gpus, share = fragment
        worth = worth_of(columns.workload)
        used, capacity, free = columns.numbers_of(row)
        if min(free, default=0) < 0:
            free = tuple([max(left, 0) for left in free])
        at = columns.resources["cpu"]
        cpu_free, idle = capacity[at] - used[at], sum(free)
        lost = gpus * WHOLE_GPU
        if gpus and share < WHOLE_GPU:
            losses = worth.losses(share).numbers
            lost = min([losses[left] for left in free], default=MOST)
        limit = min(HEADROOM * capacity[at] / max(columns.gpu_count.item(row), 1), worth.cpu_per_gpu)
        after = stranded_of_one(cpu_free - cpu, max(idle - gpus * share, 0), limit)
        newly = after - stranded_of_one(cpu_free, idle, limit)
        return lost // -BUCKET - math.ceil(newly / BUCKET - _SLACK)


@dataclass(frozen=True)
class LeastWorth(DeviceRule):
    """The GPU whose remainder loses the least worth, lowest number on ties; whole GPUs: the first free ones."""

    name = "least-worth"

    def choose(self, task: Task, columns: Columns, row: int, seed: int) -> tuple[int, ...]:
        _, _, free = columns.numbers_of(row)
        share = task.gpu_share
        fitting = [gpu for gpu, left in enumerate(free) if left >= share]
        if share == WHOLE_GPU:
            return tuple(fitting[: task.gpus])
        losses = worth_of(columns.workload).losses(share).numbers
        return (min(fitting, key=lambda gpu: losses[free[gpu]]),)
