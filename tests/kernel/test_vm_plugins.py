"""The plugins of the VM strategies against rules said again in plain Python."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.engine.engine import Engine
from pilotage.engine.validate import validate
from pilotage.kernel import filters, scorers
from pilotage.kernel.policy import Policy
from pilotage.model.effects import Bind
from pilotage.model.errors import InvalidInput
from pilotage.model.events import NodeAdded, TaskFinished, TaskSubmitted
from pilotage.model.expression import Expression, Operator
from pilotage.model.group import Group
from pilotage.model.node import Node
from pilotage.model.task import Task, TaskSpec, Term
from tests.kernel import reference
from tests.kernel.ask import admits, reasons

CONTROLS = {"strict": filters.dedicated, "loose": filters.dedicated_loosely}


def host(name: str = "n", **labels: str) -> Node:
    return Node(name=name, capacity={"cpu": 4000, "memory": 2**30}, labels=labels)


@pytest.mark.parametrize(
    ("rule", "asked", "there", "admitted"),
    [
        ("strict", "false", "true", False),
        ("strict", "false", None, True),
        ("strict", "true", "true", True),
        ("strict", "true", None, False),
        ("loose", "false", "true", True),
        ("loose", "false", None, True),
        ("loose", "true", "true", True),
        ("loose", "true", None, False),
    ],
)
def test_dedicated_hosts(rule: str, asked: str, there: str | None, admitted: bool) -> None:
    node = host(dedicated=there) if there else host()
    assert admits(CONTROLS[rule], TaskSpec(node_selector={"dedicated": asked}), node) == admitted


def test_a_pool_is_told_apart() -> None:
    spec = TaskSpec(node_selector={"pool": "fast"})
    assert admits(filters.pool, spec, host(pool="fast"))
    assert reasons(filters.pool, spec, host(pool="slow")) == {"is in another pool": 1}
    assert not admits(filters.pool, spec, host())


@given(st.data())
def test_pool_dedicated_and_traits_say_what_the_reference_says(data: st.DataObject) -> None:
    labels = data.draw(
        st.dictionaries(st.sampled_from(("pool", "dedicated", "t1", "t2")), st.sampled_from(("true", "a")))
    )
    selector = data.draw(
        st.dictionaries(st.sampled_from(("pool", "dedicated")), st.sampled_from(("true", "false", "a")))
    )
    operators = st.sampled_from((Operator.EXISTS, Operator.DOES_NOT_EXIST))
    wanted = data.draw(st.lists(st.builds(Expression, st.sampled_from(("t1", "t2", "t3")), operators), max_size=3))
    spec = TaskSpec(node_selector=selector, node_affinity=(Term(tuple(wanted)),) if wanted else None)
    node, task = host(**labels), Task(id="t", spec=spec)
    for plugin in (filters.pool, filters.dedicated, filters.traits):
        rule = reference.VM_FILTERS[plugin.name]
        assert admits(plugin, spec, node) == (not rule(task, reference.Place(node)))


def allowed(group: Group, node: Node, members: dict[str, int], nodes: dict[str, Node]) -> bool:
    """The hard rule of a group, said from its definition; ``members`` by node."""

    def place(each: Node) -> str | None:
        return each.name if group.scope == "host" else each.labels.get(group.scope)

    if place(node) is None:
        return False
    there = sum(count for name, count in members.items() if place(nodes[name]) == place(node))
    if group.rule == "anti-affinity":
        return there < group.at_most
    return there > 0 or not any(members.values())


@given(st.data())
def test_groups_keep_their_rule_through_arrivals_and_departures(data: st.DataObject) -> None:
    racks = data.draw(st.lists(st.sampled_from(("r1", "r2", None)), min_size=1, max_size=6))
    nodes = {f"n{i}": host(f"n{i}", **({"rack": rack} if rack else {})) for i, rack in enumerate(racks)}
    rule = data.draw(st.sampled_from(("affinity", "anti-affinity")))
    group = Group(
        name="g",
        rule=rule,
        scope=data.draw(st.sampled_from(("host", "rack"))),
        at_most=data.draw(st.integers(1, 2)) if rule == "anti-affinity" else 1,
    )
    engine = Engine(Policy(filters=filters.VMS, scorers=[(scorers.least_allocated("cpu"), 1)]), retry=False)
    for node in nodes.values():
        engine.apply(NodeAdded(node))
    on: dict[str, str] = {}
    for i in range(data.draw(st.integers(1, 12))):
        if on and data.draw(st.booleans()) and data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(sorted(on)))
            engine.apply(TaskFinished(gone))
            del on[gone]
        members = {name: list(on.values()).count(name) for name in nodes}
        engine.apply(TaskSubmitted(Task(id=f"t{i}", spec=TaskSpec(demand={"cpu": 10}, group=group))))
        (effect,) = engine.decide()
        fitting = {name for name, node in nodes.items() if allowed(group, node, members, nodes)}
        assert effect.decision.feasible == len(fitting)
        if isinstance(effect, Bind):
            assert effect.node in fitting
            on[f"t{i}"] = effect.node
        else:
            assert sum(count for _, _, count in effect.decision.rejections) == len(nodes)
        validate(engine)


@pytest.mark.parametrize(("rule", "chosen"), [("affinity", "n1"), ("anti-affinity", "n2")])
def test_a_soft_rule_moves_the_choice_only(rule: str, chosen: str) -> None:
    group = Group(name="g", rule=rule, scope="rack", mode="soft")
    engine = Engine(Policy(filters=filters.VMS, scorers=[(scorers.prefer_group(), 1)]), retry=False)
    engine.apply(NodeAdded(host("n1", rack="a")))
    placed = []
    for i in range(3):
        if i == 1:
            engine.apply(NodeAdded(host("n2", rack="b")))
        engine.apply(TaskSubmitted(Task(id=f"t{i}", spec=TaskSpec(demand={"cpu": 1000}, group=group))))
        placed += [effect.node for effect in engine.decide()]
    assert placed[:2] == ["n1", chosen]
    assert len(placed) == 3


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"name": "", "rule": "affinity"}, "group.name"),
        ({"name": "g", "rule": "anti-affinity", "at_most": 0}, "group.at_most: must be above 0"),
        ({"name": "g", "rule": "affinity", "at_most": 2}, "goes with anti-affinity only"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(fields: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        Group(**fields)
