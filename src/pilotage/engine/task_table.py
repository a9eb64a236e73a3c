"""The tasks on all nodes as columns, one slot per task: what a search for victims reads at once."""

import numpy as np

from pilotage.engine.placement import Placement
from pilotage.kernel.arrays import BoolArray, IntArray, longer

FREE = -1
"""Row of a slot that holds no task."""


class TaskTable:
    """Slots of tasks: ``row``, ``priority``, ``seq`` (order of placing), ``going`` [slots], ``demand`` [R, slots].

    ``going`` says that the task was told to leave. ``gpus`` is the number of GPUs that it holds, ``share`` what it
    takes of each in thousandths, ``gpu`` the first of them. A slot that a task left is used again.
    """

    def __init__(self) -> None:
        self.placements: list[Placement | None] = []
        self.row: IntArray = np.zeros(0, np.int64)
        self.priority: IntArray = np.zeros(0, np.int64)
        self.seq: IntArray = np.zeros(0, np.int64)
        self.demand: IntArray = np.zeros((0, 0), np.int64)
        self.going: BoolArray = np.zeros(0, np.bool_)
        self.gpus: IntArray = np.zeros(0, np.int64)
        self.share: IntArray = np.zeros(0, np.int64)
        self.gpu: IntArray = np.zeros(0, np.int64)
        self._free: list[int] = []

    def __len__(self) -> int:
        """Slots that were ever used."""
        return len(self.placements)

    def add(self, placement: Placement, demand: IntArray) -> None:
        """Give a task on a node a slot; ``demand`` int64[R]."""
        if self._free:
            slot = self._free.pop()
            self.placements[slot] = placement
        else:
            slot = len(self.placements)
            self.placements.append(placement)
        self._make_room(slot + 1, len(demand))
        placement.slot = slot
        task = placement.task
        self.row[slot], self.priority[slot], self.seq[slot] = placement.row, task.priority, placement.seq
        self.demand[: len(demand), slot] = demand
        self.demand[len(demand) :, slot] = 0
        self.going[slot], self.gpus[slot] = placement.going, len(placement.gpus)
        if placement.gpus:
            self.gpu[slot], self.share[slot] = placement.gpus[0], task.spec.gpu_share

    def drop(self, placement: Placement) -> None:
        """Free the slot of a task that leaves its node."""
        slot = placement.slot
        self.placements[slot] = None
        self.row[slot] = FREE
        self._free.append(slot)

    def mark(self, placement: Placement, going: bool) -> None:
        """Note that a task was told to leave, or that it stays after all."""
        placement.going = going
        self.going[placement.slot] = going

    def _make_room(self, slots: int, resources: int) -> None:
        if slots > len(self.row):
            length = max(64, 2 * len(self.row))
            for name in ("row", "priority", "seq", "going", "gpus", "share", "gpu"):
                setattr(self, name, longer(getattr(self, name), length, axis=0))
            self.demand = longer(self.demand, length, axis=1)
        if resources > len(self.demand):
            self.demand = longer(self.demand, resources, axis=0)
