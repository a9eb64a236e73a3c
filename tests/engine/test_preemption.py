"""Preemption: which tasks go, which node is chosen, and what becomes of the place until they are gone."""

import pytest

from pilotage import Policy, filters, policies
from pilotage.engine.engine import Engine
from pilotage.engine.validate import validate
from pilotage.model.company import Company, Selector
from pilotage.model.effects import Bind, Evict, Nominated, Reject
from pilotage.model.errors import InvalidInput
from pilotage.model.events import (
    EvictFailed,
    NodeAdded,
    NodeRemoved,
    QueueDeclared,
    TaskFinished,
    TaskPlaced,
    TaskSubmitted,
)
from pilotage.model.expression import Expression, Operator
from pilotage.model.node import Node, Taint
from pilotage.model.queue import Queue
from pilotage.model.task import HostPort, Task, TaskSpec


def spec(cpu: int, **facts) -> TaskSpec:
    return TaskSpec(demand={"cpu": cpu}, **facts)


def engine_with(*nodes: dict[str, tuple[int, TaskSpec]], policy: Policy | None = None, **facts) -> Engine:
    """One node of 1,000 CPU for each dict of running tasks: name -> (priority, spec), placed in that order."""
    engine = Engine(policy or policies.named("bestfit").preempting())
    for i, running in enumerate(nodes):
        engine.apply(NodeAdded(Node(name=f"n{i}", capacity={"cpu": 1000, "memory": 100}, **facts)))
        for name, (priority, needs) in running.items():
            task = Task(id=name, spec=needs, priority=priority)
            engine.apply(TaskPlaced(task, f"n{i}", tuple(range(needs.gpus))))
    return engine


def preempt(engine: Engine, needs: TaskSpec, priority: int = 10, name: str = "important") -> tuple[str, list[str]]:
    """Submit a task; return the node that is kept for it (empty: none) and who has to leave."""
    engine.apply(TaskSubmitted(Task(id=name, spec=needs, priority=priority)))
    effects = engine.decide()
    validate(engine)
    assert not any(isinstance(effect, Bind) for effect in effects)
    nominated = [effect.node for effect in effects if isinstance(effect, Nominated)]
    return (nominated or [""])[0], [effect.task_id for effect in effects if isinstance(effect, Evict)]


def bound(engine: Engine, now: float = 0.0) -> dict[str, str]:
    effects = engine.decide(now)
    validate(engine)
    return {effect.task_id: effect.node for effect in effects if isinstance(effect, Bind)}


FULL = {"a": (0, spec(500)), "b": (0, spec(500))}


@pytest.mark.parametrize(
    ("nodes", "chosen", "victims"),
    [
        ([{"a": (5, spec(900))}, {"b": (4, spec(900))}], "n1", ["b"]),
        ([{"a": (5, spec(900))}, {"b": (5, spec(450)), "c": (1, spec(450))}], "n0", ["a"]),
        ([{"a": (5, spec(450)), "b": (0, spec(450))}, {"c": (5, spec(450)), "d": (-1, spec(450))}], "n1", ["c", "d"]),
        ([{"a": (5, spec(900))}, {"b": (5, spec(900))}], "n1", ["b"]),
        ([{"a": (5, spec(900)), "z": (11, spec(50))}, {"b": (12, spec(900))}], "n0", ["a"]),
        ([{"a": (9, spec(100)), "b": (1, spec(850))}], "n0", ["b"]),
        ([{"a": (1, spec(100)), "b": (9, spec(850))}], "n0", ["b"]),
        ([{"a": (5, spec(850)), "b": (4, spec(100))}, {"c": (5, spec(450)), "d": (0, spec(450))}], "n0", ["a"]),
    ],
    ids=[
        "top",
        "sum",
        "sum of two",
        "newest",
        "less important only",
        "small one stays",
        "smaller of less too",
        "who stays costs nothing",
    ],
)
def test_the_node_that_gives_up_least(nodes, chosen, victims) -> None:
    assert preempt(engine_with(*nodes), spec(900)) == (chosen, victims)


@pytest.mark.parametrize(
    ("running", "needs", "facts"),
    [
        ({"a": (10, spec(900))}, spec(900), {}),
        ({"a": (0, spec(900))}, spec(1001), {}),
        ({"a": (0, spec(900))}, spec(900, node_selector={"disk": "ssd"}), {}),
        ({"a": (0, spec(900))}, spec(900), {"taints": (Taint("team"),)}),
        ({"a": (0, spec(900))}, spec(900), {"cordoned": True}),
        ({}, spec(1001), {}),
    ],
    ids=["equal priority", "too large", "another node", "taint", "cordon", "empty"],
)
def test_nobody_goes_where_it_would_not_help(running, needs, facts) -> None:
    engine = engine_with(running, **facts)
    assert preempt(engine, needs) == ("", [])
    assert not engine.state.columns.claims


def test_without_the_policy_s_leave_nobody_goes() -> None:
    engine = engine_with(FULL, policy=policies.named("bestfit"))
    assert preempt(engine, spec(600)) == ("", [])


def test_gpus_and_ports_are_given_up_too() -> None:
    share = TaskSpec(gpus=1, gpu_share=600)
    assert preempt(engine_with({"a": (0, share)}, gpus=1), share) == ("n0", ["a"])
    assert preempt(engine_with({"a": (0, TaskSpec(gpus=2)), "b": (1, spec(10))}, gpus=2), share) == ("n0", ["a"])
    port = spec(10, ports=(HostPort(80),))
    assert preempt(engine_with({"a": (0, port), "b": (0, spec(10))}), port) == ("n0", ["a"])


