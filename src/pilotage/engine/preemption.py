"""The search for tasks that must go so that a more important one finds a place.

::

    nodes that only tasks keep from it ─▶ scratch rows without their less important tasks ─▶ those that take it
      ─▶ reprieve: on all of them at once, the most important task first, is put back and stays if there is still room
      ─▶ the node that gives up least ─▶ the same for it alone, until nobody more can be reprieved

Scratch rows are copies, asked through the plugins' own functions, all candidates of a round in one call; shared
columns stay as they are. Only where a plugin looks beyond the row (what a departure does to other nodes' counts can
not be copied row by row) candidates are tried one by one, the most promising first, inside a transaction that is
rolled back, until one gives up no more than its row alone made it.
Rules: kube-scheduler's DefaultPreemption, over all nodes instead of a sample, ties by node order instead of chance.
"""

from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from pilotage.engine.placement import Placement
from pilotage.engine.state import State
from pilotage.engine.task_table import TaskTable
from pilotage.kernel.arrays import BoolArray, IntArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import Filter, Group, groups_of
from pilotage.kernel.plugins.kept import KeptForOthers
from pilotage.kernel.policy import Policy
from pilotage.model.task import Task

MOST_TRIED = 64
"""Candidates that are tried one by one where a plugin looks beyond the row."""

_MOVED_BY_TASKS = {Group.AMOUNTS, Group.DEVICES, Group.PORTS}
_LOWEST_PRIORITY = -(2**31)

Question = tuple[Filter, Any]
"""A filter and the fragment that it is asked about."""

Rank = tuple[int, int, int, int, int]


class Room(NamedTuple):
    """Where a task finds a place once ``victims`` and ``going`` tasks of ``row`` are gone, and the GPUs it will have.

    ``victims``: the tasks to evict, most important first. ``going``: tasks that were told to leave before.
    """

    row: int
    gpus: tuple[int, ...]
    victims: list[Placement]
    going: list[Placement]


class _Undone(Exception):  # noqa: N818 - it is no error
    """Ends a trial."""


class Questions:
    """The filters that have something to say about a task, by what their answers rest on."""

    def __init__(self, policy: Policy, task: Task) -> None:
        self.still: list[Question] = []
        """Rest on the node alone: no task that leaves changes their answer."""
        self.moved: list[Question] = []
        """Rest on the tasks of the row."""
        self.beyond: list[Question] = []
        for plugin in policy.filters:
            fragment: Hashable = plugin.fragment(task)
            if fragment is None:
                continue
            if isinstance(plugin, KeptForOthers):
                self.moved.append((plugin, fragment))
            elif plugin.depends != "row":
                self.beyond.append((plugin, fragment))
            elif _MOVED_BY_TASKS.intersection(groups_of(plugin.reads)):
                self.moved.append((plugin, fragment))
            else:
                self.still.append((plugin, fragment))
        self.ports = any("ports" in plugin.reads for plugin, _ in self.moved)
        self.counts = any("counts" in plugin.reads for plugin, _ in self.moved)
        self.devices = task.spec.gpus > 0 or any("devices" in plugin.reads for plugin, _ in self.moved)


class Preemption:
    """Finds room for tasks by a policy's filters, on the tasks of a state."""

    def __init__(self, policy: Policy, state: State, table: TaskTable, seed: int) -> None:
        self.policy = policy
        self.state = state
        self.table = table
        self.seed = seed

    def search(self, task: Task, now: float) -> Room | None:
        """Return the node that gives up least for ``task``, or None if no departure of less important tasks helps."""
        questions = Questions(self.policy, task)
        trial = _Rows(self.state.columns, self.table, questions, task.priority)
        if not trial.rows.size:
            return None
        trial.reprieve()
        best = trial.ranked()
        if not questions.beyond:
            columns = self.state.columns.scratch()
            return self._settle(task, best.item(0), columns, questions, now)
        found: list[tuple[Rank, Room]] = []
        for row in best[:MOST_TRIED].tolist():
            room = self._try(task, row, questions, now)
            if room is not None:
                found.append((_rank(room, self.state.columns), room))
                if {victim.slot for victim in room.victims} == trial.victims_on(row):
                    break  # what looks beyond the row asks for no more here: those behind give up more
        return min(found, key=lambda pair: pair[0])[1] if found else None

    def _try(self, task: Task, row: int, questions: Questions, now: float) -> Room | None:
        """Settle one row on the state itself, and undo it."""
        room = None
        with suppress(_Undone), self.state.transaction():
            room = self._settle(task, row, None, questions, now)
            raise _Undone
        return room

    def _settle(self, task: Task, row: int, scratch: Columns | None, questions: Questions, now: float) -> Room | None:
        """Find the tasks of one row that must go, on ``scratch`` columns or (None) on the state's own."""
        state = self.state
        columns = state.columns if scratch is None else scratch

        def move(placement: Placement, sign: int) -> None:
            if scratch is not None:
                spec = placement.task.spec
                scratch.add_task(row, spec, state.demand_of(spec), placement.gpus, sign)
            elif sign < 0:
                state.remove(placement.task.id)
            else:
                state.place(placement.task, row, placement.gpus, bound=placement.bound, known=True)

        def fits() -> bool:
            return all(plugin.mask_row(fragment, columns, row) for plugin, fragment in questions.moved) and all(
                plugin.mask(fragment, Nodes(columns, np.array([row]), now, self.seed))[0]
                for plugin, fragment in questions.beyond
            )

        here = sorted((state.placements[task_id] for task_id in state.tasks_on[row]), key=lambda p: p.seq)
        going = [placement for placement in here if placement.going]
        less = [p for p in here if not p.going and p.task.priority < task.priority]
        less.sort(key=lambda placement: -placement.task.priority)
        for placement in (*going, *less):
            move(placement, -1)
        if not fits():
            return None
        victims = _reprieved(less, move, fits)
        if not victims and not going:
            return None  # it would fit as things are: nobody has to go
        gpus = self.policy.devices.choose(task, columns, row, self.seed) if task.gpus else ()
        return Room(row, gpus, victims, going)


