"""A trace: the nodes of a cluster and the tasks that come to it."""

from math import inf
from typing import NamedTuple

from msgspec import Struct

from pilotage.model.node import Node
from pilotage.model.task import Task
from pilotage.model.workload import Workload

FOREVER_S = inf
"""Duration of a task that never leaves."""


class TaskList(NamedTuple):
    """What a reader finds in a task list: tasks, how long each runs in seconds, and the mix to prepare for."""

    tasks: list[Task]
    durations_s: list[float]
    workload: Workload


class Trace(Struct, frozen=True):
    """What a simulation plays.

    A timed trace says when each task arrives (``task.arrival_s``) and how long it runs once placed
    (``durations_s``, one per task, in seconds, `FOREVER_S` if it never leaves). In an untimed one tasks come one by
    one, in an order of the protocol's choice, and stay. Tasks with equal needs share one spec object. ``workload`` is
    the mix of tasks that a cluster with this trace prepares for.
    """

    name: str
    nodes: tuple[Node, ...]
    tasks: tuple[Task, ...]
    durations_s: tuple[float, ...]
    timed: bool
    workload: Workload

    @property
    def gpu_capacity(self) -> int:
        """GPUs of all nodes together, in thousandths."""
        return sum(node.capacity["gpu"] for node in self.nodes)
