"""The tree of queues: what each uses, whose turn it is, and who would pass a limit.

Tasks wait in the leaves. Which leaf goes next is found by walking down from the top and comparing siblings afresh at
each step, since every placement moves their shares; what each uses is kept up to date by the state's own verbs, so a
rollback takes it back too. Tasks without a queue are in the queue called "", at the top, of weight 1 and no limit.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from msgspec import Struct

from pilotage.model.amounts import Amounts
from pilotage.model.errors import InvalidInput
from pilotage.model.node import Node
from pilotage.model.queue import Queue
from pilotage.model.task import Task

NO_QUEUE = ""
"""Name of the queue of tasks that name none."""


class Standing(Struct):
    """What a queue's turn rests on: what was declared, what its subtree uses, what the cluster has; in base units."""

    priority: int
    weight: int
    quota: Amounts
    used: Amounts
    capacity: Amounts


Rank = Callable[[Standing], Any]
"""Gives a queue its place among its siblings; the smallest has the next turn, equal ones go by name."""


def by_share(standing: Standing) -> tuple[int, bool, Fraction]:
    """Rank: higher priority first, then those within their quota, then the smaller dominant share. Exact.

    A queue is within its quota while it uses less than it is owed of everything that its quota names; its share is
    then the largest used / owed. Otherwise it is the largest (used - owed) / (weight x capacity of the cluster).
    """
    quota, used = standing.quota, standing.used
    parts = [Fraction(used.get(name, 0), owed) for name, owed in quota.items() if owed]
    within = bool(parts) and max(parts) < 1
    if not within:
        parts = [
            Fraction(max(0, amount - quota.get(name, 0)), standing.weight * standing.capacity[name])
            for name, amount in used.items()
            if standing.capacity.get(name, 0)
        ]
    return (-standing.priority, not within, max(parts, default=Fraction(0)))


class QueueCheckpoint(Struct, frozen=True):
    """What was declared, and which queues fell; what each uses follows from the tasks."""

    declared: tuple[Queue, ...]
    fallen: tuple[str, ...]


