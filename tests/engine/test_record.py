"""Records: what is written down replays to the same bytes, from any segment; another history or policy shows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from pilotage import Node, Policy, Task, TaskSpec, filters, node_filter, scorers
from pilotage.engine.engine import Engine
from pilotage.engine.record import Applied, Closed, Decided, effect_bytes, effect_of
from pilotage.engine.replay import Replay, replay
from pilotage.engine.rerun import rerun
from pilotage.kernel.plugin import PolicyFault
from pilotage.kernel.policies import named
from pilotage.model.effects import Bind
from pilotage.model.errors import InvalidInput
from pilotage.model.events import BindConfirmed, BindFailed, NodeAdded, NodeRemoved, TaskFinished, TaskSubmitted
from pilotage.testing.strategies import events
from tests.engine.dump import engine_of
from tests.engine.records import recorder, through_bytes


def play(engine: Engine, history, choices=()) -> None:
    """Tell an engine a history; it decides now and then, and some binds fail."""
    picks = [*choices, 0]
    for now, event in enumerate(history):
        engine.apply(event, float(now))
        pick = picks[now % len(picks)]
        if now % 3 == 2:
            for effect in engine.decide(float(now), pick or None):
                if isinstance(effect, Bind) and pick < 3:
                    answer = BindFailed(effect.task_id, "no") if pick == 2 else BindConfirmed(effect.task_id)
                    engine.apply(answer, float(now))
    engine.decide(1e6)


CHOICES = st.lists(st.integers(0, 4), min_size=1, max_size=5)


@given(events(), CHOICES, st.integers(1, 12), st.sampled_from(["kubernetes", "fgd", "random"]))
def test_a_record_replays_to_the_same_bytes_from_every_segment(history, choices, length, policy) -> None:
    engine, sink = recorder(named(policy), length, seed=7)
    play(engine, history, choices)
    engine.close()
    whole = replay(sink.items(), named(policy))
    assert whole.difference is None
    assert whole.digest == sink.items()[-1].digest.hex()
    assert (whole.effects, whole.events) == (
        sum(len(item.effects) for item in sink.items() if isinstance(item, Decided)),
        sum(isinstance(item, Applied) for item in sink.items()),
    )
    for i in range(len(sink.all)):
        part = replay(sink.items(i), named(policy))
        assert part.difference is None
        assert part.digest == sink.items(i)[-1].digest.hex()


@given(events(), CHOICES)
def test_recording_changes_nothing(history, choices) -> None:
    plain, (recording, _) = Engine(named("kubernetes"), seed=3), recorder(named("kubernetes"), 5, seed=3)
    play(plain, history, choices)
    play(recording, history, choices)
    assert engine_of(plain) == engine_of(recording)


@given(events(), CHOICES)
def test_an_engine_goes_on_from_its_checkpoint(history, choices) -> None:
    half = len(history) // 2
    engine = Engine(named("fgd"), seed=5)
    play(engine, history[:half], choices)
    again = through_bytes(engine)
    before, after = engine_of(engine), engine_of(again)
    assert before.pop("story") is not None
    del after["story"]
    assert after == before
    assert again.checkpoint() == engine.checkpoint()


NODES = [NodeAdded(Node(name=f"n{i}", capacity={"cpu": 1000 * (i + 2)})) for i in range(5)]
TASKS = [TaskSubmitted(Task(id=f"t{i}", spec=TaskSpec(demand={"cpu": 700}))) for i in range(30)]


def packing() -> Policy:
    return Policy(filters=filters.DEFAULT, scorers=[(scorers.most_allocated("cpu"), 1)], name="packing")


def test_the_first_effect_that_differs_is_named_with_both_forms() -> None:
    engine, sink = recorder(packing())
    play(engine, NODES + TASKS)
    engine.close()
    items = sink.items()
    calls = [i for i, item in enumerate(items) if isinstance(item, Decided) and len(item.effects) > 1]
    where = calls[2]
    forged = replace(effect_of(items[where].effects[1]), node="n0")
    effects = list(items[where].effects)
    effects[1] = Raw(effect_bytes(forged))
    digests = bytearray(items[where].digests)
    digests[8] ^= 1
    items[where] = replace(items[where], effects=tuple(effects), digests=bytes(digests))
    difference = replay(items, packing()).difference
    before = sum(len(item.effects) for item in items[:where] if isinstance(item, Decided))
    assert difference.effect == before + 2
    assert difference.recorded == forged
    assert difference.made.task_id == forged.task_id
    assert difference.made.node != "n0"


def test_a_missing_event_shows_at_the_next_decision() -> None:
    engine, sink = recorder(packing())
    play(engine, NODES + TASKS)
    engine.close()
    items = [item for item in sink.items() if not (isinstance(item, Applied) and item.event == NODES[1])]
    difference = replay(items, packing()).difference
    assert difference.effect == 1
    assert (difference.recorded.decision.feasible, difference.made.decision.feasible) == (5, 4)


def test_a_checkpoint_that_does_not_follow_shows() -> None:
    engine, sink = recorder(packing(), 20)
    play(engine, NODES + TASKS)
    engine.close()
    items = sink.items()
    (second,) = [i for i, item in enumerate(items) if hasattr(item, "header") and item.header.segment == 2]
    items[second] = replace(items[second], checkpoint=replace(items[second].checkpoint, seq=999))
    difference = replay(items, packing()).difference
    assert "segment 2" in difference.what


def test_an_event_that_is_refused_is_not_recorded() -> None:
    engine, sink = recorder(packing())
    engine.apply(NODES[0])
    with pytest.raises(InvalidInput):
        engine.apply(NODES[0])
    assert [type(item).__name__ for item in sink.items()] == ["Opened", "Applied"]


def test_a_fault_of_a_plugin_is_part_of_the_record() -> None:
    @node_filter
    def picky(task, nodes):
        if task.id == "t3":
            raise ValueError("not this one")
        return nodes.free["cpu"] > 0

    policy = Policy(filters=[picky])
    engine, sink = recorder(policy)
    for event in [*NODES, *TASKS[:6]]:
        engine.apply(event)
    with pytest.raises(PolicyFault):
        engine.decide()
    engine.apply(TaskFinished("t3"))
    engine.decide()
    engine.close()
    (first, second) = [item for item in sink.items() if isinstance(item, Decided)]
    assert "not this one" in first.fault
    assert (len(first.effects), len(second.effects)) == (0, 5)
    assert replay(sink.items(), policy).difference is None


def test_what_the_next_call_hands_over_is_in_the_checkpoint() -> None:
    engine, sink = recorder(packing(), 1)
    for event in [*NODES, *TASKS[:4]]:
        engine.apply(event)
    engine.decide()
    engine.apply(NodeRemoved("n0"))
    engine.decide()
    engine.close()
    assert isinstance(sink.items()[-1], Closed)
    for i in range(len(sink.all)):
        assert replay(sink.items(i), packing()).difference is None


# -- another policy ----------------------------------------------------------------------------------------------


def test_under_the_same_policy_nothing_differs() -> None:
    engine, sink = recorder(packing())
    play(engine, NODES + TASKS)
    found = rerun(sink.items, packing())
    assert (found.elsewhere, found.only_recorded, found.only_other, found.skipped) == (0, 0, 0, 0)
    assert found.first == ()
    assert all(amount.recorded == amount.other for amount in found.amounts)
    assert found.refusals_recorded == found.refusals_other > 0


def test_under_another_policy_tasks_run_as_long_as_they_ran_from_their_new_start() -> None:
    """On record `late` waits for `early`; a policy that refuses `early` lets it begin at once, and so leave earlier."""

    @node_filter
    def not_early(task, nodes):
        return nodes.free["cpu"] > (10**9 if task.id == "early" else -1)

    def told(engine: Engine) -> None:
        engine.apply(NodeAdded(Node(name="n", capacity={"cpu": 1000})))
        come = {0.0: ("early", "late"), 12.0: ("next",)}
        for now, done in ((0.0, ""), (10.0, "early"), (12.0, ""), (25.0, ""), (30.0, "late")):
            if done:
                engine.apply(TaskFinished(done), now)
            for name in come.get(now, ()):
                engine.apply(TaskSubmitted(Task(id=name, spec=TaskSpec(demand={"cpu": 1000}))), now)
            for effect in engine.decide(now):
                if isinstance(effect, Bind):
                    engine.apply(BindConfirmed(effect.task_id), now)

    engine, sink = recorder(packing())
    told(engine)
    engine.close()
    found = rerun(sink.items, Policy(filters=[not_early]))
    assert (found.only_recorded, found.same_node) == (1, 2)
    assert [(task.task_id, task.recorded.node, task.other.node) for task in found.first] == [("early", "n", "")]
    # `late` began at 0 and left at 20; `next` is on the node from 25 on, on record from 30 on.
    assert [amount.other for amount in found.amounts if amount.resource == "cpu"] == [1000]


def test_a_replay_under_another_policy_begins_at_any_segment() -> None:
    engine, sink = recorder(packing(), 20)
    play(engine, NODES + TASKS)
    engine.close()
    found = rerun(lambda: sink.items(1), named("bestfit"))
    assert found.tasks > 0
    assert found.same_node + found.elsewhere + found.only_recorded + found.only_other + found.neither == found.tasks


def test_under_a_policy_that_preempts_the_evicted_come_again() -> None:
    engine, sink = recorder(packing())
    engine.apply(NodeAdded(Node(name="n", capacity={"cpu": 1000})))
    for name, priority in (("low", 0), ("high", 9)):
        spec = TaskSpec(demand={"cpu": 1000})
        engine.apply(TaskSubmitted(Task(id=name, spec=spec, priority=priority)), float(priority))
        for effect in engine.decide(float(priority)):
            if isinstance(effect, Bind):
                engine.apply(BindConfirmed(effect.task_id), float(priority))
    engine.decide(20.0)
    engine.close()
    found = rerun(sink.items, packing().preempting())
    placed = {task.task_id: task.other.node for task in found.first}
    assert (found.only_other, placed["high"]) == (1, "n")


def test_a_replay_counts_on_from_the_segment_it_begins_in() -> None:
    engine, sink = recorder(packing(), 20)
    play(engine, NODES + TASKS)
    engine.close()
    run = Replay(packing())
    for item in sink.items(1):
        assert run.feed(item) is None
    assert run.effects == sink.items(1)[-1].decisions
