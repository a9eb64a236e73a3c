"""What each event does to an engine, and that one which can not be changes nothing."""

import pytest

from pilotage.engine.engine import Engine
from pilotage.engine.validate import validate
from pilotage.engine.waiting import Backoff
from pilotage.kernel.policies import named
from pilotage.model.effects import Displaced, Reject
from pilotage.model.errors import InvalidInput
from pilotage.model.events import (
    BindConfirmed,
    BindFailed,
    NodeAdded,
    NodeRemoved,
    NodeUpdated,
    TaskFinished,
    TaskPlaced,
    TaskSubmitted,
    TaskUngated,
)
from pilotage.model.node import Node
from pilotage.model.task import Task, TaskSpec
from tests.engine.dump import engine_of

SPEC = TaskSpec(demand={"cpu": 1000})
TWO_GPUS = TaskSpec(gpus=2)


def node(name: str, cpu: int = 2000, gpus: int = 2, **facts) -> Node:
    return Node(name=name, capacity={"cpu": cpu}, gpus=gpus, **facts)


def task(name: str, spec: TaskSpec = SPEC, **facts) -> Task:
    return Task(id=name, spec=spec, **facts)


def engine_with(*nodes: Node, policy: str = "bestfit", **options) -> Engine:
    engine = Engine(named(policy), **options)
    for each in nodes:
        engine.apply(NodeAdded(each))
    return engine


def submitted(engine: Engine, *names: str, spec: TaskSpec = SPEC, now: float = 0.0) -> None:
    for name in names:
        engine.apply(TaskSubmitted(task(name, spec)), now)


def told(effects: list) -> list[tuple]:
    return [(type(e).__name__, e.task_id, "" if isinstance(e, Reject) else e.node) for e in effects]


def places(engine: Engine) -> dict[str, str]:
    return {t: engine.state.columns.names[p.row] for t, p in engine.state.placements.items()} | {
        w.task.id: w.place for w in engine.room
    }


def test_a_task_goes_to_a_node_and_its_record_says_how() -> None:
    engine = engine_with(node("a"), node("b"), seed=3)
    submitted(engine, "t", spec=TaskSpec(demand={"cpu": 500}, gpus=1, gpu_share=250))
    version = engine.state.version
    (bind,) = engine.decide(7.5)
    record = bind.decision
    assert (bind.task_id, bind.node, bind.gpus) == ("t", "a", (0,))
    assert (record.seq, record.now, record.task_id, record.node, record.gpus) == (1, 7.5, "t", "a", (0,))
    assert (record.version, record.feasible, record.policy, record.tie) == (version, 2, engine.policy.digest, "first")
    assert record.rejections == ()
    assert engine.decide(7.5) == []


def test_a_task_that_fits_nowhere_waits_and_its_record_says_why() -> None:
    engine = engine_with(node("a", 500), node("b", 999, cordoned=True), node("c", 0))
    submitted(engine, "t")
    (reject,) = engine.decide()
    assert not reject.final
    assert reject.decision.feasible == 0
    assert reject.decision.rejections == (
        ("cordon", "node(s) were unschedulable", 1),
        ("capacity", "Insufficient cpu", 2),
    )
    assert places(engine) == {"t": "unschedulable"}


def test_without_retry_a_rejected_task_is_dropped() -> None:
    engine = engine_with(node("a", 500), retry=False)
    submitted(engine, "t")
    (reject,) = engine.decide()
    assert reject.final
    assert places(engine) == {}
    submitted(engine, "t")
    assert len(engine.decide()) == 1, "its name is free again"


def test_with_no_nodes_at_all_a_task_waits_for_one() -> None:
    engine = engine_with()
    submitted(engine, "t")
    assert engine.decide()[0].decision.rejections == ()
    engine.apply(NodeAdded(node("a")), 5.0)
    assert told(engine.decide(5.0)) == [("Bind", "t", "a")]


def test_a_decision_counts_at_once() -> None:
    engine = engine_with(node("a", 1000), node("b", 1000))
    submitted(engine, "t", "u", "v")
    assert told(engine.decide()) == [("Bind", "t", "a"), ("Bind", "u", "b"), ("Reject", "v", "")]


def test_a_budget_ends_a_round_early_and_the_next_goes_on() -> None:
    engine = engine_with(node("a", 9000))
    submitted(engine, *"pqrst")
    assert engine.decide(0.0, 0) == []
    rounds = [told(engine.decide(0.0, 2)) for _ in range(4)]
    assert [[task_id for _, task_id, _ in round_] for round_ in rounds] == [["p", "q"], ["r", "s"], ["t"], []]


