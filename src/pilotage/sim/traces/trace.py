"""A trace: the nodes of a cluster and the tasks that come to it."""

from math import inf

from msgspec import Struct

from pilotage.model.node import Node
from pilotage.model.task import Task

FOREVER_S = inf
"""Duration of a task that never leaves."""


class Trace(Struct, frozen=True):
    """What a simulation plays.

    A timed trace says when each task arrives (``task.arrival_s``) and how long it runs once placed
    (``durations_s``, one per task, in seconds, `FOREVER_S` if it never leaves). In an untimed one tasks come one by
    one, in an order of the protocol's choice, and stay. Tasks with equal needs share one spec object.
    """

    name: str
    nodes: tuple[Node, ...]
    tasks: tuple[Task, ...]
    durations_s: tuple[float, ...]
    timed: bool

    @property
    def gpu_capacity(self) -> int:
        """GPUs of all nodes together, in thousandths."""
        return sum(node.capacity["gpu"] for node in self.nodes)
