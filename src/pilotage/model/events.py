"""What happened outside: the only way in which anything changes. And what may cure a rejection."""

from enum import Flag, auto

from msgspec import Struct

from pilotage.model.gang import Gang
from pilotage.model.node import Node
from pilotage.model.queue import Queue
from pilotage.model.task import Task
from pilotage.model.workload import Workload


class Cure(Flag):
    """Kinds of change that may turn a filter's no into a yes."""

    NODE_ADDED = auto()
    CAPACITY = auto()
    """A node's capacity or GPUs changed."""
    LABELS = auto()
    TAINTS = auto()
    CORDON = auto()
    TASK_LEFT = auto()
    """A task left a node: amounts, GPU shares and ports are free again."""
    TASK_CAME = auto()
    """A task was put on a node: what asks for company may find it."""
    WORKLOAD = auto()
    """Another mix of tasks is expected."""
    TIME = auto()
    """Time passed."""
    QUEUE = auto()
    """What a queue uses fell, or its limit changed."""
    ANYTHING = NODE_ADDED | CAPACITY | LABELS | TAINTS | CORDON | TASK_LEFT | TASK_CAME | WORKLOAD
    """All that happens to nodes and tasks; not time, nor queues."""


class NodeAdded(Struct, frozen=True, tag=True):
    """A node joined the cluster."""

    node: Node


class NodeUpdated(Struct, frozen=True, tag=True):
    """A node changed; the new form replaces the old one, tasks on it stay."""

    node: Node


class NodeRemoved(Struct, frozen=True, tag=True):
    """A node is gone; the tasks on it go back to the waiting room."""

    name: str


class TaskSubmitted(Struct, frozen=True, tag=True):
    """A task wants a place."""

    task: Task


class TaskUngated(Struct, frozen=True, tag=True):
    """All gates of a waiting task are lifted."""

    task_id: str


class TaskPlaced(Struct, frozen=True, tag=True):
    """A task is known to run on a node already, placed by an earlier run or by somebody else."""

    task: Task
    node: str
    gpus: tuple[int, ...] = ()


class TaskFinished(Struct, frozen=True, tag=True):
    """A task ended or was cancelled, wherever it was."""

    task_id: str


class BindConfirmed(Struct, frozen=True, tag=True):
    """The outside carried out a bind."""

    task_id: str


class BindFailed(Struct, frozen=True, tag=True):
    """The outside refused a bind: the task is forgotten on its node and waits again."""

    task_id: str
    reason: str


class EvictFailed(Struct, frozen=True, tag=True):
    """The outside could not stop a task that was to be evicted: it stays, and whoever waits for it looks anew."""

    task_id: str
    reason: str


class WorkloadExpected(Struct, frozen=True, tag=True):
    """The mix of tasks to prepare for (fragmentation-aware policies read it)."""

    workload: Workload


class GangDeclared(Struct, frozen=True, tag=True):
    """There is such a gang, or what was declared under its name is now this. Members may come before or after."""

    gang: Gang


class GangRemoved(Struct, frozen=True, tag=True):
    """A gang without tasks is gone."""

    name: str


class QueueDeclared(Struct, frozen=True, tag=True):
    """There is such a queue, or what was declared under its name is now this."""

    queue: Queue


class QueueRemoved(Struct, frozen=True, tag=True):
    """A queue without tasks and without queues below it is gone."""

    name: str


Event = (
    NodeAdded
    | NodeUpdated
    | NodeRemoved
    | TaskSubmitted
    | TaskUngated
    | TaskPlaced
    | TaskFinished
    | BindConfirmed
    | BindFailed
    | EvictFailed
    | WorkloadExpected
    | GangDeclared
    | GangRemoved
    | QueueDeclared
    | QueueRemoved
)
