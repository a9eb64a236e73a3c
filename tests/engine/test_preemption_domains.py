"""Making room under rules about other tasks: what is given up is enough, needed, and found where there is a way."""

from hypothesis import event, given
from hypothesis import strategies as st

from pilotage import Node, Policy, Task, TaskSpec, filters
from pilotage.engine.engine import Engine
from pilotage.engine.validate import validate
from pilotage.kernel.nodes import Nodes
from pilotage.model.company import Company, Selector, Spread
from pilotage.model.effects import Bind, Evict, Nominated, Reject
from pilotage.model.events import NodeAdded, TaskFinished, TaskPlaced, TaskSubmitted
from pilotage.model.expression import Expression, Operator

POLICY = Policy(filters=[*filters.DEFAULT, *filters.DOMAIN], preempt=True)
APPS = ("web", "db")
KEYS = ("host", "zone")


def select(app: str) -> Selector:
    return Selector((Expression("app", Operator.IN, (app,)),))


@st.composite
def wishes(draw: st.DrawFn) -> TaskSpec:
    """Some CPU, and now and then a rule about other tasks; none that more tasks on the node could meet better."""
    away = [Company(draw(st.sampled_from(KEYS)), select(app)) for app in APPS if draw(st.integers(0, 3)) == 0]
    spread = [Spread(key=draw(st.sampled_from(KEYS)), selector=select(app)) for app in APPS if draw(st.booleans())]
    cpu = draw(st.integers(1, 4))
    return TaskSpec(demand={"cpu": cpu}, no_company=tuple(away), spread=tuple(spread[: draw(st.integers(0, 1))]))


@st.composite
def crowds(draw: st.DrawFn) -> list[tuple[Task, str]]:
    """Tasks on four nodes in two zones, wherever somebody once put them."""
    return [
        (
            Task(
                id=f"old-{i}",
                spec=draw(wishes()),
                priority=draw(st.integers(0, 4)),
                labels={"app": draw(st.sampled_from(APPS))},
            ),
            f"n{draw(st.integers(0, 3))}",
        )
        for i in range(draw(st.integers(0, 8)))
    ]


def engine_with(crowd: list[tuple[Task, str]]) -> Engine:
    engine = Engine(POLICY)
    for i in range(4):
        labels = {"host": f"n{i}", "zone": f"z{i % 2}"}
        engine.apply(NodeAdded(Node(name=f"n{i}", capacity={"cpu": 6, "tasks": 9}, labels=labels)))
    for task, node in crowd:
        engine.apply(TaskPlaced(task, node))
    return engine


def accepted(engine: Engine, task: Task, name: str) -> bool:
    view = Nodes(engine.state.columns, engine.state.columns.order[[engine.state.row_of(name)]])
    asked = [(f, f.fragment(task)) for f in POLICY.filters]
    return all(f.mask(fragment, view)[0] for f, fragment in asked if fragment is not None)


@given(crowds(), wishes(), st.sampled_from(APPS))
def test_room_is_made_where_it_can_be_and_for_no_more_than_it_takes(crowd, spec, app) -> None:
    task = Task(id="important", spec=spec, priority=3, labels={"app": app})
    engine = engine_with(crowd)
    engine.apply(TaskSubmitted(task))
    effects = engine.decide()
    assert not validate(engine)
    if isinstance(effects[0], Bind):
        return
    assert isinstance(effects[0], Reject)
    victims = {effect.task_id for effect in effects if isinstance(effect, Evict)}
    event(f"{len(victims)} victims")
    by_id = {old.id: (old, node) for old, node in crowd}
    if not victims:
        for i in range(4):  # nobody who is less important stands in the way anywhere
            left = [(old, node) for old, node in crowd if node != f"n{i}" or old.priority >= task.priority]
            assert not accepted(engine_with(left), task, f"n{i}")
        return
    (nominated,) = [effect for effect in effects if isinstance(effect, Nominated)]
    assert {by_id[victim][1] for victim in victims} == {nominated.node}
    assert all(by_id[victim][0].priority < task.priority for victim in victims)
    assert accepted(engine_with([one for one in crowd if one[0].id not in victims]), task, nominated.node)
    for spared in victims:
        left = [one for one in crowd if one[0].id not in victims - {spared}]
        assert not accepted(engine_with(left), task, nominated.node), f"{spared} need not go"
    for victim in victims:
        engine.apply(TaskFinished(victim))
    (bind,) = (effect for effect in engine.decide() if isinstance(effect, Bind))
    assert bind.task_id == task.id
    assert not validate(engine)
