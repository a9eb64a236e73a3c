"""Every named policy decides as the naive reference does; a run of equal tasks as the same tasks one by one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.kernel.policies import NAMED, named
from pilotage.model.effects import Bind
from pilotage.model.events import (
    NodeAdded,
    NodeRemoved,
    NodeUpdated,
    TaskPlaced,
    TaskSubmitted,
    TaskUngated,
    WorkloadExpected,
)
from pilotage.model.node import Node
from pilotage.model.task import Task, TaskSpec
from pilotage.testing.strategies import NODE_NAMES, nodes, specs, workloads
from tests.engine.user_policy import USER_RULES, user_policy
from tests.engine.world import World
from tests.kernel.reference import POLICIES

WORLDS = {
    **{name: lambda name=name, **options: World(named(name), POLICIES[name], **options) for name in NAMED},
    "user": lambda **options: World(user_policy(), USER_RULES, **options),
}
FEWER = settings(max_examples=max(1, settings.default.max_examples // 3))


def test_every_named_policy_has_a_reference() -> None:
    assert NAMED.keys() == POLICIES.keys()


@st.composite
def clusters(draw) -> list:
    """Events that make a cluster with tasks on it, in which some nodes changed or left."""
    names = draw(st.lists(st.sampled_from(NODE_NAMES), min_size=1, max_size=6, unique=True))
    events = [WorkloadExpected(draw(workloads()))]
    made = {name: draw(nodes(names=st.just(name))) for name in names}
    events += [NodeAdded(node) for node in made.values()]
    for i, spec in enumerate(draw(st.lists(specs(), max_size=6))):
        name = draw(st.sampled_from(names))
        gpus = draw(st.permutations(range(made[name].gpus)))[: spec.gpus]
        if len(gpus) == spec.gpus:
            events.append(TaskPlaced(Task(id=f"p{i}", spec=spec), name, tuple(gpus)))
    for name in draw(st.lists(st.sampled_from(names), max_size=2, unique=True)):
        again = draw(nodes(names=st.just(name)))
        events += draw(
            st.sampled_from(([NodeUpdated(again)], [NodeRemoved(name)], [NodeRemoved(name), NodeAdded(again)]))
        )
    return events


def told(effects) -> list[tuple]:
    """Effects without what depends on how the calls were cut."""
    return [
        (e.task_id, e.node, e.gpus, e.decision.score, e.decision.feasible) if isinstance(e, Bind) else (e.task_id,)
        for e in effects
    ]


@pytest.mark.parametrize("name", WORLDS)
@given(events=clusters(), wanted=st.lists(specs(), min_size=1, max_size=4), seed=st.integers(0, 2**64))
@FEWER
def test_policies_decide_as_the_reference(name, events, wanted, seed) -> None:
    world = WORLDS[name](seed=seed)
    for event in events:
        world.apply(event)
    for i, spec in enumerate(wanted):
        world.apply(TaskSubmitted(Task(id=f"t{i}", spec=spec)))
    world.decide()
    world.check()


@pytest.mark.parametrize("name", WORLDS)
@given(events=clusters(), spec=specs(), copies=st.integers(2, 25), seed=st.integers(0, 99))
@FEWER
def test_a_run_of_equal_tasks_is_decided_as_one_by_one(name, events, spec, copies, seed) -> None:
    tasks = [Task(id=f"t{i}", spec=spec) for i in range(copies)]
    together, single, cramped = (WORLDS[name](seed=seed, **o) for o in ({}, {}, {"cache_bytes": 0}))
    for event in events:
        for world in (together, single, cramped):
            world.apply(event)
    one_by_one = []
    for task in tasks:
        together.apply(TaskSubmitted(task))
        single.apply(TaskSubmitted(task))
        one_by_one += single.decide()
        cramped.apply(TaskSubmitted(task))
    assert told(together.decide()) == told(one_by_one) == told(cramped.decide())


@pytest.mark.parametrize("name", sorted(WORLDS.keys() - {"user"}))
@given(data=st.data(), wanted=st.lists(specs(), min_size=1, max_size=3))
@FEWER
def test_the_order_of_nodes_changes_only_who_wins_a_tie(name, data, wanted) -> None:
    names = data.draw(st.lists(st.sampled_from(NODE_NAMES), min_size=2, max_size=6, unique=True))
    made, workload = [data.draw(nodes(names=st.just(n))) for n in names], data.draw(workloads())
    turned = data.draw(st.permutations(made))
    records = []
    for order in (made, turned):
        world = WORLDS[name]()
        world.apply(WorkloadExpected(workload))
        for node in order:
            world.apply(NodeAdded(node))
        records.append([])
        for i, spec in enumerate(wanted):
            world.apply(TaskSubmitted(Task(id=f"t{i}", spec=spec)))
            (effect,) = world.decide()
            records[-1].append(
                (type(effect), effect.decision.score, effect.decision.feasible, effect.decision.rejections)
            )
            if isinstance(effect, Bind):
                break
    assert records[0] == records[1]


def test_a_tiny_cache_decides_the_same() -> None:
    decided = []
    for cache_bytes in (0, 1000, 2**28):
        world = WORLDS["bestfit"](cache_bytes=cache_bytes)
        for i in range(20):
            world.apply(NodeAdded(_node(i)))
        for i in range(120):
            kind = i // 2
            demand = {"cpu": 100 * (kind % 12), "memory": 7 * (kind % 5)}
            world.apply(TaskSubmitted(Task(id=f"t{i}", spec=TaskSpec(demand=demand, gpus=kind % 3))))
            world.decide(1)
        kinds = world.engine.kinds
        assert kinds.nbytes <= max(cache_bytes, 2 * kinds.nbytes // max(1, len(kinds)))
        decided.append((world.where, len(kinds)))
    assert decided[0][0] == decided[1][0] == decided[2][0]
    assert decided[0][1] < decided[2][1], "the small cache did drop kinds"


def _node(i: int) -> Node:
    return Node(name=f"n{i}", capacity={"cpu": 900 + i, "memory": 100}, gpus=i % 4)


def test_an_ungated_task_is_decided_in_its_turn() -> None:
    world = WORLDS["kubernetes"]()
    world.apply(NodeAdded(_node(3)))
    for name, gates in (("t1", ("a", "b")), ("t2", ())):
        world.apply(TaskSubmitted(Task(id=name, spec=TaskSpec(), gates=gates)))
    world.decide(0)
    world.apply(TaskUngated("t1"))
    assert [effect.task_id for effect in world.decide()] == ["t1", "t2"]