class QueueTree:
    """Declared queues, what each uses with all below it, and their turns. Without any it keeps count of nothing."""

    def __init__(self, rank: Rank = by_share) -> None:
        self.queues: dict[str, Queue] = {}
        self.declared = False
        """Whether there is any queue."""
        self.used: dict[str, dict[str, int]] = {}
        """By queue, what the placed tasks of its subtree use, in base units."""
        self.children: dict[str, list[str]] = {}
        self.top: list[str] = []
        self.fallen: dict[str, None] = {}
        """Queues whose use fell, or whose place or limit changed, since somebody last looked and cleared this."""
        self._path: dict[str, tuple[str, ...]] = {}
        self._rank = rank
        self._turns: dict[str, tuple[Any, str]] = {}
        self._capacity: dict[str, int] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.queues or name == NO_QUEUE

    def path(self, name: str) -> tuple[str, ...]:
        """Return a queue and all above it, from the leaf up."""
        return self._path[name]

    # -- declarations --------------------------------------------------------------------------------------------

    def check_declared(self, queue: Queue, busy: set[str]) -> None:
        """Raise `InvalidInput` if ``queue`` can not take its place; ``busy`` queues have tasks."""
        parent = queue.parent
        if parent and parent not in self.queues and parent != queue.name:
            raise InvalidInput("queue.parent", f"no queue is called {parent!r}")
        above = parent
        while above:
            if above == queue.name:
                raise InvalidInput("queue.parent", f"{parent!r} is below {queue.name!r} itself: a cycle")
            above = self.queues[above].parent
        if parent in busy and parent != NO_QUEUE:
            raise InvalidInput("queue.parent", f"{parent!r} has tasks of its own; only a queue without can have others")

    def check_removed(self, name: str, busy: set[str]) -> None:
        """Raise `InvalidInput` if the queue called ``name`` can not go; ``busy`` queues have tasks."""
        if name not in self.queues:
            raise InvalidInput("queue.name", f"no queue is called {name!r}")
        if self.children[name]:
            raise InvalidInput("queue.name", f"{name!r} has queues below it: {', '.join(self.children[name])}")
        if name in busy:
            raise InvalidInput("queue.name", f"{name!r} still has tasks")

    def check_task(self, task: Task) -> None:
        """Raise `InvalidInput` if ``task`` is in no leaf."""
        if task.queue not in self:
            raise InvalidInput("queue", f"task {task.id!r} names queue {task.queue!r}, which nobody declared")
        if self.children.get(task.queue):
            raise InvalidInput("queue", f"queue {task.queue!r} has queues below it: tasks go into one of those")

    def put(self, queue: Queue) -> None:
        """Declare ``queue``, or replace what was declared under its name; it must have been checked."""
        self.queues[queue.name] = queue
        self._arrange()

    def drop(self, name: str) -> None:
        """Remove a queue that has neither tasks nor queues below it."""
        del self.queues[name], self.used[name]
        if not self.queues:
            self.used.clear()  # nobody counts from now on
        self._arrange()

    def checkpoint(self) -> QueueCheckpoint:
        """Return all that `restore` needs."""
        return QueueCheckpoint(tuple(self.queues.values()), tuple(self.fallen))

    def restore(self, checkpoint: QueueCheckpoint) -> None:
        """Fill this tree, which must be new, before any task is counted."""
        if checkpoint.declared:
            self.queues = {queue.name: queue for queue in checkpoint.declared}
            self._arrange()

    def _arrange(self) -> None:
        """Work out the shape anew, and what inner queues use from what the leaves use."""
        self.declared = bool(self.queues)
        own = {name: used for name, used in self.used.items() if not self.children.get(name)}
        names = sorted(self.queues)
        self.children = {name: [child for child in names if self.queues[child].parent == name] for name in names}
        self.children[NO_QUEUE] = []
        self.top = [NO_QUEUE, *(name for name in names if not self.queues[name].parent)]
        self._path = {NO_QUEUE: (NO_QUEUE,)}
        self.used = {name: {} for name in (NO_QUEUE, *names)}
        for name in names:
            path = [name]
            while above := self.queues[path[-1]].parent:
                path.append(above)
            self._path[name] = tuple(path)
        for name, used in own.items():
            self._add(name, used, 1)
        self._turns.clear()
        self.fallen = dict.fromkeys(self._path)

    # -- use -----------------------------------------------------------------------------------------------------

    def count(self, task: Task, sign: int) -> None:
        """Note that ``task`` took (1) or gave back (-1) what it asks for; the inverse undoes it exactly."""
        self._add(task.queue, task.spec.demand, sign)
        if sign < 0:
            self.fallen.update(dict.fromkeys(self._path[task.queue]))

    def _add(self, leaf: str, amounts: Amounts, sign: int) -> None:
        for name in self._path[leaf]:
            used = self.used[name]
            for resource, amount in amounts.items():
                used[resource] = used.get(resource, 0) + sign * amount
            self._turns.pop(name, None)

    def over_limit(self, leaf: str, demand: Amounts) -> tuple[str, str] | None:
        """Return the first (queue, resource), from the leaf up, whose limit ``demand`` would pass; None if none."""
        for name in self._path[leaf]:
            if name:
                used = self.used[name]
                for resource, most in self.queues[name].limit.items():
                    amount = demand.get(resource, 0)
                    if amount and used.get(resource, 0) + amount > most:
                        return name, resource
        return None

    # -- turns ---------------------------------------------------------------------------------------------------

    def count_node(self, node: Node, sign: int) -> None:
        """Note that ``node`` joined (1) or left (-1): shares are parts of what the whole cluster has."""
        for resource, amount in node.capacity.items():
            self._capacity[resource] = self._capacity.get(resource, 0) + sign * amount
        self._turns.clear()

    def turn_of(self, name: str) -> tuple[Any, str]:
        """Return the place of a queue among its siblings; worked out again only after its use changed."""
        turn = self._turns.get(name)
        if turn is None:
            queue = self.queues.get(name)
            declared = (queue.priority, queue.weight, queue.quota) if queue else (0, 1, {})
            turn = self._turns[name] = (self._rank(Standing(*declared, self.used[name], self._capacity)), name)
        return turn


def pick_queue(tree: QueueTree, ready: Mapping[str, int]) -> str:
    """Return the leaf whose first task goes next: from the top down the sibling whose turn it is, of those with any.

    ``ready``: by queue, the number of tasks in its subtree that can be decided now; one at least is.
    """
    level = tree.top
    while True:
        name = min([name for name in level if ready.get(name)], key=tree.turn_of)
        level = tree.children[name]
        if not level:
            return name
