"""What the outside must do, and the record of each decision."""

from msgspec import Struct


class Decision(Struct, frozen=True, kw_only=True, gc=False):
    """The record of one decision, of fixed size; everything else can be recomputed from the state version.

    ``node`` is empty for a rejection, and then ``rejections`` holds (filter, reason, number of nodes) in the order
    of the filters. ``kind`` is the number of the task's class: the set of fragments it was decided by.
    """

    seq: int
    now: float
    task_id: str
    version: int
    kind: int
    policy: str
    tie: str
    feasible: int
    node: str = ""
    gpus: tuple[int, ...] = ()
    score: float = 0
    rejections: tuple[tuple[str, str, int], ...] = ()


class Bind(Struct, frozen=True, tag=True, gc=False):
    """Run the task on the node, on these of its GPUs (numbers from 0)."""

    task_id: str
    node: str
    gpus: tuple[int, ...]
    decision: Decision


class Reject(Struct, frozen=True, tag=True, gc=False):
    """No node will do now. ``final``: the task is dropped, otherwise it waits for a cure."""

    task_id: str
    final: bool
    decision: Decision


class Displaced(Struct, frozen=True, tag=True, gc=False):
    """The task lost its node and waits again."""

    task_id: str
    node: str
    reason: str


class Nominated(Struct, frozen=True, tag=True, gc=False):
    """The place of the task on the node is kept for it until the tasks it waits for are gone; then it is decided."""

    task_id: str
    node: str
    waits_for: tuple[str, ...]


class Evict(Struct, frozen=True, tag=True, gc=False):
    """Stop the task on the node: task ``by`` needs the room. It counts until it is reported finished."""

    task_id: str
    node: str
    by: str
    reason: str


Effect = Bind | Reject | Displaced | Nominated | Evict
