"""Queues: whose turn it is, who is held back by a limit, and who goes on when it gives way."""

import pytest

from pilotage import policies
from pilotage.engine.engine import Engine
from pilotage.engine.queues import QueueTree, Standing, by_share, pick_queue
from pilotage.engine.validate import validate
from pilotage.model.effects import Bind, Reject
from pilotage.model.errors import InvalidInput
from pilotage.model.events import (
    BindFailed,
    NodeAdded,
    NodeRemoved,
    QueueDeclared,
    QueueRemoved,
    TaskFinished,
    TaskSubmitted,
)
from pilotage.model.node import Node
from pilotage.model.queue import Queue
from pilotage.model.task import Task, TaskSpec

CPU = TaskSpec(demand={"cpu": 1000})


def engine_with(*queues: Queue, cpu: int = 10_000, **options) -> Engine:
    engine = Engine(policies.named("bestfit"), **options)
    engine.apply(NodeAdded(Node(name="n", capacity={"cpu": cpu, "memory": 10_000})))
    for queue in queues:
        engine.apply(QueueDeclared(queue))
    return engine


def submit(engine: Engine, *names: str, spec: TaskSpec = CPU) -> None:
    """Names are queue-number; the queue "none" is none."""
    for name in names:
        queue = name.partition("-")[0]
        engine.apply(TaskSubmitted(Task(id=name, spec=spec, queue="" if queue == "none" else queue)))


def placed(engine: Engine, budget: int | None = None) -> list[str]:
    found = [effect.task_id for effect in engine.decide(0.0, budget) if isinstance(effect, Bind)]
    validate(engine)
    return found


def standing(used: dict[str, int], quota: dict[str, int], priority: int = 0, weight: int = 1) -> Standing:
    return Standing(priority, weight, quota, used, {"cpu": 1000, "gpu": 8000, "memory": 0})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (standing({"cpu": 900}, {}, priority=1), standing({}, {"cpu": 10})),
        (standing({"cpu": 9}, {"cpu": 10}), standing({}, {})),
        (standing({"cpu": 9, "gpu": 5000}, {"cpu": 10}), standing({"cpu": 10}, {"cpu": 10})),
        (standing({"cpu": 200}, {}), standing({"gpu": 2000}, {})),
        (standing({"cpu": 200}, {}, weight=3), standing({"cpu": 67}, {})),
        (standing({"cpu": 66}, {}), standing({"cpu": 200}, {}, weight=3)),
        (standing({"cpu": 300, "gpu": 0}, {"cpu": 300}), standing({"cpu": 1}, {})),
        (standing({"memory": 10**9}, {}), standing({"cpu": 1}, {})),
        (standing({"cpu": 333_333}, {"cpu": 10**6}), standing({"gpu": 1}, {"gpu": 3})),
    ],
    ids=["priority", "within quota", "used up", "dominant", "weight", "exact", "over by none", "nowhere", "a hair"],
)
def test_turns(first, second) -> None:
    assert by_share(first) < by_share(second)


def test_siblings_are_compared_from_the_top_down() -> None:
    tree = QueueTree()
    tree.count_node(Node(name="n", capacity={"cpu": 1000}), 1)
    for name, parent in (("x", ""), ("y", ""), ("x1", "x"), ("x2", "x"), ("y1", "y")):
        tree.put(Queue(name=name, parent=parent))
    ready = {"x": 2, "x1": 1, "x2": 1, "y": 1, "y1": 1}
    assert pick_queue(tree, ready) == "x1"
    tree.count(Task(id="t", spec=TaskSpec(demand={"cpu": 10}), queue="x2"), 1)
    assert pick_queue(tree, ready) == "y1"
    assert pick_queue(tree, {"x": 2, "x1": 1, "x2": 1}) == "x1"


def test_another_comparator_can_take_its_place() -> None:
    tree = QueueTree(rank=lambda standing: -standing.used.get("cpu", 0))
    for name in "ab":
        tree.put(Queue(name=name))
    tree.count(Task(id="t", spec=CPU, queue="b"), 1)
    assert pick_queue(tree, {"a": 1, "b": 1}) == "b"


def test_queues_take_turns_by_weight() -> None:
    engine = engine_with(Queue(name="a"), Queue(name="b", weight=2), cpu=9000)
    submit(engine, *(f"{queue}-{i}" for queue in "ab" for i in range(9)))
    order = placed(engine)
    assert sum(name[0] == "a" for name in order) == 3
    assert sum(name[0] == "b" for name in order) == 6


def test_tasks_without_a_queue_are_a_queue_of_their_own() -> None:
    engine = engine_with(Queue(name="a", quota={"cpu": 2000}))
    submit(engine, *(f"{queue}-{i}" for queue in ("none", "a") for i in range(4)))
    assert placed(engine) == ["a-0", "a-1", "none-0", "a-2", "none-1", "a-3", "none-2", "none-3"]


