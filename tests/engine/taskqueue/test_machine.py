"""The queue's machine under random events: nothing is lost, nothing is in two places, the books end at zero."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pilotage.engine.taskqueue.choosers import CHOOSERS
from pilotage.engine.taskqueue.machine import Dispatch, Limits, LiveTask, Moved, TaskQueue, Withdraw
from pilotage.engine.taskqueue.push import Push
from pilotage.learn.remembered import Chain, Remembered
from pilotage.model.routing import CANCELLED, COMPLETED, ENDED, EXPIRED, FAILED, QUEUED, RUNNING, Instance, RoutedTask

if TYPE_CHECKING:
    from pilotage.engine.taskqueue.machine import Step

MODELS = ["a", "b"]
INSTANCES = [f"i{n}" for n in range(4)]


def push(name: str, seed: int = 0) -> Push:
    chooser: Any = CHOOSERS[name](seed)
    return Push(chooser, Chain([Remembered()]))


def queue(name: str = "least-outstanding", **limits: Any) -> TaskQueue:
    return TaskQueue(push(name), Limits(**limits))


def task(number: int, model: str = "a", **more: Any) -> LiveTask:
    return LiveTask(RoutedTask(id=f"t{number}", model=model, **more))


def dispatches(steps: list[Step]) -> list[tuple[str, str]]:
    return [(step.live.id, step.instance) for step in steps if isinstance(step, Dispatch)]


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.queue = queue(attempts=3, run_s=50)
        self.now = 0.0
        self.submitted: dict[str, LiveTask] = {}
        self.undecided: set[str] = set()
        self.stored: dict[str, str] = {}
        self.ended: dict[str, str] = {}
        self.sent: dict[tuple[str, int], str] = {}

    def take(self, steps: list[Step]) -> None:
        for step in steps:
            if isinstance(step, Dispatch):
                assert (step.live.id, step.attempt) not in self.sent, "an attempt is sent once"
                self.sent[step.live.id, step.attempt] = step.instance
                assert self.queue.instances[step.instance].model == step.live.task.model
            if isinstance(step, Moved) and step.live.status in ENDED:
                assert step.live.id not in self.ended, "a task ends once"
                self.ended[step.live.id] = step.live.status

    @rule(model=st.sampled_from(MODELS), deadline=st.none() | st.integers(1, 30), later=st.booleans())
    def submit(self, model: str, deadline: int | None, later: bool) -> None:
        live = task(len(self.submitted), model, deadline_s=None if deadline is None else self.now + deadline)
        self.submitted[live.id] = live
        self.take(self.queue.submit(live, self.now, later=later))
        if later:
            self.undecided.add(live.id)

    @rule()
    def decide(self) -> None:
        self.take(self.queue.decide(self.now))
        self.undecided.clear()

    @rule(name=st.sampled_from(INSTANCES), model=st.sampled_from(MODELS), ready=st.booleans(), slots=st.integers(1, 3))
    def instance(self, name: str, model: str, ready: bool, slots: int) -> None:
        if name in self.queue.instances:
            model = self.queue.instances[name].model
        self.take(self.queue.instance_changed(Instance(id=name, model=model, ready=ready, slots=slots), self.now))

    @rule(name=st.sampled_from(INSTANCES), gone=st.booleans())
    def loses(self, name: str, gone: bool) -> None:
        if gone:
            self.take(self.queue.instance_removed(name, self.now))
        elif name in self.queue.instances:
            self.take(self.queue.instance_lost(name, "restarted", self.now))

    @rule(
        data=st.data(),
        what=st.sampled_from(["started", "refused", "completed", "failed", "cancel"]),
        later=st.booleans(),
    )
    def news(self, data: st.DataObject, what: str, later: bool) -> None:
        if not self.submitted:
            return
        task_id = data.draw(st.sampled_from(sorted(self.submitted)))
        attempt = data.draw(st.integers(1, 3))
        if what == "started":
            self.take(self.queue.started(task_id, attempt, self.now))
        elif what == "refused":
            self.take(self.queue.refused(task_id, attempt, "full", self.now))
        elif what == "cancel":
            self.take(self.queue.cancel(task_id, self.now))
        else:
            error = "boom" if what == "failed" else ""
            self.take(self.queue.completed(task_id, 1.0, self.now, error=error, later=later))

    @rule(seconds=st.floats(0, 20))
    def time(self, seconds: float) -> None:
        self.now += seconds
        self.take(self.queue.tick(self.now))
        alarm = self.queue.next_alarm()
        assert alarm is None or alarm > self.now

    @rule(name=st.sampled_from(sorted(CHOOSERS)))
    def switch(self, name: str) -> None:
        self.take(self.queue.switch(push(name), self.now))

    @invariant()
    def consistent(self) -> None:
        self.queue.check()
        assert self.submitted.keys() == self.queue.live.keys() | self.ended.keys(), "no task is lost"
        assert not self.queue.live.keys() & self.ended.keys()
        strategy = self.queue.strategy
        assert isinstance(strategy, Push)
        for name in self.queue.instances:
            backlog = strategy.backlog(name)
            assert backlog is not None
            assert backlog.outstanding == len(self.queue.on[name])
            if not backlog.outstanding:
                assert (backlog.expected_s(self.now), backlog.error_s()) == (0, 0)

    @invariant()
    def nothing_waits_beside_a_ready_instance(self) -> None:
        ready = {each.model for each in self.queue.instances.values() if each.ready}
        for live in self.queue.live.values():
            if live.status == QUEUED and live.task.model in ready:
                assert live.attempt or live.id in self.undecided, "only a task that was refused may rest"


TestMachine = Machine.TestCase


def test_a_refused_task_goes_to_another_instance_at_once() -> None:
    q = queue()
    for name in ("i0", "i1"):
        q.instance_changed(Instance(id=name, model="a"), 0)
    ((_, first),) = dispatches(q.submit(task(1), 0))
    ((_, second),) = dispatches(q.refused("t1", 1, "queue full", 1))
    assert {first, second} == {"i0", "i1"}
    assert q.live["t1"].attempts[0].reason == "queue full"


def test_when_all_refuse_it_rests_and_in_the_end_fails_with_the_reasons() -> None:
    q = queue(attempts=3, rest_s=1)
    q.instance_changed(Instance(id="i0", model="a"), 0)
    live = task(1)
    q.submit(live, 0)
    assert dispatches(q.refused("t1", 1, "full", 0)) == []
    assert dispatches(q.tick(0.9)) == []
    assert dispatches(q.tick(1)) == [("t1", "i0")]
    q.refused("t1", 2, "full", 1)
    assert dispatches(q.tick(2.9)) == []
    assert dispatches(q.tick(3)) == [("t1", "i0")], "the second rest is twice as long"
    q.refused("t1", 3, "down", 3)
    assert (live.status, len(live.attempts)) == (FAILED, 3)
    assert "3 attempts" in live.error
    assert "i0: down" in live.error


def test_a_lost_instance_gives_its_tasks_back_and_their_late_results_count() -> None:
    q = queue()
    q.instance_changed(Instance(id="i0", model="a"), 0)
    live = task(1)
    q.submit(live, 0)
    q.started("t1", 1, 0)
    assert live.status == RUNNING
    q.instance_changed(Instance(id="i0", model="a", ready=False), 1)
    q.instance_lost("i0", "does not answer", 1)
    assert live.status == QUEUED
    q.completed("t1", 0.5, 2)
    assert live.status == COMPLETED
    assert q.completed("t1", 0.5, 3) == [], "a second notice changes nothing"
    assert q.waiting == 0


def test_a_task_waits_for_an_instance_until_its_deadline() -> None:
    q = queue()
    early, late = task(1, deadline_s=5), task(2)
    q.submit(early, 0)
    q.submit(late, 0)
    assert q.next_alarm() == 5
    q.tick(5)
    assert (early.status, late.status) == (EXPIRED, QUEUED)
    assert dispatches(q.instance_changed(Instance(id="i0", model="a"), 6)) == [("t2", "i0")]


def test_cancelling_tells_the_instance() -> None:
    q = queue()
    q.instance_changed(Instance(id="i0", model="a"), 0)
    live = task(1)
    q.submit(live, 0)
    assert Withdraw("t1", "i0") in q.cancel("t1", 1)
    assert live.status == CANCELLED
    assert q.cancel("t1", 2) == []


def test_a_run_without_end_is_tried_again() -> None:
    q = queue(run_s=10, attempts=2)
    for name in ("i0", "i1"):
        q.instance_changed(Instance(id=name, model="a"), 0)
    live = task(1)
    ((_, first),) = dispatches(q.submit(live, 0))
    steps = q.tick(10)
    assert Withdraw("t1", first) in steps
    assert dispatches(steps)[0][1] != first
    q.tick(20)
    assert live.status == FAILED
    assert "no result within 10 s" in live.error


def test_what_an_earlier_run_left_is_adopted() -> None:
    q = queue()
    q.instance_changed(Instance(id="i0", model="a"), 0)
    running = LiveTask(
        RoutedTask(id="t1", model="a"), status="running", instance="i0", attempt=2, scheduled_s=1, started_s=1
    )
    homeless = LiveTask(RoutedTask(id="t2", model="a"), status="scheduled", instance="gone", attempt=1, scheduled_s=1)
    waiting = task(3)
    steps = q.adopt([running, homeless, waiting], 10)
    assert dispatches(steps) == [("t2", "i0"), ("t3", "i0")]
    assert [live.id for live in q.on["i0"].values()] == ["t1", "t2", "t3"]
    assert homeless.attempt == 2
    q.check()


@pytest.mark.parametrize("name", sorted(CHOOSERS))
def test_a_switch_moves_nothing_and_keeps_the_books(name: str) -> None:
    q = queue("round_robin")
    for number in range(3):
        q.instance_changed(Instance(id=f"i{number}", model="a"), 0)
    for number in range(9):
        q.submit(task(number), 0)
    before = {live.id: live.instance for live in q.live.values()}
    assert q.switch(push(name), 1) == []
    assert {live.id: live.instance for live in q.live.values()} == before
    strategy = q.strategy
    assert isinstance(strategy, Push)
    assert [strategy.backlog(f"i{number}").outstanding for number in range(3)] == [3, 3, 3]  # type: ignore[union-attr]


def test_alarms_of_tasks_that_ended_do_not_pile_up() -> None:
    q = queue(run_s=3600.0)
    q.instance_changed(Instance(id="i0", model="a", slots=4), 0)
    held = task(0, deadline_s=10_000)
    q.submit(held, 0)
    for number in range(1, 5_000):
        q.submit(task(number), number)
        q.completed(f"t{number}", 0.5, number)
    alarm = q.next_alarm()
    assert alarm == 3600, "of the one that has not ended"
    q.completed("t0", 0.5, 5_000)
    for number in range(5_000, 8_000):
        q.submit(task(number), number)
        q.completed(f"t{number}", 0.5, number)
    alarm = q.next_alarm()
    assert alarm is not None
    assert alarm > 3600 + 5_000
