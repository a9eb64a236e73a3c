"""Who made room on which node, and for whose departure it waits.

::

    no node ─▶ stake: victims told to leave, place kept ─▶ all gone: decided first ─▶ placed, claim dropped
                  └─▶ node gone, victim stays after all, task cancelled or placed elsewhere, or a more
                      important one needs the place: dropped
"""

from collections.abc import Iterable

from msgspec import Struct

from pilotage.engine.placement import Placement
from pilotage.engine.preemption import Room
from pilotage.engine.state import State
from pilotage.engine.task_table import TaskTable
from pilotage.engine.waiting import WaitingRoom
from pilotage.kernel.columns import Claim
from pilotage.model.events import BindFailed, Cure, Event, NodeRemoved, TaskFinished, TaskPlaced
from pilotage.model.task import Task


class Stake(Struct):
    """A claim on a node, and the tasks there that must be gone first."""

    claim: Claim
    node: str
    row: int
    waits_for: dict[str, None]


class StakeCheckpoint(Struct, frozen=True):
    """A claim as plain values; what it asks for follows from the task, which waits."""

    task_id: str
    node: str
    gpus: tuple[int, ...]
    waits_for: tuple[str, ...]


class Claims:
    """All claims of a state, by task; the columns know them by row."""

    def __init__(self, state: State, table: TaskTable, room: WaitingRoom) -> None:
        self._state = state
        self._table = table
        self._room = room
        self.stakes: dict[str, Stake] = {}
        self._waiting_for: dict[str, dict[str, None]] = {}
        """By task that is to leave, who waits for it."""

    def waits(self, task_id: str) -> bool:
        """Whether a task has a claim that still waits for others to leave."""
        stake = self.stakes.get(task_id)
        return stake is not None and bool(stake.waits_for)

    def stake(self, task: Task, room: Room, now: float) -> None:
        """Keep the place in ``room`` for ``task``; less important claims on that node go."""
        columns = self._state.columns
        for claim in columns.claims.get(room.row, ()):
            if claim.priority < task.priority:
                self._give_up(claim.task_id, now)
        for victim in room.victims:
            self._table.mark(victim, True)
        waits_for = [placement.task.id for placement in (*room.victims, *room.going)]
        self._enter(task, columns.names[room.row], room.gpus, waits_for)

    def _enter(self, task: Task, node: str, gpus: tuple[int, ...], waits_for: Iterable[str]) -> None:
        columns = self._state.columns
        row, claim = columns.row_of[node], Claim(task.id, task.priority, task.spec, gpus)
        stake = self.stakes[task.id] = Stake(claim, node, row, dict.fromkeys(waits_for))
        for task_id in stake.waits_for:
            self._waiting_for.setdefault(task_id, {})[task.id] = None
        columns.claims[row] = (*columns.claims.get(row, ()), claim)

    def checkpoint(self) -> tuple[StakeCheckpoint, ...]:
        """Return all that `restore` needs, in the order in which the claims were made."""
        return tuple(
            StakeCheckpoint(task_id, stake.node, stake.claim.gpus, tuple(stake.waits_for))
            for task_id, stake in self.stakes.items()
        )

    def restore(self, checkpoint: tuple[StakeCheckpoint, ...]) -> None:
        """Enter claims from a checkpoint; the tasks wait already."""
        for was in checkpoint:
            waiting = self._room.get(was.task_id)
            if waiting is not None:
                self._enter(waiting.task, was.node, was.gpus, was.waits_for)

    def drop(self, task_id: str, now: float) -> bool:
        """End a task's claim, if it has one: whoever was kept away may come."""
        stake = self.stakes.pop(task_id, None)
        if stake is None:
            return False
        for gone in stake.waits_for:
            self._no_longer(gone, task_id)
        claims = self._state.columns.claims
        left = tuple(claim for claim in claims.pop(stake.row) if claim.task_id != task_id)
        if left:
            claims[stake.row] = left
        self._room.cured(Cure.TASK_LEFT, now)
        return True

    def _give_up(self, task_id: str, now: float) -> None:
        """End the claim of a task that waits: it looks anew."""
        self.drop(task_id, now)
        self._room.wake(task_id, now)

    def _no_longer(self, gone: str, task_id: str) -> None:
        waiting = self._waiting_for[gone]
        del waiting[task_id]
        if not waiting:
            del self._waiting_for[gone]

    def follow(self, event: Event, now: float) -> None:
        """Draw the conclusions of what has just happened."""
        match event:
            case TaskFinished(task_id=task_id):
                self.drop(task_id, now)
                self._left(task_id)
            case TaskPlaced(task=task):
                self.drop(task.id, now)
            case BindFailed(task_id=task_id):
                self._left(task_id)
            case NodeRemoved(name=name):
                for task_id in [t for t, stake in self.stakes.items() if stake.node == name]:
                    self._give_up(task_id, now)

    def _left(self, task_id: str) -> None:
        """A task is off its node: who waited for it alone is decided next."""
        for waiting in self._waiting_for.pop(task_id, ()):
            waits_for = self.stakes[waiting].waits_for
            del waits_for[task_id]
            if not waits_for and waiting in self._room:
                self._room.hurry(waiting)

    def stays(self, placement: Placement, now: float) -> None:
        """A task could not be evicted: the claims that wait for it are given up."""
        self._table.mark(placement, False)
        for task_id in list(self._waiting_for.get(placement.task.id, ())):
            self._give_up(task_id, now)
