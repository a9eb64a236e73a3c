"""The waiting room: where every task is that has no place yet.

::

    submit ──▶ gated ──ungate──▶ active ──pop──▶ (decided)
                                   ▲  ▲              │ rejected
                    backoff over   │  │              ▼
                                backoff ◀──cured── unschedulable

A rejected task sleeps until something happens that can cure it; woken, it first sits out the rest of its backoff,
which doubles with every rejection. A task that only its queue's limit holds back sits out nothing. A task is in
exactly one place; it leaves the room only by `pop` or `discard`.

The order has two levels: the tree of queues says which leaf goes next, the leaf's line which of its tasks.
"""

from collections import deque
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from typing import Any, Literal

from msgspec import Struct

from pilotage.engine.held import Held
from pilotage.engine.lineup import Lineup
from pilotage.engine.queues import NO_QUEUE, QueueTree, pick_queue
from pilotage.model.errors import InvalidInput
from pilotage.model.events import Cure
from pilotage.model.task import Task

Place = Literal["active", "backoff", "unschedulable", "gated"]

Entry = tuple[Any, int, int, str]
"""Key, number of submission, ticket and id of a task: its place in an order."""


class Waiting(Struct):
    """A task in the room. ``seq``: order of submission. ``ticket`` changes with each move: old heap entries show."""

    task: Task
    key: Any
    seq: int
    place: Place
    attempts: int = 0
    rejected_at: float = 0.0
    cures: Cure = Cure.ANYTHING
    ticket: int = 0


class WaitingCheckpoint(Struct, frozen=True):
    """A waiting task as plain values; its key, its ticket and the end of its backoff follow from them.

    ``held_by`` is the queue whose limit holds it back, if one does.
    """

    task: Task
    seq: int
    place: Place
    attempts: int
    rejected_at: float
    cures: int
    held_by: str | None


class RoomCheckpoint(Struct, frozen=True):
    """Everybody in the room, how many came so far, and who goes before all others, in that order."""

    tasks: tuple[WaitingCheckpoint, ...]
    submitted: int
    hurried: tuple[str, ...] = ()


class Backoff(Struct, frozen=True):
    """How long a task sits out after its n-th rejection: initial x 2^(n - 1), at most ``longest_s`` seconds."""

    initial_s: float = 1.0
    longest_s: float = 10.0

    def __post_init__(self) -> None:
        if not 0 <= self.initial_s <= self.longest_s < float("inf"):
            raise InvalidInput("backoff", f"needs 0 <= initial {self.initial_s} <= longest {self.longest_s}")

    def after(self, attempts: int) -> float:
        """Return the seconds to sit out after ``attempts`` rejections."""
        return min(self.longest_s, self.initial_s * 2.0 ** min(attempts - 1, 60))


