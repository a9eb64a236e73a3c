"""The waiting room: every way in, between its places, and out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.engine.queues import QueueTree
from pilotage.engine.waiting import Backoff, Waiting, WaitingRoom
from pilotage.kernel.policy import by_priority
from pilotage.model.events import Cure
from pilotage.model.task import Task, TaskSpec

SPEC = TaskSpec()


def task(name: str, priority: int = 0, arrival_s: float = 0.0, *gates: str) -> Task:
    return Task(id=name, spec=SPEC, priority=priority, arrival_s=arrival_s, gates=gates)


def room_with(*tasks: Task, backoff: Backoff | None = None) -> WaitingRoom:
    room = WaitingRoom(by_priority, backoff or Backoff(), QueueTree())
    for each in tasks:
        room.submit(each)
    return room


def order_of(room: WaitingRoom) -> list[str]:
    return [room.pop().task.id for _ in range(room.active)]


def place_of(room: WaitingRoom, name: str = "t") -> str:
    waiting = room.get(name)
    return waiting.place if waiting else "nowhere"


def rejected(room: WaitingRoom, cures: Cure = Cure.TASK_LEFT, now: float = 0.0) -> Waiting:
    waiting = room.pop()
    room.reject(waiting, cures, now)
    return waiting


def test_order_is_priority_then_arrival_then_submission() -> None:
    room = room_with(task("a", 0, 5.0), task("b", 1, 9.0), task("c", 0, 5.0), task("d", 0, 1.0), task("e", 1, 9.0))
    assert order_of(room) == ["b", "e", "d", "a", "c"]


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 3)), max_size=30))
def test_order_is_a_stable_sort(keys) -> None:
    tasks = [task(f"t{i}", priority, float(arrival)) for i, (priority, arrival) in enumerate(keys)]
    assert order_of(room_with(*tasks)) == [t.id for t in sorted(tasks, key=by_priority)]


TABLE = [
    # name, steps, place at the end
    ("submitted", [], "active"),
    ("popped", ["pop"], "nowhere"),
    ("put back", ["pop", "put back"], "active"),
    ("rejected", ["reject"], "unschedulable"),
    ("cured too early", ["reject", "cure"], "backoff"),
    ("cured, backoff not over", ["reject", "cure", "wait 0.99"], "backoff"),
    ("cured, backoff over", ["reject", "cure", "wait 1.0"], "active"),
    ("cured after the backoff", ["reject", "wait 1.0", "cure"], "active"),
    ("time alone cures nothing", ["reject", "wait 1000"], "unschedulable"),
    ("another cure", ["reject", "other cure", "wait 1000"], "unschedulable"),
    ("second rejection waits twice as long", ["reject", "wait 1", "cure", "reject", "wait 2.99", "cure"], "backoff"),
    ("second rejection is over", ["reject", "wait 1", "cure", "reject", "wait 3", "cure"], "active"),
    ("discarded while active", ["discard"], "nowhere"),
    ("discarded while asleep", ["reject", "discard", "cure", "wait 99"], "nowhere"),
    ("discarded in backoff", ["reject", "cure", "discard", "wait 99"], "nowhere"),
    ("ungating an active one changes nothing", ["ungate"], "active"),
    ("ungating a sleeping one changes nothing", ["reject", "ungate"], "unschedulable"),
]


@pytest.mark.parametrize(("steps", "place"), [case[1:] for case in TABLE], ids=[case[0] for case in TABLE])
def test_transitions(steps, place) -> None:
    room, now, popped = room_with(task("t")), 0.0, None
    for step in steps:
        verb, _, number = step.partition(" ")
        if verb == "pop":
            popped = room.pop()
        elif step == "put back":
            room.put_back(popped)
        elif verb == "reject":
            rejected(room, now=now)
        elif verb == "cure":
            room.cured(Cure.TASK_LEFT | Cure.LABELS, now)
        elif step == "other cure":
            room.cured(Cure.LABELS, now)
        elif verb == "discard":
            assert room.discard("t")
        elif verb == "ungate":
            room.ungate("t")
        else:
            now = float(number)
            room.release(now)
    assert place_of(room) == place
    assert room.active == (place == "active")
    assert len(room) == (place != "nowhere")
    assert not room.discard("unheard-of")


def test_gated_tasks_wait_until_they_are_ungated() -> None:
    room = room_with(task("t", 0, 0.0, "gate"), task("u"))
    room.cured(Cure.ANYTHING, 100.0)
    room.release(100.0)
    assert (place_of(room), room.active) == ("gated", 1)
    room.ungate("t")
    assert order_of(room) == ["t", "u"], "its place in the queue is that of its submission"


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 10.0), (6, 10.0), (5000, 10.0)]
)
def test_backoff_doubles_up_to_its_longest(attempts, seconds) -> None:
    assert Backoff().after(attempts) == seconds


def test_backoff_of_another_length() -> None:
    assert [Backoff(0.5, 3.0).after(n) for n in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 3.0]
    assert Backoff(0.0, 0.0).after(3) == 0.0


def test_the_next_release_is_that_of_the_first_backoff_to_end() -> None:
    room = room_with(task("a", 3), task("b", 2), task("c", 1))
    for now in (0.0, 0.25, 0.5):
        rejected(room, now=now)
    assert room.next_release_s is None
    room.cured(Cure.TASK_LEFT, 0.5)
    assert room.next_release_s == 1.0
    room.discard("a")
    assert room.next_release_s == 1.25
    room.release(1.25)
    assert (room.next_release_s, place_of(room, "b")) == (1.5, "active")


def test_a_put_back_task_is_where_it_was_in_the_queue() -> None:
    room = room_with(task("a"), task("b"), task("c"))
    first = room.pop()
    room.put_back(first)
    assert order_of(room) == ["a", "b", "c"]


def test_a_woken_task_keeps_its_place_in_the_queue() -> None:
    room = room_with(task("a"))
    rejected(room)
    room.submit(task("b"))
    room.cured(Cure.TASK_LEFT, 50.0)
    assert order_of(room) == ["a", "b"]


def test_a_task_that_lost_its_place_goes_behind_its_equals() -> None:
    room = room_with(task("a"), task("b"))
    lost = room.pop()
    room.retry(lost.task, 0, 0.0)
    assert order_of(room) == ["b", "a"]


def test_a_failed_bind_sits_out_its_backoff_first() -> None:
    room = room_with(task("t"))
    room.retry(room.pop().task, 2, 10.0)
    assert (place_of(room), room.next_release_s) == ("backoff", 12.0)


def test_a_task_submitted_again_under_the_same_name_is_not_confused_with_the_old_one() -> None:
    room = room_with(task("t", 5))
    room.discard("t")
    room.submit(task("t", 0))
    room.submit(task("u", 1))
    assert order_of(room) == ["u", "t"]
    assert room.active == 0


def test_a_cure_looks_only_at_those_it_may_help() -> None:
    room = room_with(task("a", 2), task("b", 1), task("c", 0))
    for cures in (Cure.LABELS, Cure.TASK_LEFT | Cure.CAPACITY, Cure.TAINTS):
        rejected(room, cures)
    assert room.cured(Cure.CAPACITY | Cure.LABELS, 0.0) == 2
    assert [place_of(room, name) for name in "abc"] == ["backoff", "backoff", "unschedulable"]
    assert room.cured(Cure.CAPACITY | Cure.LABELS, 0.0) == 0
