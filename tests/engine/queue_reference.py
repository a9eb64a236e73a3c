"""Queues as the reference sees them: plain dicts, everything added up anew at each question."""

from dataclasses import dataclass, field
from fractions import Fraction

from pilotage.model.queue import Queue
from pilotage.model.task import Task


@dataclass
class Queues:
    """Declared queues, and under whose limit each group of held tasks was last seen to wait."""

    declared: dict[str, Queue] = field(default_factory=dict)
    blocker: dict[tuple, str] = field(default_factory=dict)

    def path(self, name: str) -> list[str]:
        path = []
        while name:
            path.append(name)
            name = self.declared[name].parent
        return path

    def leaves(self) -> list[str]:
        parents = {queue.parent for queue in self.declared.values()}
        return ["", *(name for name in self.declared if name not in parents)]

    def used(self, name: str, running: list[Task], resource: str) -> int:
        inside = [t for t in running if (name in self.path(t.queue) if name else not t.queue)]
        return sum(task.demand.get(resource, 0) for task in inside)

    def over_limit(self, task: Task, running: list[Task]) -> tuple[str, str] | None:
        for name in self.path(task.queue):
            for resource, most in sorted(self.declared[name].limit.items()):
                asked = task.demand.get(resource, 0)
                if asked > 0 and self.used(name, running, resource) + asked > most:
                    return name, resource
        return None

    def pick(self, ready: set[str], running: list[Task], capacity: dict[str, int]) -> str:
        """Walk down from the top; ``ready`` leaves have a task that can be decided."""

        def has_ready(name: str) -> bool:
            return name in ready or any(name in self.path(leaf) for leaf in ready)

        def turn(name: str) -> tuple:
            queue = self.declared.get(name, Queue(name="-"))
            used = {r: self.used(name, running, r) for r in {*capacity, *queue.quota}}
            owed = [Fraction(used[r], amount) for r, amount in queue.quota.items() if amount > 0]
            if owed and all(part < 1 for part in owed):
                return (-queue.priority, 0, max(owed), name)
            over = [
                Fraction(max(0, used[r] - queue.quota.get(r, 0)), queue.weight * total)
                for r, total in capacity.items()
                if total > 0
            ]
            return (-queue.priority, 1, max(over, default=Fraction(0)), name)

        level = ["", *(name for name, queue in self.declared.items() if not queue.parent)]
        while True:
            name = min((name for name in level if has_ready(name)), key=turn)
            level = [child for child, queue in self.declared.items() if queue.parent == name] if name else []
            if not level:
                return name