def test_tasks_of_a_removed_node_are_displaced_and_placed_again() -> None:
    engine = engine_with(node("a"), node("b"))
    submitted(engine, "t", "u")
    engine.decide()
    engine.apply(BindConfirmed("t"))
    engine.apply(NodeRemoved("a"), 4.0)
    assert told(engine.decide(4.0)) == [
        ("Displaced", "t", "a"),
        ("Displaced", "u", "a"),
        ("Bind", "t", "b"),
        ("Bind", "u", "b"),
    ]
    assert isinstance(engine.story.of("t")[-2].now, float)
    assert [line.what for line in engine.story.of("t")] == [
        "submitted",
        "assumed",
        "bind confirmed",
        "displaced",
        "assumed",
    ]
    assert engine.story.of("t")[3].now == 4.0
    validate(engine)


def test_displaced_says_why() -> None:
    engine = engine_with(node("a"))
    submitted(engine, "t")
    engine.decide()
    engine.apply(NodeRemoved("a"))
    displaced = engine.decide()[0]
    assert displaced == Displaced("t", "a", "node removed")


def test_a_failed_bind_gives_the_amounts_back_and_the_task_sits_out_a_backoff() -> None:
    engine = engine_with(node("a", 1000))
    submitted(engine, "t", "u")
    engine.decide()
    engine.apply(BindFailed("t", "conflict"), 1.0)
    assert places(engine) == {"t": "backoff", "u": "active"}
    assert told(engine.decide(1.0)) == [("Bind", "u", "a")]
    engine.apply(TaskFinished("u"), 1.5)
    assert told(engine.decide(1.9)) == []
    assert told(engine.decide(2.0)) == [("Bind", "t", "a")]
    engine.apply(BindFailed("t", "conflict"), 2.0)
    assert engine.room.next_release_s == 4.0, "the second failure in a row waits twice as long"
    engine.decide(4.0)
    engine.apply(BindConfirmed("t"), 4.0)
    assert engine.story.of("t")[-3].what == "bind failed"


def test_a_confirmed_bind_forgets_earlier_failures() -> None:
    engine = engine_with(node("a"), node("b"))
    submitted(engine, "t")
    engine.decide()
    for now in (0.0, 10.0, 20.0):
        engine.apply(BindFailed("t", "conflict"), now)
        assert told(engine.decide(now + 9.0))[0][0] == "Bind"
    engine.apply(BindConfirmed("t"), 30.0)
    engine.apply(NodeRemoved("a"), 30.0)
    engine.decide(30.0)
    engine.apply(BindFailed("t", "conflict"), 30.0)
    assert engine.room.next_release_s == 31.0


def test_a_task_placed_elsewhere_is_taken_out_of_the_room() -> None:
    engine = engine_with(node("a"), node("b"))
    submitted(engine, "t", "u")
    engine.apply(TaskPlaced(task("t"), "b"))
    assert engine.state.placements["t"].bound
    assert [effect.task_id for effect in engine.decide()] == ["u"]


def test_a_finished_task_frees_its_place_wherever_it_was() -> None:
    engine = engine_with(node("a", 1000))
    submitted(engine, "t", "u", "v")
    engine.apply(TaskFinished("v"))
    engine.decide()
    engine.apply(TaskFinished("u"))
    engine.apply(TaskFinished("t"))
    assert places(engine) == {}
    assert not engine.state.columns.used.any()
    submitted(engine, "t")
    assert told(engine.decide()) == [("Bind", "t", "a")]


def test_a_gated_task_is_not_decided_on() -> None:
    engine = engine_with(node("a"))
    engine.apply(TaskSubmitted(task("t", gates=("quota",))))
    assert engine.decide() == []
    engine.apply(TaskUngated("t"))
    assert told(engine.decide()) == [("Bind", "t", "a")]


def test_a_gpu_that_is_left_on_a_shrunk_node_can_be_used() -> None:
    engine = engine_with(node("a", gpus=4))
    engine.apply(TaskPlaced(task("t", TaskSpec(gpus=3)), "a", (1, 2, 3)))
    engine.apply(NodeUpdated(node("a", gpus=1)))
    submitted(engine, "u", spec=TaskSpec(gpus=1))
    (bind,) = engine.decide()
    assert bind.gpus == (0,)
    validate(engine)


