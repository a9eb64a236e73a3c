"""Tasks that a queue's limit holds back, in groups of one leaf and one demand: all of a group may go on, or none.

When a queue's use falls, only the first task of each group that its limits now leave room for goes on; the next one
follows when that one is decided. So a thousand waiting tasks cost no more than one, and yet none is forgotten: behind
every group that could go on stands one of its kind among the active tasks.
"""

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from typing import Any

from pilotage.engine.queues import QueueTree
from pilotage.model.amounts import Amounts
from pilotage.model.task import Task

Group = tuple[str, Amounts]
"""A leaf and a demand."""


class Held:
    """Groups of tasks by the queue whose limit holds them back."""

    def __init__(self, queues: QueueTree) -> None:
        self._queues = queues
        self._group_of: dict[str, Group] = {}
        self._heaps: dict[Group, list[tuple[Any, int, str]]] = {}
        self._blocker: dict[Group, str] = {}
        self._blocked: dict[str, dict[Group, None]] = {}

    def __len__(self) -> int:
        return len(self._group_of)

    def __iter__(self) -> Iterator[str]:
        return iter(self._group_of)

    def put(self, key: Any, seq: int, task: Task) -> bool:
        """Hold ``task`` back, in the order of (``key``, ``seq``); return whether there is a limit that does so."""
        group = (task.queue, task.spec.demand)
        if self._file(group) is None:
            return False
        self._group_of[task.id] = group
        heappush(self._heaps.setdefault(group, []), (key, seq, task.id))
        return True

    def blocker_of(self, task_id: str) -> str | None:
        """Return the queue whose limit holds a task back, None if none does."""
        group = self._group_of.get(task_id)
        return None if group is None else self._blocker[group]

    def restore(self, key: Any, seq: int, task: Task, blocker: str) -> None:
        """Hold a task back as another one of these did, under the limit of queue ``blocker``."""
        group = (task.queue, task.spec.demand)
        self._blocker[group] = blocker
        self._blocked.setdefault(blocker, {})[group] = None
        self._group_of[task.id] = group
        heappush(self._heaps.setdefault(group, []), (key, seq, task.id))

    def discard(self, task_id: str) -> bool:
        """Forget a task; return whether it was held back."""
        group = self._group_of.pop(task_id, None)
        if group is None:
            return False
        self._prune(group)
        return True

    def next_of(self, task: Task) -> str | None:
        """Take out the first task of the group of ``task`` if the limits leave room for it, and return its id."""
        group = (task.queue, task.spec.demand)
        return self._take(group) if group in self._heaps and self._file(group) is None else None

    def released(self, queues: Iterable[str]) -> list[str]:
        """Take out the first task of each group that ``queues`` held back and that may go on now."""
        groups = [group for name in queues for group in self._blocked.get(name, ())]
        return [self._take(group) for group in groups if self._file(group) is None]

    def _file(self, group: Group) -> str | None:
        """Note under whose limit a group waits, if there is one, and return that queue."""
        over = self._queues.over_limit(*group)
        if over is None:
            return None
        before = self._blocker.get(group)
        if before != over[0]:
            self._unfile(group)
            self._blocker[group] = over[0]
            self._blocked.setdefault(over[0], {})[group] = None
        return over[0]

    def _unfile(self, group: Group) -> None:
        blocker = self._blocker.pop(group, None)
        if blocker is not None:
            groups = self._blocked[blocker]
            del groups[group]
            if not groups:
                del self._blocked[blocker]

    def _take(self, group: Group) -> str:
        task_id = heappop(self._heaps[group])[2]
        del self._group_of[task_id]
        self._prune(group)
        return task_id

    def _prune(self, group: Group) -> None:
        """Drop entries of tasks that are gone from the front, and the group if nothing is left."""
        heap = self._heaps[group]
        while heap and self._group_of.get(heap[0][2]) != group:
            heappop(heap)
        if not heap:
            del self._heaps[group]
            self._unfile(group)
