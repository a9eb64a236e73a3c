"""A task that found no node wakes when, and only when, something happened that may help it."""

import numpy as np
import pytest

from pilotage import Policy, filters, node_filter
from pilotage.engine.engine import Engine
from pilotage.model.effects import Bind
from pilotage.model.events import (
    BindFailed,
    NodeAdded,
    NodeRemoved,
    NodeUpdated,
    TaskFinished,
    TaskPlaced,
    TaskSubmitted,
    WorkloadExpected,
)
from pilotage.model.node import Node, Taint
from pilotage.model.task import HostPort, Task, TaskSpec
from pilotage.model.workload import Workload

FACTS = {"capacity": {"cpu": 1000}, "gpus": 1, "gpu_model": "T4", "labels": {"k": "a"}}


def node(name: str = "n", **facts) -> Node:
    return Node(**{"name": name, **FACTS, **facts})


FULL = Task(id="holder", spec=TaskSpec(demand={"cpu": 900}, gpus=1, ports=(HostPort(80),)))
WORKLOAD = WorkloadExpected(Workload(((TaskSpec(), 1),)))

CHANGES = {
    "capacity": NodeUpdated(node(capacity={"cpu": 5000})),
    "gpus": NodeUpdated(node(gpus=2)),
    "model": NodeUpdated(node(gpu_model="A10")),
    "labels": NodeUpdated(node(labels={"k": "b"})),
    "taints": NodeUpdated(node(taints=())),
    "cordon": NodeUpdated(node(cordoned=False)),
    "node added": NodeAdded(node("other", cordoned=True)),
    "task left": TaskFinished("holder"),
    "task came": TaskPlaced(Task(id="more", spec=TaskSpec()), "n"),
    "workload": WORKLOAD,
    "same again": NodeUpdated(node()),
}

CASES = {
    # filter: the node as it is, a task that only this filter refuses, what must wake it, what heals it
    "cordon": ({"cordoned": True}, TaskSpec(), {"cordon"}, "cordon"),
    "node-name": ({}, TaskSpec(node_name="other"), set(), None),
    "taints": ({"taints": (Taint("x"),)}, TaskSpec(), {"taints"}, "taints"),
    "node-affinity": ({}, TaskSpec(node_selector={"k": "b"}), {"labels"}, "labels"),
    "ports": ({}, TaskSpec(ports=(HostPort(80),)), {"task left"}, "task left"),
    "capacity": ({}, TaskSpec(demand={"cpu": 200}), {"capacity", "gpus", "model", "task left"}, "task left"),
    "gpu-fit": ({}, TaskSpec(gpus=1), {"capacity", "gpus", "model", "task left"}, "gpus"),
    "gpu model": ({}, TaskSpec(gpus=1, gpu_models=("A10",)), {"capacity", "gpus", "model", "task left"}, None),
}


def asleep(facts: dict, spec: TaskSpec) -> Engine:
    """An engine whose only node refuses a task, backoff long over."""
    engine = Engine(Policy(filters=filters.DEFAULT))
    engine.apply(NodeAdded(node(**facts)))
    engine.apply(TaskPlaced(FULL, "n", (0,)))
    engine.apply(TaskSubmitted(Task(id="t", spec=spec)))
    engine.decide(0.0)
    assert engine.room.get("t").place == "unschedulable"
    return engine


def changed(facts: dict, change: str):
    """The change, with everything else about the node as it is."""
    event = CHANGES[change]
    if not isinstance(event, NodeUpdated):
        return event
    fact = {"model": "gpu_model", "cordon": "cordoned", "same again": "labels"}.get(change, change)
    value = {name: amount for name, amount in event.node.capacity.items() if name == "cpu"}
    return NodeUpdated(node(**{**facts, fact: value if fact == "capacity" else getattr(event.node, fact)}))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", CASES)
def test_a_rejected_task_wakes_for_what_may_cure_its_filter(name, change) -> None:
    facts, spec, wakes, heals = CASES[name]
    engine = asleep(facts, spec)
    event = changed(facts, change)
    if isinstance(event, NodeUpdated) and event.node == engine.state.nodes["n"]:
        change = "same again"
    engine.apply(event, 100.0)
    awake = engine.room.get("t").place == "active"
    assert awake == (change in wakes or change == "node added")
    effects = engine.decide(100.0)
    if change == heals:
        assert [effect.node for effect in effects] == ["n"]
    elif not awake:
        assert effects == []


def test_every_builtin_filter_is_in_the_table() -> None:
    assert {f.name for f in filters.DEFAULT} <= CASES.keys()


