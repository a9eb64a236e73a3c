"""Gangs: who belongs to which, how many are where, and whether enough are there to be tried together.

::

    member submitted ─▶ popped too early: held ─▶ enough are there ─▶ core tried in one transaction ─▶ all placed
                                                                          └─▶ one finds no node: none placed
"""

from collections.abc import Collection, Iterable

from msgspec import Struct, field

from pilotage.model.errors import InvalidInput
from pilotage.model.gang import Gang
from pilotage.model.task import Task


class Members(Struct):
    """The tasks of one gang by where they are; ``finished``: by subgroup, how many have ended."""

    waiting: dict[str, Task] = field(default_factory=dict)
    held: dict[str, None] = field(default_factory=dict)
    """Of the waiting ones, those that were popped before enough were there."""
    placed: dict[str, Task] = field(default_factory=dict)
    leaving: dict[str, Task] = field(default_factory=dict)
    """Placed, but told to go since the gang fell below its minimum; they count no more."""
    finished: dict[str, int] = field(default_factory=dict)
    outside: bool = False
    """Whether some may have a place without the minimum: others placed them, or the minimum was raised since."""


class GangsCheckpoint(Struct, frozen=True):
    """All gangs and their members as plain values."""

    gangs: tuple[Gang, ...]
    members: tuple[tuple[str, Members], ...]


