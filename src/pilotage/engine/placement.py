"""A task on a node."""

from msgspec import Struct

from pilotage.model.task import Task


class Placement(Struct):
    """A task on a node: the row, the GPUs it holds, whether the outside has confirmed it, and the order of placing.

    ``going``: it was told to leave. ``slot``: its place in the table of tasks, where there is one.
    """

    task: Task
    row: int
    gpus: tuple[int, ...]
    bound: bool
    seq: int
    going: bool = False
    slot: int = -1
