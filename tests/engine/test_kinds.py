"""Totals follow the bounds of the raw scores of feasible nodes, whatever moved them and whoever looked first."""

import pytest

from pilotage import Policy, filters, policies, scorers
from pilotage.engine.engine import Engine
from pilotage.engine.kind import LEADERS
from pilotage.model.effects import Bind
from pilotage.model.events import NodeAdded, NodeUpdated, TaskFinished, TaskPlaced, TaskSubmitted
from pilotage.model.node import Node, Taint, TaintEffect
from pilotage.model.task import Task, TaskSpec, Toleration

SMALL = TaskSpec(demand={"cpu": 10})
FREE = TaskSpec()
HALF, MOST = TaskSpec(demand={"cpu": 500}), TaskSpec(demand={"cpu": 1900})


def soft(count: int) -> tuple[Taint, ...]:
    return tuple(Taint(f"k{i}", effect=TaintEffect.PREFER_NO_SCHEDULE) for i in range(count))


def decided(engine: Engine, spec: TaskSpec) -> tuple[str, float]:
    """Where a task of ``spec`` goes, and its score; it leaves at once."""
    engine.apply(TaskSubmitted(Task(id="probe", spec=spec)))
    (bind,) = engine.decide()
    engine.apply(TaskFinished("probe"))
    return bind.node, bind.decision.score


@pytest.mark.parametrize("crowd", [1, 30], ids=["one row at once", "many rows at once"])
def test_a_node_that_fills_up_leaves_the_bounds(crowd) -> None:
    engine = Engine(Policy(filters=filters.DEFAULT, scorers=[(scorers.fewest_taints(), 1)]))
    for i in range(crowd):
        engine.apply(NodeAdded(Node(name=f"worse-{i}", capacity={"cpu": 100}, taints=soft(2))))
    engine.apply(NodeAdded(Node(name="better", capacity={"cpu": 100}, taints=soft(1))))
    assert decided(engine, SMALL) == ("better", 50)  # 100 - 100 x 1 / 2
    for i in range(crowd):
        engine.apply(TaskPlaced(Task(id=f"filler-{i}", spec=TaskSpec(demand={"cpu": 100})), f"worse-{i}"))
    assert decided(engine, SMALL) == ("better", 0)  # alone now: 100 - 100 x 1 / 1
    engine.apply(TaskFinished("filler-0"))
    assert decided(engine, SMALL) == ("better", 50)


def fitting(*capacities: int) -> Engine:
    engine = Engine(Policy(filters=filters.DEFAULT, scorers=[(scorers.best_fit({"cpu": 100}), 1)]))
    for i, cpu in enumerate(capacities):
        engine.apply(NodeAdded(Node(name=f"n{i}", capacity={"cpu": cpu})))
    return engine


def test_a_score_that_passes_the_bounds_moves_them() -> None:
    engine = fitting(1000, 2000, 1600)
    assert decided(engine, FREE) == ("n0", 100)
    engine.apply(TaskPlaced(Task(id="t", spec=MOST), "n1"))
    assert decided(engine, FREE) == ("n1", 100)
    engine.apply(TaskFinished("t"))
    assert decided(engine, FREE) == ("n0", 100)


def test_the_bounds_move_for_many_changes_at_once() -> None:
    engine = fitting(*[1000] * 40, 2000)
    assert decided(engine, FREE) == ("n0", 100)
    for i in range(20):
        engine.apply(TaskPlaced(Task(id=f"half-{i}", spec=HALF), f"n{i + 5}"))
    engine.apply(TaskPlaced(Task(id="t", spec=MOST), "n40"))
    assert decided(engine, FREE) == ("n40", 100)
    engine.apply(TaskFinished("t"))
    assert decided(engine, FREE) == ("n5", 100)