class Gangs:
    """All gangs that were declared or that a task has named."""

    def __init__(self) -> None:
        self.declared: dict[str, Gang] = {}
        self.members: dict[str, Members] = {}

    def declare(self, gang: Gang) -> list[str]:
        """Take note of a gang, or of its new minimum; return the members that were held until now."""
        of = self.members.setdefault(gang.name, Members())
        for task in (*of.waiting.values(), *of.placed.values()):
            _check_subgroup(gang, task)
        self.declared[gang.name] = gang
        of.outside = of.outside or (bool(of.placed) and not self.stands(gang.name))
        return self.let_go(gang.name)

    def remove(self, name: str) -> None:
        """Forget a gang without members; raises `InvalidInput` where there are some."""
        if name not in self.declared:
            raise InvalidInput("gang", f"no gang is called {name!r}")
        of = self.members[name]
        there = len(of.waiting) + len(of.placed) + len(of.leaving)
        if there:
            raise InvalidInput("gang", f"gang {name!r} still has {there} tasks")
        del self.declared[name]
        del self.members[name]

    def check(self, task: Task) -> None:
        """Raise `InvalidInput` where ``task`` names a subgroup that its gang does not have."""
        gang = self.declared.get(task.gang)
        if gang is not None:
            _check_subgroup(gang, task)

    def waits(self, task: Task) -> None:
        """Note that a member is in the waiting room."""
        of = self.members.setdefault(task.gang, Members())
        of.placed.pop(task.id, None)
        of.leaving.pop(task.id, None)
        of.waiting[task.id] = task

    def hold(self, task: Task) -> None:
        """Note that a member was popped before enough were there."""
        self.members[task.gang].held[task.id] = None

    def lost(self, task: Task, *, waits: bool) -> None:
        """Note that a member lost its place: it waits again, or is about to leave it."""
        if waits:
            self.waits(task)
        else:
            of = self.members[task.gang]
            of.placed.pop(task.id, None)
            of.leaving[task.id] = task

    def placed(self, task: Task, *, outside: bool = False) -> None:
        """Note that a member has a place; ``outside``: somebody else gave it."""
        of = self.members.setdefault(task.gang, Members())
        of.outside = of.outside or outside
        of.waiting.pop(task.id, None)
        of.held.pop(task.id, None)
        of.placed[task.id] = task

    def ended(self, task: Task) -> None:
        """Note that a member ended: one that ran to its end still counts towards the minimum."""
        of = self.members.get(task.gang)
        if of is None:
            return  # it was behind its own gates, the first of its gang
        if of.placed.pop(task.id, None) is not None:
            of.finished[task.subgroup] = of.finished.get(task.subgroup, 0) + 1
        of.leaving.pop(task.id, None)
        of.waiting.pop(task.id, None)
        of.held.pop(task.id, None)
        if task.gang not in self.declared and not (of.waiting or of.placed or of.leaving):
            del self.members[task.gang]

    def lacking(self, task: Task) -> str:
        """Return what the gang of ``task`` still lacks before it can be tried; empty if nothing."""
        gang = self.declared.get(task.gang)
        if gang is None:
            return f"gang {task.gang!r} is not declared"
        of = self.members[task.gang]
        there = (*of.waiting.values(), *of.placed.values())
        for name, wanted in (*gang.subgroups.items(), ("", gang.min_members)):
            count = self._count(of, there, name)
            if count < wanted:
                which = f"subgroup {name!r} of gang {gang.name!r}" if name else f"gang {gang.name!r}"
                return f"{which} has {count} of {wanted} members"
        return ""

    def stands(self, name: str) -> bool:
        """Whether the minimum of the gang has a place or has ended."""
        gang, of = self.declared.get(name), self.members.get(name)
        if gang is None or of is None:
            return False
        there = tuple(of.placed.values())
        wanted = (*gang.subgroups.items(), ("", gang.min_members))
        return all(self._count(of, there, subgroup) >= count for subgroup, count in wanted)

    def core(self, task: Task, candidates: Iterable[Task]) -> list[Task]:
        """Return the members that are tried together with ``task``, it first, the others in the order given."""
        gang, of = self.declared[task.gang], self.members[task.gang]
        there = tuple(of.placed.values())
        short = {name: wanted - self._count(of, there, name) for name, wanted in gang.subgroups.items()}
        wanted = gang.min_members - self._count(of, there, "")
        chosen, rest = [task], []
        short[task.subgroup] = short.get(task.subgroup, 0) - 1
        for other in candidates:
            if short.get(other.subgroup, 0) > 0:
                short[other.subgroup] -= 1
                chosen.append(other)
            else:
                rest.append(other)
        return chosen + rest[: max(0, wanted - len(chosen))]

    def let_go(self, name: str) -> list[str]:
        """Return the members that were held, which are held no more."""
        held = list(self.members[name].held)
        self.members[name].held.clear()
        return held

    def break_up(self, name: str) -> list[Task]:
        """Return the members that lose their place since the gang fell below its minimum."""
        of = self.members[name]
        lost = list(of.placed.values())
        of.leaving.update(of.placed)
        of.placed.clear()
        of.finished.clear()
        return lost

    def leaving(self, task: Task) -> bool:
        """Whether a task was told to leave since its gang fell below its minimum."""
        return task.gang in self.members and task.id in self.members[task.gang].leaving

    def broken(self) -> list[str]:
        """Return gangs of which we gave some a place and not the minimum: there are none."""
        return [n for n, of in self.members.items() if of.placed and not of.outside and not self.stands(n)]

    def checkpoint(self) -> GangsCheckpoint:
        """Return all that `restore` needs."""
        return GangsCheckpoint(tuple(self.declared.values()), tuple(self.members.items()))

    def restore(self, checkpoint: GangsCheckpoint) -> None:
        """Fill this object, which must be new, from a checkpoint."""
        self.declared = {gang.name: gang for gang in checkpoint.gangs}
        self.members = dict(checkpoint.members)

    @staticmethod
    def _count(of: Members, tasks: Collection[Task], subgroup: str) -> int:
        """How many of ``tasks``, and of those that ended, are in the subgroup (empty: all of them)."""
        if not subgroup:
            return sum(of.finished.values()) + len(tasks)
        return of.finished.get(subgroup, 0) + sum(task.subgroup == subgroup for task in tasks)


def _check_subgroup(gang: Gang, task: Task) -> None:
    if gang.subgroups and task.subgroup not in gang.subgroups:
        known = ", ".join(gang.subgroups)
        raise InvalidInput("subgroup", f"gang {gang.name!r} has {known}, task {task.id!r} names {task.subgroup!r}")