# ---------------------------------------------------------------- what can not be


def prepared() -> Engine:
    """Task `bound` runs, `assumed` is on its way, `waiting` waits, `asleep` fits nowhere, `gated` is gated."""
    engine = engine_with(node("a", 9000), node("b", 500), policy="kubernetes", backoff=Backoff(2.0, 5.0))
    submitted(engine, "bound", "assumed")
    submitted(engine, "asleep", spec=TaskSpec(demand={"cpu": 50_000}))
    engine.decide(1.0)
    engine.apply(BindConfirmed("bound"), 1.0)
    submitted(engine, "waiting")
    engine.apply(TaskSubmitted(task("gated", gates=("x",))))
    return engine


NONSENSE = [
    (NodeAdded(node("a")), "node.name"),
    (NodeUpdated(node("nobody")), "node"),
    (NodeRemoved("nobody"), "node"),
    (NodeRemoved(""), "node"),
    *((TaskSubmitted(task(name)), "task_id") for name in ("bound", "assumed", "waiting", "asleep", "gated")),
    (TaskUngated("nobody"), "task_id"),
    (TaskUngated("bound"), "task_id"),
    (TaskFinished("nobody"), "task_id"),
    (BindConfirmed("nobody"), "task_id"),
    (BindConfirmed("waiting"), "task_id"),
    (BindConfirmed("asleep"), "task_id"),
    (BindFailed("nobody", ""), "task_id"),
    (BindFailed("waiting", ""), "task_id"),
    (BindFailed("bound", ""), "task_id"),
    (TaskPlaced(task("bound"), "a"), "task_id"),
    (TaskPlaced(task("assumed"), "b"), "task_id"),
    (TaskPlaced(task("new"), "nobody"), "node"),
    (TaskPlaced(task("waiting"), "nobody"), "node"),
    (TaskPlaced(task("new", TWO_GPUS), "a", ()), "gpus"),
    (TaskPlaced(task("new", TWO_GPUS), "a", (0,)), "gpus"),
    (TaskPlaced(task("new", TWO_GPUS), "a", (1, 1)), "gpus"),
    (TaskPlaced(task("new", TWO_GPUS), "a", (1, 2)), "gpus"),
    (TaskPlaced(task("new", TWO_GPUS), "a", (-1, 1)), "gpus"),
    (TaskPlaced(task("new", TWO_GPUS), "a", (0, 1, 1)), "gpus"),
    (TaskPlaced(task("waiting"), "a", (0,)), "gpus"),
]


@pytest.mark.parametrize(
    ("event", "field"), NONSENSE, ids=[f"{type(e).__name__} {i}" for i, (e, _) in enumerate(NONSENSE)]
)
def test_events_that_can_not_be_are_refused_and_change_nothing(event, field) -> None:
    engine = prepared()
    before = engine_of(engine)
    with pytest.raises(InvalidInput) as refusal:
        engine.apply(event, 2.0)
    assert refusal.value.field == field
    assert engine_of(engine) == before
    assert told(engine.decide(2.0)) == [("Bind", "waiting", "a")], "and it goes on as if nothing had been"


def test_a_task_can_not_finish_twice() -> None:
    engine = prepared()
    engine.apply(TaskFinished("bound"))
    before = engine_of(engine)
    with pytest.raises(InvalidInput, match="bound"):
        engine.apply(TaskFinished("bound"))
    assert engine_of(engine) == before


@pytest.mark.parametrize("policy", ["kubernetes", "bestfit"])
def test_a_node_that_takes_over_a_freed_row_is_last_in_the_order_of_ties(policy) -> None:
    engine = engine_with(node("a"), node("b"), node("c"), policy=policy)
    taken = []
    for name, leaves, joins in (("t", "", ""), ("u", "a", "d"), ("v", "b", "e")):
        if leaves:
            engine.apply(NodeRemoved(leaves))
            engine.apply(NodeAdded(node(joins)))
        submitted(engine, name)
        taken += [effect.node for effect in engine.decide()]
        engine.apply(TaskFinished(name))
    assert taken == ["a", "b", "c"]


def test_a_new_task_under_an_old_name_starts_with_a_clean_slate() -> None:
    engine = engine_with(node("a"))
    for now in (0.0, 100.0):
        submitted(engine, "t", now=now)
        engine.decide(now)
        engine.apply(BindFailed("t", "conflict"), now)
        assert engine.room.next_release_s == now + 1.0
        engine.apply(TaskFinished("t"), now)