def test_kinds_that_share_a_scorer_both_notice_when_its_bounds_move() -> None:
    engine = fitting(1000, 2000, 1600)
    specs = [TaskSpec(tolerations=tolerations) for tolerations in ((), (Toleration("a"),), (Toleration("b"),))]
    assert [decided(engine, spec) for spec in specs] == [("n0", 100)] * 3
    engine.apply(TaskPlaced(Task(id="t", spec=MOST), "n1"))
    assert [decided(engine, spec) for spec in specs] == [("n1", 100)] * 3
    engine.apply(TaskFinished("t"))
    assert [decided(engine, spec) for spec in reversed(specs)] == [("n0", 100)] * 3


def test_a_node_that_changes_its_labels_only_moves_nothing_else() -> None:
    engine = fitting(1000, 2000)
    assert decided(engine, FREE) == ("n0", 100)
    work = engine.kinds.evaluated
    engine.apply(NodeUpdated(Node(name="n0", capacity={"cpu": 1000}, labels={"k": "v"})))
    assert decided(engine, FREE) == ("n0", 100)
    assert engine.kinds.evaluated - work <= 4 * 7


def test_growth_past_what_was_allocated_keeps_every_score() -> None:
    engine = fitting(10_000, 20_000)
    assert decided(engine, FREE) == ("n0", 100)
    for i in range(2, 200):
        engine.apply(NodeAdded(Node(name=f"n{i}", capacity={"cpu": 10_000 + 20 * i})))
        engine.apply(TaskSubmitted(Task(id="probe", spec=FREE)))
        (bind,) = engine.decide()
        assert (bind.node, bind.decision.score, bind.decision.feasible) == ("n0", 100, i + 1)
        engine.apply(TaskFinished("probe"))
    engine.apply(TaskPlaced(Task(id="t", spec=TaskSpec(demand={"cpu": 19_900})), "n1"))
    assert decided(engine, FREE) == ("n1", 100)


def test_the_first_task_of_a_kind_is_a_guest_and_the_second_is_kept() -> None:
    engine = fitting(1000, 2000)
    assert decided(engine, SMALL) == ("n0", 100)
    assert len(engine.kinds) == 0
    assert engine.kinds.nbytes == 0
    assert decided(engine, SMALL) == ("n0", 100)
    assert len(engine.kinds) == 1
    assert engine.kinds.nbytes > 0


def test_tasks_that_are_one_of_a_kind_push_out_nobody() -> None:
    engine = Engine(Policy(filters=filters.DEFAULT, scorers=[(scorers.best_fit({"cpu": 100}), 1)]), cache_bytes=4000)
    for i in range(20):
        engine.apply(NodeAdded(Node(name=f"n{i}", capacity={"cpu": 1000})))
    decided(engine, SMALL)
    decided(engine, SMALL)
    (kind,) = engine.kinds._by_key.values()
    for i in range(200):
        decided(engine, TaskSpec(demand={"cpu": 20 + i}))
    assert list(engine.kinds._by_key.values()) == [kind]
    work = engine.kinds.evaluated
    decided(engine, SMALL)
    assert engine.kinds.evaluated - work < 20, "it was still known"


def test_guests_work_in_the_same_arrays() -> None:
    engine = fitting(1000, 2000)
    decided(engine, TaskSpec(demand={"cpu": 1}))
    first = engine.kinds._guest
    decided(engine, TaskSpec(demand={"cpu": 2}))
    second = engine.kinds._guest
    assert first is not None
    assert second is not None
    assert first is not second
    assert first.total is second.total
    assert first.scorers[0].values is second.scorers[0].values


def test_equal_tasks_look_for_the_best_nodes_once_in_a_while() -> None:
    engine = Engine(policies.named("kubernetes"))
    for i in range(300):
        engine.apply(NodeAdded(Node(name=f"n{i:03}", capacity={"cpu": 1000, "memory": 1000, "tasks": 100})))
    spec = TaskSpec(demand={"cpu": 100, "memory": 100})
    for i in range(202):
        engine.apply(TaskSubmitted(Task(id=f"t{i}", spec=spec)))
    nodes = [effect.node for effect in engine.decide() if isinstance(effect, Bind)]
    assert len(set(nodes)) == 202, "as long as some are empty, nobody is sent where somebody is"
    assert engine.kinds.of(Task(id="one more", spec=spec)).scans == 2 + 200 // LEADERS
