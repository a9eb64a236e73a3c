from __future__ import annotations

from collections import Counter
from math import sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.engine.taskqueue.backlog import Backlog
from pilotage.engine.taskqueue.choosers import (
    CHOOSERS,
    LeastOutstanding,
    PowerOfTwo,
    Probabilistic,
    RoundRobin,
    ShortestQueue,
    Weighted,
    check_name,
)
from pilotage.model.errors import InvalidInput
from pilotage.model.routing import Instance, RoutedTask


def backlog(name: str, *tasks: tuple[float, float], slots: int = 1) -> Backlog:
    made = Backlog(Instance(id=name, model="m", slots=slots))
    for number, (mean, std) in enumerate(tasks):
        made.add(f"{name}-{number}", mean, std, 0.0)
    return made


def task(number: int = 0, model: str = "m") -> RoutedTask:
    return RoutedTask(id=f"t{number}", model=model)


def chosen(chooser: Any, *candidates: Backlog) -> str:
    return chooser.choose(task(), candidates, 0.0).id


def test_shortest_queue_takes_50_over_100_and_150() -> None:
    assert chosen(ShortestQueue(), backlog("a", (0.1, 0)), backlog("b", (0.05, 0)), backlog("c", (0.15, 0))) == "b"


def test_shortest_queue_prefers_the_surer_of_equals() -> None:
    assert chosen(ShortestQueue(), backlog("a", (0.1, 0.03)), backlog("b", (0.1, 0.01))) == "b"


def test_weighted_adds_half_the_error() -> None:
    # 52.5, 157.5, 105 ms
    candidates = backlog("a", (0.05, 0.005)), backlog("b", (0.15, 0.015)), backlog("c", (0.1, 0.01))
    assert chosen(Weighted(), *candidates) == "a"
    sure, unsure = backlog("a", (0.1, 0)), backlog("b", (0.08, 0.06))
    assert chosen(Weighted(error_weight=0.5), sure, unsure) == "a"
    assert chosen(Weighted(error_weight=0.1), sure, unsure) == "b"
    assert chosen(Weighted(error_weight=-3), sure, unsure) == "b", "clamped to 0"


def test_round_robin_takes_turns_per_model() -> None:
    chooser = RoundRobin()
    first = [backlog(name) for name in "abc"]
    other = [backlog(name) for name in "xy"]
    got = [
        chooser.choose(task(number, "m1"), first, 0).id + chooser.choose(task(number, "m2"), other, 0).id
        for number in range(4)
    ]
    assert got == ["ax", "by", "cx", "ay"]


def test_least_outstanding_counts() -> None:
    assert chosen(LeastOutstanding(), backlog("a", (1, 0), (1, 0)), backlog("b", (9, 0))) == "b"


@pytest.mark.parametrize("name", sorted(CHOOSERS))
def test_equal_instances_share_the_load(name: str) -> None:
    chooser: Any = CHOOSERS[name](7)
    candidates = [backlog(f"i{number}") for number in range(4)]
    counts = Counter(chooser.choose(task(number), candidates, 0.0).id for number in range(2000))
    assert all(400 < counts[each.id] < 600 for each in candidates), counts


def test_probabilistic_weighs_by_free_room() -> None:
    candidates = [backlog("free"), backlog("busy", *[(1, 0)] * 3)]
    counts = Counter(Probabilistic(3).choose(task(number), candidates, 0.0).id for number in range(4000))
    assert 3.4 < counts["free"] / counts["busy"] < 4.7, counts
    full = [backlog("free"), backlog("busy", *[(1, 0)] * 99)]
    counts = Counter(Probabilistic(3).choose(task(number), full, 0.0).id for number in range(4000))
    assert 7 < counts["free"] / counts["busy"] < 14, "the floor of 0.1 holds"


def test_power_of_two_draws_two_different_ones() -> None:
    candidates = [backlog(f"i{number}", *[(1, 0)] * number) for number in range(4)]
    counts = Counter(PowerOfTwo(1).choose(task(number), candidates, 0.0).id for number in range(6000))
    assert counts["i3"] == 0, "the fullest always loses"
    assert 0.45 < counts["i0"] / 6000 < 0.55
    assert 0.28 < counts["i1"] / 6000 < 0.39


@pytest.mark.parametrize("name", sorted(CHOOSERS))
def test_the_same_seed_chooses_the_same(name: str) -> None:
    def run() -> list[str]:
        chooser: Any = CHOOSERS[name](5)
        candidates = [backlog(f"i{number}") for number in range(5)]
        return [chooser.choose(task(number), candidates, 0.0).id for number in range(50)]

    assert run() == run()


def test_two_equal_tasks_add_up() -> None:
    books = backlog("a", (0.15, 0.11119), (0.15, 0.11119))
    assert books.expected_s(0) == pytest.approx(0.3)
    assert books.error_s() == pytest.approx(sqrt(2) * 0.11119)


def test_what_runs_counts_for_what_is_left_of_it() -> None:
    books = backlog("a", (1.0, 0), (2.0, 0))
    assert books.expected_s(0.4) == pytest.approx(2.6)
    assert books.expected_s(5.0) == pytest.approx(2.0), "a run that lasts longer than expected is not negative"
    books.remove("a-0", 5.0)
    assert books.expected_s(6.0) == pytest.approx(1.0)
    two = backlog("b", (1.0, 0), (2.0, 0), (1.0, 0), slots=2)
    assert two.expected_s(0.5) == pytest.approx((0.5 + 1.5 + 1.0) / 2)


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e4)), min_size=1, max_size=30), st.randoms())
def test_twenty_in_and_twenty_out_leave_nothing(tasks: list[tuple[float, float]], random: Any) -> None:
    books = backlog("a", *tasks)
    names = [f"a-{number}" for number in range(len(tasks))]
    random.shuffle(names)
    for name in names:
        books.remove(name, 3.0)
    assert (books.expected_s(4.0), books.error_s(), books.outstanding) == (0.0, 0.0, 0)


def test_an_unknown_name_tells_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="round_robin"):
        check_name("fastest", list(CHOOSERS))