def test_the_place_is_kept_until_the_victims_are_gone() -> None:
    engine = engine_with(FULL)
    assert preempt(engine, spec(800)) == ("n0", ["a", "b"])
    engine.apply(TaskFinished("a"))
    for i, priority in enumerate((5, 10)):
        engine.apply(TaskSubmitted(Task(id=f"rival-{i}", spec=spec(300), priority=priority)))
    effects = engine.decide()
    assert [type(effect) for effect in effects] == [Reject, Reject]
    assert ("kept", "node(s) are kept for tasks that made room there", 1) in effects[0].decision.rejections
    engine.apply(TaskFinished("b"))
    assert bound(engine) == {"important": "n0"}
    assert not engine.state.columns.claims


def test_whose_victims_are_gone_is_decided_before_all_others() -> None:
    engine = engine_with(FULL)
    preempt(engine, spec(600))
    engine.apply(TaskSubmitted(Task(id="boss", spec=spec(100), priority=20)))
    for name in "ab":
        engine.apply(TaskFinished(name))
    assert list(bound(engine)) == ["important", "boss"]


def test_what_is_left_beside_a_claim_can_be_had() -> None:
    engine = engine_with(FULL)
    preempt(engine, spec(400))
    engine.apply(TaskFinished("b"))
    engine.apply(TaskSubmitted(Task(id="small", spec=spec(100))))
    assert bound(engine) == {"important": "n0", "small": "n0"}


def test_beside_a_claim_whoever_stays_counts_when_nodes_are_compared() -> None:
    engine = engine_with({"a": (0, spec(400)), "stays": (5, spec(300))}, {"b": (3, spec(900))})
    assert preempt(engine, spec(400), name="first") == ("n0", ["a"])
    # Beside the first one there is no room on n0 for both: its task of priority 5 would have to go.
    assert preempt(engine, spec(400), name="second") == ("n1", ["b"])


def test_a_better_place_is_taken_and_the_claim_goes() -> None:
    engine = engine_with(FULL)
    preempt(engine, spec(800))
    engine.apply(NodeAdded(Node(name="new", capacity={"cpu": 1000, "memory": 1})), 5.0)
    assert bound(engine, 20.0) == {"important": "new"}
    assert not engine.claims.stakes


def test_a_more_important_task_takes_the_place() -> None:
    engine = engine_with(FULL)
    preempt(engine, spec(800))
    assert preempt(engine, spec(900), 20, "boss") == ("n0", [])
    assert list(engine.claims.stakes) == ["boss"]
    for name in "ab":
        engine.apply(TaskFinished(name))
    assert bound(engine) == {"boss": "n0"}


@pytest.mark.parametrize(
    ("event", "left"),
    [(TaskFinished("important"), []), (NodeRemoved("n0"), ["important"]), (EvictFailed("a", "no"), ["important"])],
    ids=["cancelled", "node gone", "a victim stays"],
)
def test_a_claim_ends(event, left) -> None:
    engine = engine_with(FULL)
    preempt(engine, spec(800))
    engine.apply(event)
    validate(engine)
    assert not engine.state.columns.claims
    assert [name for name in ("important",) if name in engine.room] == left


def test_whoever_waits_on_a_node_that_vanishes_looks_anew() -> None:
    engine = engine_with(FULL, {"c": (1, spec(900))})
    assert preempt(engine, spec(800))[0] == "n0"
    engine.apply(NodeRemoved("n0"))
    nominated = [effect for effect in engine.decide(20.0) if isinstance(effect, Nominated)]
    assert [(effect.node, effect.waits_for) for effect in nominated] == [("n1", ("c",))]


def test_only_a_task_that_was_to_go_can_fail_to_go() -> None:
    engine = engine_with(FULL)
    for name in ("a", "unheard-of"):
        with pytest.raises(InvalidInput) as refusal:
            engine.apply(EvictFailed(name, "no"))
        assert refusal.value.field == "task_id"


def test_a_queue_at_its_limit_makes_no_room() -> None:
    engine = engine_with(FULL)
    engine.apply(QueueDeclared(Queue(name="q", limit={"cpu": 100})))
    engine.apply(TaskSubmitted(Task(id="t", spec=spec(600), priority=9, queue="q")))
    assert [type(effect) for effect in engine.decide()] == [Reject]


def test_who_keeps_others_away_goes_and_nobody_else() -> None:
    """A filter that looks beyond rows: a running task that wants no company in its zone, on either side."""
    alike = Selector((Expression("app", Operator.IN, ("db",)),))
    alone = TaskSpec(demand={"cpu": 10}, no_company=(Company("zone", alike),))
    policy = Policy(filters=[*filters.DEFAULT, *filters.DOMAIN], preempt=True)
    engine = Engine(policy)
    for name, zone in (("n0", "x"), ("n1", "x"), ("n2", "y")):
        engine.apply(NodeAdded(Node(name=name, capacity={"cpu": 1000, "memory": 1}, labels={"zone": zone})))
    for name, node, priority, needs in (
        ("plain", "n0", 0, spec(10)),
        ("db-x", "n0", 1, alone),
        ("filler", "n1", 0, spec(10)),
        ("db-y", "n2", 20, alone),
    ):
        labels = {"app": "db"} if name.startswith("db") else {}
        engine.apply(TaskPlaced(Task(id=name, spec=needs, priority=priority, labels=labels), node))
    version = engine.state.version
    engine.apply(TaskSubmitted(Task(id="new", spec=alone, priority=10, labels={"app": "db"})))
    effects = engine.decide()
    validate(engine)
    assert [(e.task_id, e.node) for e in effects if isinstance(e, Evict)] == [("db-x", "n0")]
    assert engine.state.version > version, "tried on the state, and undone"
    assert set(engine.state.placements) == {"plain", "db-x", "filler", "db-y"}
    engine.apply(TaskFinished("db-x"))
    assert set(bound(engine)) == {"new"}