def test_the_first_filter_that_refuses_names_the_cure_and_the_next_one_the_next() -> None:
    engine = asleep({"cordoned": True, "taints": (Taint("x"),)}, TaskSpec(demand={"cpu": 200}))
    engine.apply(TaskFinished("holder"), 10.0)
    assert engine.room.get("t").place == "unschedulable", "the cordon stands, room does not help"
    engine.apply(NodeUpdated(node(taints=(Taint("x"),))), 10.0)
    assert [type(e).__name__ for e in engine.decide(10.0)] == ["Reject"]
    engine.apply(NodeUpdated(node()), 20.0)
    assert isinstance(engine.decide(20.0)[0], Bind)


def test_a_failed_bind_is_a_cure_for_others() -> None:
    engine = Engine(Policy(filters=filters.DEFAULT))
    engine.apply(NodeAdded(node()))
    for name in ("t", "u"):
        engine.apply(TaskSubmitted(Task(id=name, spec=TaskSpec(gpus=1))))
    engine.decide(0.0)
    engine.apply(BindFailed("t", "conflict"), 50.0)
    assert [effect.task_id for effect in engine.decide(50.0)] == ["u"]


def test_a_removed_node_cures_nothing_but_its_own_tasks() -> None:
    engine = asleep({}, TaskSpec(gpus=1))
    engine.apply(NodeRemoved("n"), 50.0)
    assert engine.room.get("t").place == "unschedulable"
    assert engine.room.get("holder").place == "active"


# ---------------------------------------------------------------- filters of users


def waiting_under(rule, *, before: list | None = None) -> Engine:
    engine = Engine(Policy(filters=[*(before or []), rule, *filters.DEFAULT]))
    engine.apply(NodeAdded(node()))
    engine.apply(TaskSubmitted(Task(id="t", spec=TaskSpec())))
    engine.decide(0.0)
    assert engine.room.get("t").place == "unschedulable"
    return engine


@node_filter
def has_company(task, nodes):
    return nodes.used["tasks"] > 0


@node_filter(reads=("tasks",), depends="row")
def has_company_by_row(task, nodes):
    return nodes.used["tasks"] > 0


@pytest.mark.parametrize("rule", [has_company, has_company_by_row], ids=["global", "row"])
def test_a_filter_that_asks_for_company_is_cured_by_a_task_that_comes(rule) -> None:
    engine = waiting_under(rule)
    engine.apply(TaskPlaced(Task(id="friend", spec=TaskSpec()), "n"), 50.0)
    assert [effect.task_id for effect in engine.decide(50.0)] == ["t"]


def test_our_own_decision_may_be_the_cure() -> None:
    @node_filter
    def company_or_leader(task, nodes):
        return (nodes.used["tasks"] > 0) | (task.id == "leader")

    engine = waiting_under(company_or_leader)
    engine.apply(TaskSubmitted(Task(id="leader", spec=TaskSpec(), priority=-5)), 50.0)
    engine.decide(50.0)
    assert engine.room.get("t") is None or engine.decide(60.0)
    assert set(engine.state.placements) == {"leader", "t"}


def test_a_filter_that_reads_the_workload_is_cured_by_another_workload() -> None:
    @node_filter(reads=("workload",), depends="row")
    def workload_is_known(task, nodes):
        return np.full(len(nodes), nodes.workload is not None)

    engine = waiting_under(workload_is_known)
    engine.apply(WORKLOAD, 50.0)
    assert [effect.task_id for effect in engine.decide(50.0)] == ["t"]
    engine.apply(NodeAdded(node("later")), 50.0)
    engine.apply(TaskSubmitted(Task(id="u", spec=TaskSpec(node_name="later"))), 50.0)
    assert [effect.node for effect in engine.decide(50.0)] == ["later"], "a new node is asked about as well"


@pytest.mark.parametrize("depends", ["time", "global"])
def test_a_filter_of_the_time_is_cured_by_time(depends) -> None:
    @node_filter(depends=depends)
    def after_noon(task, nodes):
        return np.full(len(nodes), nodes.now >= 100.0)

    engine = waiting_under(after_noon)
    assert [type(e).__name__ for e in engine.decide(50.0)] == ["Reject"]
    assert [type(e).__name__ for e in engine.decide(100.0)] == ["Bind"]


def test_a_users_filter_with_the_name_of_ours_keeps_its_own_cures() -> None:
    @node_filter
    def taints(task, nodes):
        return nodes.used["tasks"] > 0

    engine = waiting_under(taints)
    engine.apply(TaskPlaced(Task(id="friend", spec=TaskSpec()), "n"), 50.0)
    assert [effect.task_id for effect in engine.decide(50.0)] == ["t"]