def _reprieved(
    victims: list[Placement], move: Callable[[Placement, int], None], fits: Callable[[], bool]
) -> list[Placement]:
    """Put back whom there is still room for, most important first, until nobody more can be; return the others."""
    while True:
        left = []
        for placement in victims:
            move(placement, 1)
            if not fits():
                move(placement, -1)
                left.append(placement)
        if len(left) in (0, len(victims)):
            return left
        victims = left


def _rank(room: Room, columns: Columns) -> Rank:
    """Return the place of ``room`` among others; the smallest gives up least.

    The most important victim is the least important; then the smallest sum of (priority + 2^31); then the fewest; then
    the most important ones were placed last; then the node order. (Broken disruption budgets will come before all.)
    """
    victims = room.victims
    top = victims[0].task.priority if victims else _LOWEST_PRIORITY - 1
    total = sum(victim.task.priority - _LOWEST_PRIORITY for victim in victims)
    placed = victims[0].seq if victims else 0
    return (top, total, len(victims), -placed, columns.order.item(room.row))


class _Rows:
    """All candidate rows at once: scratch columns, and the less important tasks of each, most important first."""

    def __init__(self, columns: Columns, table: TaskTable, questions: Questions, priority: int) -> None:
        self._questions = questions.moved
        self.columns = columns
        everyone = Nodes.all(columns)
        able = columns.alive[: columns.n].copy()
        for plugin, fragment in questions.still:
            able &= plugin.mask(fragment, everyone)
        slots = _removable(table, priority, able)
        self.scratch = _emptied(columns, table, slots, questions)
        rows = np.flatnonzero(np.bincount(table.row[slots], minlength=columns.n))
        self.rows: IntArray = rows[self._fits(rows)]
        """The candidates: rows that take the task without their less important tasks."""
        at = np.full(columns.n, -1)
        at[self.rows] = np.arange(len(self.rows))
        slots = slots[(at[table.row[slots]] >= 0) & ~table.going[slots]]
        self.slots: IntArray = slots[_by_importance(table, slots)]
        """Tasks that may be evicted, row by row."""
        self.table = table
        self.at: IntArray = at[table.row[self.slots]]
        """For each of those tasks, its row's place among the candidates."""
        self.evicted: BoolArray = np.ones(len(self.slots), np.bool_)
        self._gpus = _Gpus(table, self.slots) if questions.devices else None
        self._others = questions.ports or questions.counts

    def _fits(self, rows: IntArray) -> BoolArray:
        fits: BoolArray = np.ones(len(rows), np.bool_)
        nodes = Nodes(self.scratch, rows)
        for plugin, fragment in self._questions:
            fits &= plugin.mask(fragment, nodes)
        return fits

    def reprieve(self) -> None:
        """Put back whom there is room for: in round k the k-th most important task of every row."""
        count = np.bincount(self.at, minlength=len(self.rows))
        first = count.cumsum() - count
        for k in range(int(count.max(initial=0))):
            some = np.flatnonzero(count > k)
            which = first[some] + k
            self._move(which, 1)
            fits = self._fits(self.rows[some])
            self.evicted[which] = ~fits
            self._move(which[~fits], -1)

    def _move(self, which: IntArray, sign: int) -> None:
        """Put tasks, one of a row at most, back onto their scratch rows, or take them off again."""
        scratch, rows, slots = self.scratch, self.rows[self.at[which]], self.slots[which]
        for resource, demand in enumerate(self.table.demand):
            amounts = demand[slots]
            scratch.used[resource, rows] += amounts if sign > 0 else -amounts
        if self._gpus is not None:
            self._gpus.move(scratch, which, sign)
        scratch.forget_numbers()
        if self._others:
            for slot, row in zip(slots.tolist(), rows.tolist(), strict=True):
                placement = self.table.placements[slot]
                if placement is not None:
                    scratch.add_uncounted(row, placement.task.spec, sign)

    def victims_on(self, row: int) -> set[int]:
        """Return the slots of the tasks of ``row`` that were not reprieved."""
        slots: list[int] = self.slots[self.evicted & (self.rows[self.at] == row)].tolist()
        return set(slots)

    def ranked(self) -> IntArray:
        """Return the candidate rows, the one that gives up least first; see `_rank`."""
        n, slots, at = len(self.rows), self.slots[self.evicted], self.at[self.evicted]
        priority = self.table.priority[slots]
        number = np.bincount(at, minlength=n)
        total = np.bincount(at, weights=priority - _LOWEST_PRIORITY, minlength=n)  # exact below 2^53
        top, placed = np.full(n, _LOWEST_PRIORITY - 1), np.zeros(n, np.int64)
        leaders = np.flatnonzero(np.diff(at, prepend=-1))
        top[at[leaders]] = priority[leaders]
        placed[at[leaders]] = self.table.seq[slots[leaders]]
        order = self.columns.order[self.rows]
        return self.rows[np.lexsort((order, -placed, number, total, top))]