def test_running_tasks_count_from_the_first_declaration_on() -> None:
    engine = engine_with()
    submit(engine, "none-0", "none-1")
    assert len(placed(engine)) == 2
    engine.apply(QueueDeclared(Queue(name="a")))
    assert engine.state.queues.used[""]["cpu"] == 2000
    validate(engine)
    engine.apply(QueueRemoved("a"))
    submit(engine, "none-2")
    assert len(placed(engine)) == 1
    engine.apply(QueueDeclared(Queue(name="a")))
    assert engine.state.queues.used[""]["cpu"] == 3000
    validate(engine)


def test_the_limit_of_a_parent_binds_all_below_it() -> None:
    top = Queue(name="top", limit={"cpu": 2500})
    engine = engine_with(top, Queue(name="a", parent="top"), Queue(name="b", parent="top"))
    submit(engine, "a-0", "b-0", "a-1", "b-1")
    effects = engine.decide()
    assert [type(effect) for effect in effects] == [Bind, Bind, Reject, Reject]
    assert effects[2].decision.rejections == (("queue", "queue top would pass its limit of cpu", 1),)
    assert not effects[2].final


def test_one_follows_for_each_that_leaves() -> None:
    """A thousand wait: one departure looks at one of them, and at the one behind it."""
    engine = engine_with(Queue(name="a", limit={"cpu": 2000}))
    submit(engine, *(f"a-{i}" for i in range(1000)))
    assert placed(engine) == ["a-0", "a-1"]
    for i in range(3):
        engine.apply(TaskFinished(f"a-{i}"))
        effects = engine.decide()
        assert [(type(e), e.task_id) for e in effects] == [(Bind, f"a-{i + 2}"), (Reject, f"a-{i + 3}")]


def test_a_smaller_one_goes_on_where_a_larger_one_can_not() -> None:
    engine = engine_with(Queue(name="a", limit={"cpu": 2000}))
    submit(engine, "a-0")
    submit(engine, "a-large", spec=TaskSpec(demand={"cpu": 1500}))
    submit(engine, "a-1")
    assert placed(engine) == ["a-0", "a-1"]
    engine.apply(TaskFinished("a-0"))
    assert placed(engine) == []
    engine.apply(TaskFinished("a-1"))
    assert placed(engine) == ["a-large"]


@pytest.mark.parametrize(
    "event",
    [
        TaskFinished("a-0"),
        BindFailed("a-0", "no"),
        QueueDeclared(Queue(name="a", limit={"cpu": 2000})),
        QueueDeclared(Queue(name="a")),
    ],
    ids=["a task leaves", "a bind fails", "the limit rises", "the limit goes"],
)
def test_whoever_is_held_back_goes_on_when_the_limit_gives_way(event) -> None:
    engine = engine_with(Queue(name="a", limit={"cpu": 1000}))
    submit(engine, "a-0", "a-1")
    assert placed(engine) == ["a-0"]
    assert placed(engine) == []
    engine.apply(event)
    assert placed(engine) == ["a-1"]


def test_a_lost_node_frees_the_queue_too() -> None:
    engine = engine_with(Queue(name="a", limit={"cpu": 1000}))
    submit(engine, "a-0", "a-1")
    placed(engine)
    engine.apply(NodeRemoved("n"))
    assert engine.state.queues.used["a"]["cpu"] == 0
    engine.apply(NodeAdded(Node(name="m", capacity={"cpu": 5000})))
    assert len(placed(engine)) == 1


def test_a_held_task_can_be_cancelled() -> None:
    engine = engine_with(Queue(name="a", limit={"cpu": 0}))
    submit(engine, "a-0", "a-1")
    assert placed(engine) == []
    engine.apply(TaskFinished("a-0"))
    engine.apply(QueueDeclared(Queue(name="a")))
    assert placed(engine) == ["a-1"]


def test_without_retries_a_task_over_the_limit_is_dropped() -> None:
    engine = engine_with(Queue(name="a", limit={"cpu": 0}), retry=False)
    submit(engine, "a-0")
    (effect,) = engine.decide()
    assert isinstance(effect, Reject)
    assert effect.final
    assert len(engine.room) == 0


def test_the_tree_is_checked() -> None:
    engine = engine_with(Queue(name="a"), Queue(name="b", parent="a"), Queue(name="c", parent="b"))
    submit(engine, "c-0")
    for event, field in (
        (QueueDeclared(Queue(name="a", parent="c")), "queue.parent"),
        (QueueDeclared(Queue(name="d", parent="c")), "queue.parent"),
        (QueueDeclared(Queue(name="d", parent="x")), "queue.parent"),
        (QueueRemoved("b"), "queue.name"),
        (QueueRemoved("c"), "queue.name"),
        (QueueRemoved("x"), "queue.name"),
    ):
        with pytest.raises(InvalidInput) as refusal:
            engine.apply(event)
        assert refusal.value.field == field
    engine.apply(TaskFinished("c-0"))
    for name in "cba":
        engine.apply(QueueRemoved(name))
    assert not engine.state.queues.declared