class WaitingRoom:
    """Four places for waiting tasks, with the order of the queue in one of them."""

    def __init__(self, order: Callable[[Task], Any], backoff: Backoff, queues: QueueTree) -> None:
        self._order = order
        self._queues = queues
        self._backoff = backoff
        self._tasks: dict[str, Waiting] = {}
        self._active: dict[str, Lineup[Entry]] = {}
        """By leaf of the tree of queues."""
        self._ready: dict[str, int] = {}
        """By queue, the number of active tasks in its subtree, if there are queues."""
        self._held = Held(queues)
        self._hurried: deque[Entry] = deque()
        """Entries of active tasks that go before all others."""
        self._sitting_out: list[tuple[float, int, int, str]] = []
        self._asleep: dict[Cure, dict[str, None]] = {}
        self._submitted = 0
        self.active = 0
        """Number of tasks that can be popped now."""

    def __len__(self) -> int:
        return len(self._tasks)

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._tasks

    def __iter__(self) -> Iterator[Waiting]:
        return iter(self._tasks.values())

    def get(self, task_id: str) -> Waiting | None:
        """Return the task's entry, or None if it does not wait here."""
        return self._tasks.get(task_id)

    @property
    def next_release_s(self) -> float | None:
        """When the next backoff ends, or None if no task sits one out."""
        while self._sitting_out and not self._current(self._sitting_out[0], "backoff"):
            heappop(self._sitting_out)
        return self._sitting_out[0][0] if self._sitting_out else None

    def submit(self, task: Task) -> None:
        """Take a new task in: gated if it has gates, else active."""
        self._submitted += 1
        waiting = Waiting(task, self._order(task), self._submitted, "gated")
        self._tasks[task.id] = waiting
        if not task.gates:
            self._activate(waiting)

    def ungate(self, task_id: str) -> None:
        """Make a gated task active; nothing happens to one that is past its gates."""
        waiting = self._tasks[task_id]
        if waiting.place == "gated":
            self._activate(waiting)

    def pop(self) -> Waiting:
        """Take out the active task that is first in the order of the queue (equal keys: submitted first)."""
        waiting = None
        while self._hurried and waiting is None:
            waiting = self._current(self._hurried.popleft(), "active")
        if waiting is None:
            line = self._active[pick_queue(self._queues, self._ready) if self._queues.declared else NO_QUEUE]
            while waiting is None:
                waiting = self._current(line.pop(), "active")
        del self._tasks[waiting.task.id]
        self._left_active(waiting)
        return waiting

    def hurry(self, task_id: str) -> None:
        """Let a waiting task be popped next, after those that were hurried before it; not if it is gated."""
        waiting = self._tasks[task_id]
        if waiting.place in ("backoff", "unschedulable"):
            self._leave(waiting)
            self._hurried.append(self._activate(waiting))
        elif waiting.place == "active":
            self._hurried.append((waiting.key, waiting.seq, waiting.ticket, task_id))

    def wake(self, task_id: str, now: float) -> None:
        """Wake a task if it sleeps; it sits out the rest of its backoff."""
        waiting = self._tasks[task_id]
        if waiting.place == "unschedulable":
            self._leave(waiting)
            self._wake(waiting, now)

    def take(self, task_id: str) -> Waiting:
        """Take out a certain task, wherever in the room it is."""
        waiting = self._tasks.pop(task_id)
        self._leave(waiting)
        return waiting

    def hold(self, waiting: Waiting) -> None:
        """Put a popped task behind the gates, until it is ungated or taken."""
        self._tasks[waiting.task.id] = waiting
        self._move(waiting, "gated")

    def put_back(self, waiting: Waiting) -> None:
        """Return a popped task to the place it was popped from, as if it had never left."""
        self._tasks[waiting.task.id] = waiting
        self._activate(waiting)

    def reject(self, waiting: Waiting, cures: Cure, now: float) -> None:
        """Put a popped task to sleep until something of ``cures`` happens."""
        waiting.cures = cures
        self._tasks[waiting.task.id] = waiting
        self._move(waiting, "unschedulable")
        if cures == Cure.QUEUE and self._held.put(waiting.key, waiting.seq, waiting.task):
            return
        waiting.attempts += 1
        waiting.rejected_at = now
        self._asleep.setdefault(cures, {})[waiting.task.id] = None

    def retry(self, task: Task, attempts: int, now: float) -> None:
        """Take in a task that lost its place; after a failure (``attempts`` > 0) it sits out a backoff first."""
        self._submitted += 1
        waiting = Waiting(task, self._order(task), self._submitted, "unschedulable", attempts, now)
        self._tasks[task.id] = waiting
        self._wake(waiting, now)

    def cured(self, cure: Cure, now: float) -> int:
        """Wake the sleeping tasks that ``cure`` may help; return how many were looked at."""
        if not self._asleep:
            return 0
        woken = [task_id for cures in [c for c in self._asleep if c & cure] for task_id in self._asleep.pop(cures)]
        for task_id in woken:
            self._wake(self._tasks[task_id], now)
        return len(woken)

    def queues_moved(self, now: float) -> None:
        """Let go on whom the queues that fell held back; tell them so."""
        for task_id in self._held.released(self._queues.fallen):
            self._activate(self._tasks[task_id])
        self._queues.fallen.clear()
        self.cured(Cure.QUEUE, now)

    def queues_arranged(self, now: float) -> None:
        """Follow a change of the tree itself."""
        self._ready = {}
        for waiting in self:
            if waiting.place == "active" and self._queues.declared:
                self._count_ready(waiting, 1)
        self.queues_moved(now)

    def queues_in_use(self) -> set[str]:
        """Return the queues of all tasks in the room."""
        return {waiting.task.queue for waiting in self}

    def release(self, now: float) -> None:
        """Make active every task whose backoff is over."""
        while self._sitting_out and self._sitting_out[0][0] <= now:
            entry = heappop(self._sitting_out)
            if self._current(entry, "backoff"):
                self._activate(self._tasks[entry[3]])

    def discard(self, task_id: str) -> bool:
        """Take a task out for good; return whether it was here."""
        waiting = self._tasks.pop(task_id, None)
        if waiting is None:
            return False
        self._leave(waiting)
        return True

    def lost(self) -> list[str]:
        """Return the tasks that their place does not list, so that they could never leave it: there are none."""
        listed: dict[Place, set[str]] = {
            "active": {e[3] for line in self._active.values() for e in line if self._current(e, "active")},
            "backoff": {entry[3] for entry in self._sitting_out if self._current(entry, "backoff")},
            "unschedulable": {*self._held, *(task_id for asleep in self._asleep.values() for task_id in asleep)},
            "gated": {waiting.task.id for waiting in self if waiting.place == "gated"},
        }
        return [waiting.task.id for waiting in self if waiting.task.id not in listed[waiting.place]]

    def checkpoint(self) -> RoomCheckpoint:
        """Return all that `restore` needs to make a room that does the same from here on."""
        tasks = tuple(
            WaitingCheckpoint(
                w.task, w.seq, w.place, w.attempts, w.rejected_at, w.cures.value, self._held.blocker_of(w.task.id)
            )
            for w in self
        )
        hurried = [entry[3] for entry in self._hurried if self._current(entry, "active")]
        return RoomCheckpoint(tasks, self._submitted, tuple(dict.fromkeys(hurried)))

    def restore(self, checkpoint: RoomCheckpoint) -> None:
        """Fill this room, which must be new, from a checkpoint; the queues are there already."""
        self._submitted = checkpoint.submitted
        for was in checkpoint.tasks:
            key = self._order(was.task)
            cures = Cure(was.cures)
            waiting = Waiting(was.task, key, was.seq, was.place, was.attempts, was.rejected_at, cures)
            self._tasks[was.task.id] = waiting
            if was.place == "active":
                self._activate(waiting)
            elif was.place == "backoff":
                self._sit_out(waiting)
            elif was.held_by is not None:
                self._held.restore(key, was.seq, was.task, was.held_by)
            elif was.place == "unschedulable":
                self._asleep.setdefault(cures, {})[was.task.id] = None
        for task_id in checkpoint.hurried:
            self.hurry(task_id)

    def _wake(self, waiting: Waiting, now: float) -> None:
        if not waiting.attempts or self._due(waiting) <= now:
            self._activate(waiting)
        else:
            self._sit_out(waiting)

    def _due(self, waiting: Waiting) -> float:
        return waiting.rejected_at + self._backoff.after(waiting.attempts)

    def _sit_out(self, waiting: Waiting) -> None:
        self._move(waiting, "backoff")
        heappush(self._sitting_out, (self._due(waiting), waiting.seq, waiting.ticket, waiting.task.id))

    def _activate(self, waiting: Waiting) -> Entry:
        self._move(waiting, "active")
        self.active += 1
        if self._queues.declared:
            self._count_ready(waiting, 1)
        entry = (waiting.key, waiting.seq, waiting.ticket, waiting.task.id)
        line = self._active.get(waiting.task.queue)
        if line is None:
            line = self._active[waiting.task.queue] = Lineup()
        line.push(entry)
        return entry

    def _left_active(self, waiting: Waiting) -> None:
        self.active -= 1
        if self._queues.declared:
            self._count_ready(waiting, -1)
        if self._held:
            follows = self._held.next_of(waiting.task)
            if follows is not None:
                self._activate(self._tasks[follows])

    def _count_ready(self, waiting: Waiting, sign: int) -> None:
        for name in self._queues.path(waiting.task.queue):
            self._ready[name] = self._ready.get(name, 0) + sign

    def _move(self, waiting: Waiting, place: Place) -> None:
        waiting.place = place
        waiting.ticket += 1

    def _leave(self, waiting: Waiting) -> None:
        if waiting.place == "active":
            self._left_active(waiting)
        elif waiting.place == "unschedulable" and not self._held.discard(waiting.task.id):
            asleep = self._asleep[waiting.cures]
            del asleep[waiting.task.id]
            if not asleep:
                del self._asleep[waiting.cures]

    def _current(self, entry: Entry, place: Place) -> Waiting | None:
        """Return the task of an entry if it still is where the entry says."""
        _, seq, ticket, task_id = entry
        waiting = self._tasks.get(task_id)
        if waiting is None or waiting.ticket != ticket or waiting.seq != seq or waiting.place != place:
            return None
        return waiting