class _Gpus:
    """Which GPUs tasks hold, as flat arrays: those of task i from ``start[i]`` on."""

    def __init__(self, table: TaskTable, slots: IntArray) -> None:
        self.rows: IntArray = table.row[slots]
        self.share: IntArray = table.share[slots]
        self.number: IntArray = table.gpus[slots]
        self.start = self.number.cumsum() - self.number
        self.gpu: IntArray = np.zeros(int(self.number.sum()), np.int64)
        holders = self.number.nonzero()[0]
        self.gpu[self.start[holders]] = table.gpu[slots[holders]]
        for i in np.flatnonzero(self.number > 1).tolist():
            placement = table.placements[slots[i]]
            if placement is not None:
                self.gpu[self.start[i] : self.start[i] + self.number[i]] = placement.gpus

    def give_back(self, columns: Columns) -> None:
        """Give back what all of them hold."""
        rows, share = self.rows.repeat(self.number), self.share.repeat(self.number)
        np.add.at(columns.gpu_free, (self.gpu, rows), share)

    def move(self, columns: Columns, which: IntArray, sign: int) -> None:
        """Take (``sign`` 1) or give back what tasks ``which`` hold, one of a row at most."""
        number = self.number[which]
        task = which.repeat(number)
        within = np.arange(len(task)) - (number.cumsum() - number).repeat(number)
        # A task holds a GPU once, and each stands on a row of its own: no place is named twice.
        columns.gpu_free[self.gpu[self.start[task] + within], self.rows[task]] -= sign * self.share[task]


def _removable(table: TaskTable, priority: int, able: BoolArray) -> IntArray:
    """Return the slots of tasks on ``able`` rows that may be told to leave, or were."""
    n = len(table)
    row = table.row[:n]
    slots = np.flatnonzero((row >= 0) & ((table.priority[:n] < priority) | table.going[:n]))
    return slots[able[row[slots]]]


def _emptied(columns: Columns, table: TaskTable, slots: IntArray, questions: Questions) -> Columns:
    """Return scratch columns without the tasks in ``slots``, as far as the questions look."""
    scratch = columns.scratch() if questions.ports or questions.counts else columns.scratch_amounts()
    rows = table.row[slots]
    for resource, demand in enumerate(table.demand):
        # Sums of amounts in use are below 2^53: floats hold them exactly.
        scratch.used[resource, : columns.n] -= np.bincount(rows, demand[slots], columns.n).astype(np.int64)
    if questions.devices:
        _Gpus(table, slots).give_back(scratch)
    if questions.ports or questions.counts:
        for slot in slots.tolist():
            placement = table.placements[slot]
            if placement is not None:
                scratch.add_uncounted(placement.row, placement.task.spec, -1)
    return scratch


def _by_importance(table: TaskTable, slots: IntArray) -> IntArray:
    """Return the order of ``slots`` by row, then falling priority, then the order of placing."""
    row, seq = table.row[slots], table.seq[slots]
    lower = table.priority[slots].max(initial=_LOWEST_PRIORITY) - table.priority[slots]
    later = seq - seq.min(initial=2**62)
    widths = [int(part.max(initial=0)).bit_length() for part in (lower, later)]
    if int(row.max(initial=0)).bit_length() + sum(widths) > 63:
        return np.lexsort((later, lower, row))
    return ((((row << widths[0]) + lower) << widths[1]) + later).argsort()
