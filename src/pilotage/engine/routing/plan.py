"""The decider `plan`: which waiting tasks start now, on which slots, and which had better wait.

Every waiting task, in order, is given in thought to the slot where (the moment the slot is free) + ``weight`` x (its
run time there) is least, busy slots included, and the slot is taken for that long. A task whose slot is free starts;
all others stay unbound and are planned afresh at the next event.

``weight`` is the price of running against waiting. With 1 a task looks at its own end only, and queues up for fast
instances while slow ones idle. Time in a queue delays others too: with 1/2, an idle slower slot is taken sooner. That
is the whole treatment of externality, and it matters most with many slots an instance (docs/routing.md has figures).

A slot that is not free yet can be given a task ahead of time where news of it comes late: see ``open_until_s``.
"""

from collections.abc import Callable, Iterator, Sequence, Set
from heapq import heapify, heappop, heappush, heapreplace
from math import inf
from typing import NamedTuple

WEIGHT = 0.5
WINDOW = 32


class Lane(NamedTuple):
    """Slots of equal speed: the column of the run times that holds for them, and a factor on top of it.

    ``slots``: (moment it is free, tasks on the instance, row of the instance) of every slot; moments in seconds of the
    clock of ``now``, a free slot has ``now``.
    """

    column: int
    factor: float
    slots: list[tuple[float, int, int]]


class Start(NamedTuple):
    """A task of the window goes to the instance ``row``; when it is expected to start, and for how long to run."""

    position: int
    row: int
    start_s: float
    run_s: float


def plan(
    run_s: Sequence[Sequence[float]],
    lanes: Sequence[Lane],
    now: float,
    *,
    weight: float = WEIGHT,
    open_until_s: Sequence[float] | None = None,
    pick: Callable[[int], float] | None = None,
    banned: Set[tuple[int, int]] = frozenset(),
) -> list[Start]:
    """Return which tasks of the window start now.

    ``run_s[i][c]``: predicted run time in seconds of the task at position i (in planning order) on column c.
    ``open_until_s[row]``: a slot of the instance that is expected to be free by then may be given its next task now.
    None: only free slots are given tasks.
    ``pick``: a key per position; of the tasks that may start on a slot, the one of least key does. None: the first.
    ``banned``: (position, row) pairs that must not come together: a task does not go back to where it failed.

    Lanes are served in order: put the fastest first. Cost: (lanes + starts) x window x lanes, and the number of slots.
    """
    left = list(range(len(run_s)))
    starts: list[Start] = []
    for lane in lanes:
        heapify(lane.slots)
    for lane in lanes:
        passed: list[tuple[float, int, int]] = []
        while left and lane.slots:
            moment_s, busy, row = lane.slots[0]
            if moment_s > (now if open_until_s is None else open_until_s[row]):
                break
            position = _choose(run_s, lanes, lane, left, weight, pick, banned)
            if position < 0:
                if not banned:
                    break
                passed.append(heappop(lane.slots))  # a task may be kept from this slot only: try the next one
                continue
            own_s = lane.factor * run_s[position][lane.column]
            starts.append(Start(position, row, moment_s, own_s))
            left.remove(position)
            heapreplace(lane.slots, (moment_s + own_s, busy + 1, row))
        for slot in passed:
            heappush(lane.slots, slot)
    return starts


def outlook(run_s: Sequence[Sequence[float]], lanes: Sequence[Lane], weight: float = WEIGHT) -> list[Start]:
    """Return where each task of the window would go, and when, if nothing new happened; `plan` has its arguments."""
    for lane in lanes:
        heapify(lane.slots)
    return [start for _, start in _walk(run_s, lanes, range(len(run_s)), weight)]


def _choose(
    run_s: Sequence[Sequence[float]],
    lanes: Sequence[Lane],
    own: Lane,
    left: Sequence[int],
    weight: float,
    pick: Callable[[int], float] | None,
    banned: Set[tuple[int, int]],
) -> int:
    """Return the task that should start on the first slot of the lane ``own``, -1 if none should.

    A task should if no other slot would serve it at less cost, when all tasks before it are planned on the others.
    """
    moment_s, _, row = own.slots[0]
    weighted, column = weight * own.factor, own.column
    if pick is None and not banned and left and _is_best(run_s[left[0]], own, lanes, weight):
        return left[0]  # the usual case: nothing is copied for it
    others = [lane._replace(slots=list(lane.slots)) for lane in lanes if lane is not own and lane.slots]
    if len(own.slots) > 1:
        rest = own.slots[1:]
        heapify(rest)
        others.append(own._replace(slots=rest))
    best_key, chosen = 0.0, -1
    for least, start in _walk(run_s, others, left, weight):
        position = start.position
        if (position, row) in banned:
            continue
        elsewhere = _least(run_s[position], position, others, weight, banned) if banned else least
        if moment_s + weighted * run_s[position][column] <= elsewhere:
            if pick is None:
                return position
            key = pick(position)
            if chosen < 0 or key < best_key:
                best_key, chosen = key, position
    return chosen


def _is_best(times: Sequence[float], own: Lane, lanes: Sequence[Lane], weight: float) -> bool:
    """Whether no other lane serves a task at less cost than the first slot of ``own``; no other slot of it does."""
    cost = own.slots[0][0] + weight * own.factor * times[own.column]
    return all(
        cost <= lane.slots[0][0] + weight * lane.factor * times[lane.column]
        for lane in lanes
        if lane is not own and lane.slots
    )


def _least(
    times: Sequence[float], position: int, lanes: Sequence[Lane], weight: float, banned: Set[tuple[int, int]]
) -> float:
    """Return the least cost among the slots that a task is not kept from."""
    return min(
        (
            slot[0] + weight * lane.factor * times[lane.column]
            for lane in lanes
            for slot in lane.slots
            if (position, slot[2]) not in banned
        ),
        default=inf,
    )


def _walk(
    run_s: Sequence[Sequence[float]], lanes: Sequence[Lane], positions: Sequence[int], weight: float
) -> Iterator[tuple[float, Start]]:
    """Plan tasks one by one on lanes whose slots are heaps: yield cost and place of each, then take the slot."""
    if not lanes:
        yield from ((inf, Start(position, -1, inf, 0.0)) for position in positions)
        return
    priced = [(lane.column, weight * lane.factor, lane.factor, lane.slots) for lane in lanes]
    for position in positions:
        times = run_s[position]
        least, there = inf, priced[0]
        for each in priced:
            cost = each[3][0][0] + each[1] * times[each[0]]
            if cost < least:
                least, there = cost, each
        column, _, factor, slots = there
        moment_s, busy, row = slots[0]
        own_s = factor * times[column]
        yield least, Start(position, row, moment_s, own_s)
        heapreplace(slots, (moment_s + own_s, busy, row))
