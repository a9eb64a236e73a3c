"""The decider `plan` against an obvious second implementation, and its promises."""

import random
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.engine.routing.plan import Lane, Start, outlook, plan

seconds = st.floats(0.01, 100)


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[list[float]], list[Lane]]:
    columns = draw(st.integers(1, 3))
    run_s = draw(st.lists(st.lists(seconds, min_size=columns, max_size=columns), max_size=8))
    lanes: list[Lane] = []
    row = 0
    for column in range(columns):
        free = draw(st.lists(st.one_of(st.just(0.0), seconds), min_size=1, max_size=4))
        slots = [(each, 1, row + at) for at, each in enumerate(free)]
        row += len(free)
        lanes.append(Lane(column, draw(st.sampled_from([1.0, 2.5])), slots))
    return run_s, lanes


def plainly(run_s: list[list[float]], lanes: list[Lane], weight: float) -> list[Start]:
    """Slot by slot, by the definition: a task starts if no other slot is cheaper when all before it are planned."""
    slots = [[wait, busy, row, lane.column, lane.factor] for lane in lanes for wait, busy, row in lane.slots]
    order = {row: at for at, lane in enumerate(lanes) for _, _, row in lane.slots}
    left, starts = list(range(len(run_s))), []
    for at in range(len(lanes)):
        while True:
            mine = [slot for slot in slots if order[slot[2]] == at]
            own = min(mine, key=lambda slot: (slot[0], slot[1], slot[2]))
            if own[0] > 0 or not left:
                break
            others = [list(slot) for slot in slots if slot is not own]
            chosen = None
            for position in left:

                def cost(slot: list[float], position: int = position) -> float:
                    return slot[0] + weight * slot[4] * run_s[position][int(slot[3])]

                least = min(map(cost, others), default=float("inf"))
                if cost(own) <= least:
                    chosen = position
                    break
                best = min(
                    (slot for slot in others if cost(slot) == least),
                    key=lambda slot: (order[int(slot[2])], slot[0], slot[1], slot[2]),
                )
                best[0] += best[4] * run_s[position][int(best[3])]
            if chosen is None:
                break
            run = own[4] * run_s[chosen][int(own[3])]
            starts.append(Start(chosen, int(own[2]), own[0], run))
            left.remove(chosen)
            own[0] += run
            own[1] += 1
    return starts


@given(situations(), st.sampled_from([0.0, 0.5, 1.0]))
def test_the_plan_is_the_definition(situation: tuple[list[list[float]], list[Lane]], weight: float) -> None:
    run_s, lanes = situation
    expected = plainly(run_s, deepcopy(lanes), weight)
    assert [(each.position, each.row) for each in plan(run_s, lanes, 0.0, weight=weight)] == [
        (each.position, each.row) for each in expected
    ]


@given(situations())
def test_each_task_and_each_free_slot_is_used_once(situation: tuple[list[list[float]], list[Lane]]) -> None:
    run_s, lanes = situation
    free = [row for lane in lanes for wait, _, row in lane.slots if wait == 0]
    starts = plan(run_s, lanes, 0.0)
    assert len({each.position for each in starts}) == len(starts)
    assert len({each.row for each in starts}) == len(starts)
    assert {each.row for each in starts} <= set(free)


@given(situations())
def test_something_starts_when_everything_is_free(situation: tuple[list[list[float]], list[Lane]]) -> None:
    run_s, lanes = situation
    idle = [lane._replace(slots=[(0.0, 0, row) for _, _, row in lane.slots]) for lane in lanes]
    assert bool(plan(run_s, idle, 0.0)) == bool(run_s)


def two_speeds(fast_wait_s: float, slow_wait_s: float = 0.0) -> list[Lane]:
    return [Lane(0, 1.0, [(fast_wait_s, 1, 0)]), Lane(1, 1.0, [(slow_wait_s, 0, 1)])]


def test_a_task_waits_for_a_fast_slot_that_is_free_soon() -> None:
    assert plan([[1.0, 10.0]], two_speeds(2.0), 0.0, weight=1.0) == []
    assert [each.row for each in plan([[1.0, 10.0]], two_speeds(20.0), 0.0, weight=1.0)] == [1]


def test_a_lighter_weight_takes_the_idle_slot_sooner() -> None:
    assert plan([[1.0, 10.0]], two_speeds(5.0), 0.0, weight=1.0) == []
    assert [each.row for each in plan([[1.0, 10.0]], two_speeds(5.0), 0.0, weight=0.5)] == [1]


def test_those_behind_count_with_those_before_them() -> None:
    """The first waits for the fast slot; with it there, the second is better off on the slow one at once."""
    starts = plan([[4.0, 10.0], [4.0, 10.0]], two_speeds(4.0), 0.0, weight=1.0)
    assert [(each.position, each.row) for each in starts] == [(1, 1)]


def test_the_key_picks_among_those_that_may_start() -> None:
    lanes = [Lane(0, 1.0, [(0.0, 0, 0)])]
    assert [each.position for each in plan([[9.0], [1.0]], lanes, 0.0, pick=lambda position: -position)] == [1]


def test_a_task_does_not_go_back_where_it_failed() -> None:
    lanes = [Lane(0, 1.0, [(0.0, 0, 0), (0.0, 0, 1)])]
    assert [each.row for each in plan([[1.0]], lanes, 0.0, banned={(0, 0)})] == [1]
    lanes = [Lane(0, 1.0, [(0.0, 0, 0)])]
    assert [each.position for each in plan([[1.0], [1.0]], lanes, 0.0, banned={(0, 0)})] == [1]
    assert [each.row for each in plan([[1.0, 10.0]], two_speeds(0.0), 0.0, banned={(0, 0)})] == [1]


def test_a_slot_is_given_a_task_ahead_only_before_the_next_news() -> None:
    run_s = [[1.0]]
    assert plan(run_s, [Lane(0, 1.0, [(3.0, 1, 0)])], 0.0, open_until_s=[2.0]) == []
    assert plan(run_s, [Lane(0, 1.0, [(3.0, 1, 0)])], 0.0, open_until_s=[4.0]) == [Start(0, 0, 3.0, 1.0)]


def test_the_outlook_says_where_each_would_go() -> None:
    found = outlook([[4.0, 10.0], [4.0, 10.0]], two_speeds(4.0), weight=1.0)
    assert [(each.row, each.start_s) for each in found] == [(0, 4.0), (1, 0.0)]


@pytest.mark.parametrize("instances", [8, 64])
def test_a_decision_looks_at_lanes_not_at_instances(instances: int) -> None:
    """Of equal slots only the first free one is compared: the count of comparisons does not grow with instances."""
    compared = 0

    class Counted(list[float]):
        def __getitem__(self, at: object) -> float:  # type: ignore[override]
            nonlocal compared
            compared += 1
            return super().__getitem__(at)  # type: ignore[call-overload,no-any-return]

    rng = random.Random(7)
    lanes = [Lane(column, 1.0, []) for column in range(2)]
    for row in range(instances):
        lanes[row % 2].slots.append((0.0 if row == 1 else 50 + rng.random(), 1, row))
    plan([Counted([1.0, 200.0]) for _ in range(32)], lanes, 0.0, weight=1.0)
    assert compared < 32 * 8
