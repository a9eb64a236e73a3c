"""Sessions: however they are sliced, they decide what one call decides; news wait until they end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage import Node, Task, TaskSpec
from pilotage.app.slices import slices
from pilotage.engine.engine import Engine
from pilotage.engine.session import Session
from pilotage.kernel.policies import named
from pilotage.model.errors import InvalidInput
from pilotage.model.events import NodeAdded, NodeRemoved, TaskSubmitted
from pilotage.testing.strategies import events
from tests.engine.dump import engine_of


@given(events(), st.lists(st.integers(1, 4), min_size=1), st.sampled_from(["kubernetes", "fgd"]))
def test_a_sliced_session_decides_what_one_call_decides(history, budgets, policy) -> None:
    whole, sliced = Engine(named(policy), seed=2), Engine(named(policy), seed=2)
    for i, event in enumerate(history):
        whole.apply(event, float(i))
        sliced.apply(event, float(i))
    now = float(len(history))
    session, effects, step = Session(sliced, now), [], 0
    while not session.done:
        effects += session.step(budgets[step % len(budgets)])
        step += 1
    assert session.end() == []
    # What was displaced before is handed over by the first call, also where nobody waits.
    assert effects + sliced.decide(now) == whole.decide(now)
    assert engine_of(sliced) == engine_of(whole)


def waiting(tasks: int) -> Engine:
    engine = Engine(named("kubernetes"))
    for name in ("a", "b"):
        engine.apply(NodeAdded(Node(name=name, capacity={"cpu": 100_000})))
    for i in range(tasks):
        engine.apply(TaskSubmitted(Task(id=f"t{i}", spec=TaskSpec(demand={"cpu": 100}))))
    return engine


def test_news_wait_behind_a_session_and_then_come_in_their_order() -> None:
    engine = waiting(10)
    session = Session(engine, 1.0)
    first = session.step(4)
    session.apply(NodeRemoved("a"), 1.5)
    session.apply(NodeAdded(Node(name="a", capacity={"cpu": 5})), 1.6)
    session.apply(NodeRemoved("nobody"), 1.7)
    second = session.step(100)
    on_a = sum(effect.node == "a" for effect in first + second)
    assert on_a > 0
    assert len(first + second) == 10
    assert session.done
    refused = session.end()
    assert [(event.name, error.field) for event, error in refused] == [("nobody", "node")]
    assert engine.state.nodes["a"].capacity["cpu"] == 5
    assert engine.room.active == on_a


def test_a_session_that_is_broken_off_leaves_the_rest_waiting() -> None:
    engine = waiting(10)
    session = Session(engine, 0.0)
    session.step(3)
    session.apply(NodeRemoved("a"), 0.1)
    session.end()
    assert len(engine.room) + len(engine.state.placements) == 10
    assert len(engine.room) >= 7
    for misuse in (lambda: session.step(1), lambda: session.apply(NodeRemoved("b"), 0.2)):
        with pytest.raises(InvalidInput, match="session: has ended"):
            misuse()
    with pytest.raises(InvalidInput, match="budget: must be at least 1"):
        Session(engine, 0.0).step(0)


class Clock:
    """A clock that a decision moves on, by what the test says it takes."""

    def __init__(self, engine: Engine, costs_s) -> None:
        self.now, self.engine, self.costs_s = 0.0, engine, costs_s
        engine.cycle.watch = lambda task, seq, now: self.move(seq)

    def move(self, seq: int) -> None:
        self.now += self.costs_s(seq)

    def __call__(self) -> float:
        return self.now


def lengths(tasks: int, costs_s) -> tuple[list[int], list[float]]:
    engine = waiting(tasks)
    clock = Clock(engine, costs_s)
    counts, spans, before = [], [], 0.0
    for effects in slices(Session(engine, 0.0), clock):
        counts.append(len(effects))
        spans.append(clock.now - before)
        before = clock.now
    assert sum(counts) == tasks
    return counts, spans


def test_slices_grow_to_about_twenty_milliseconds() -> None:
    counts, spans = lengths(900, lambda seq: 0.0002)
    assert counts[:4] == [1, 4, 16, 64]
    assert all(0.015 < span <= 0.0201 for span in spans[4:-1])


def test_a_slow_decision_ends_its_slice_soon_and_shortens_the_next() -> None:
    counts, spans = lengths(300, lambda seq: 0.030 if 100 <= seq < 110 else 0.0001)
    slow = next(i for i, span in enumerate(spans) if span > 0.025)
    assert counts[slow + 1] < counts[slow] / 2
    counts, spans = lengths(20, lambda seq: 0.050)
    assert counts == [1] * 20


def test_a_clock_that_stands_still_is_no_trouble() -> None:
    counts, _ = lengths(100, lambda seq: 0.0)
    assert counts == [1, 4, 16, 64, 15]
