"""The end of the queue: the outlook of a new task is near the whole plan's, and costs the same at any length."""

import sys
from types import FrameType
from typing import Any

import pytest

from pilotage.engine.routing.late_binding import WALKED, LateBinding
from pilotage.engine.routing.plan import Lane
from pilotage.engine.routing.tail import pour
from pilotage.model.routing import Instance
from tests.engine.routing.test_late_binding import Known, pool, task

POOL = ("fast", "fast", "fast", "slow", "slow")


def queued(length: int) -> LateBinding:
    """A pool with all slots taken and so many tasks waiting."""
    strategy = pool(*POOL)
    for at in range(len(POOL) + length):
        strategy.submitted(task(f"t{at}", 1.0 + at % 7, arrival_s=at / 1e6), at / 1e6)
        strategy.decide(at / 1e6)
    return strategy


def calls_per_submit(length: int, submits: int = 320) -> float:
    """Function calls, Python's and C's, of a submit with its decision and outlook, with so many tasks waiting."""
    strategy, calls = queued(length), 0

    def count(_: FrameType, event: str, __: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    newcomers = [task(f"new{at}", arrival_s=1.0 + at / 1e3) for at in range(submits)]
    sys.setprofile(count)
    try:
        for at, each in enumerate(newcomers):
            strategy.submitted(each, 1.0 + at / 1e3)
            strategy.decide(1.0 + at / 1e3)
            strategy.outlook(each.id)
    finally:
        sys.setprofile(None)
    return calls / submits


def test_a_submit_costs_the_same_whatever_waits() -> None:
    few, many = calls_per_submit(100), calls_per_submit(10_000)
    assert many == pytest.approx(few, rel=0.05)
    assert many < 150, "and little: the plan of a window is thousands"


@pytest.mark.parametrize("length", [20, 33, 200, 900])
def test_it_is_near_the_plan(length: int) -> None:
    assert length <= WALKED
    strategy = queued(length)
    for at in range(10):
        name = f"new{at}"
        strategy.submitted(task(name, 3.0, arrival_s=1.0), 0.01)
        strategy.decide(0.01)
        foreseen, exact = strategy.outlook(name), strategy.planned(name)
        assert foreseen is not None
        assert exact is not None
        assert foreseen.expected_s == pytest.approx(exact.expected_s, rel=0.1, abs=3.0)


def test_newcomers_are_spread_over_the_instances_by_their_speed() -> None:
    strategy = queued(5_000)
    found: dict[str, int] = dict.fromkeys((f"{platform}{at}" for at, platform in enumerate(POOL)), 0)
    for at in range(1_100):
        strategy.submitted(task(f"new{at}", 4.0, arrival_s=1.0 + at), 0.01)
        made = strategy.outlook(f"new{at}")
        assert made is not None
        found[made.instance] += 1
    assert [found[f"fast{at}"] for at in range(3)] == pytest.approx([300] * 3, rel=0.15)
    assert [found[f"slow{at}"] for at in (3, 4)] == pytest.approx([100] * 2, rel=0.15)


def test_an_outlook_holds_until_it_is_asked_for_again_and_the_plan_corrects_it() -> None:
    strategy = queued(3)
    strategy.submitted(task("new", arrival_s=1.0), 1.0)
    said = strategy.outlook("new")
    for at in (0, 1, 2):
        strategy.instance_changed(Instance(id=f"fast{at}", model="m", platform="fast", ready=False), 1.0)
    assert strategy.outlook("new") == said
    corrected = strategy.planned("new")
    assert corrected is not None
    assert corrected.instance.startswith("slow")
    assert strategy.outlook("unknown") is None


def test_no_instance_no_outlook_and_a_new_one_counts_at_once() -> None:
    strategy = LateBinding(Known())
    strategy.submitted(task("early"), 0.0)
    assert strategy.outlook("early") is None
    strategy.instance_changed(Instance(id="fast0", model="m", platform="fast"), 0.0)
    strategy.decide(0.0)
    strategy.submitted(task("later"), 0.0)
    made = strategy.outlook("later")
    assert made is not None
    assert (made.instance, made.expected_s) == ("fast0", 2.0)


def test_poured_tasks_are_as_many_as_wait() -> None:
    lanes = [Lane(0, 1.0, [(0.0, 0, 0), (5.0, 0, 1)]), Lane(1, 2.0, [(1.0, 0, 2), (400.0, 0, 3)])]
    before = [list(lane.slots) for lane in lanes]
    pour(100, [2.0, 3.0], lanes, 0.5)
    served = sum(
        (after[0] - old[0]) / mean_s
        for lane, slots, mean_s in zip(lanes, before, (2.0, 6.0), strict=True)
        for after, old in zip(lane.slots, slots, strict=True)
    )
    assert served == pytest.approx(100)
    assert lanes[1].slots[1][0] == 400.0, "a slot that is busy for longer takes none"
    assert lanes[0].slots[0][0] + 1.0 == pytest.approx(lanes[1].slots[0][0] + 3.0), "the next task costs the same"
