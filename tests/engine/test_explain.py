"""Explanations: they agree with the decision, and the changes that they name are enough and none too many."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pilotage import Node, Policy, Task, TaskSpec, filters, node_filter, scorers
from pilotage.engine.engine import Engine
from pilotage.engine.explain import Candidate, Refused, explain
from pilotage.engine.validate import validate
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.policies import named
from pilotage.model.change import (
    Change,
    CompanyThere,
    LabelGiven,
    LabelTaken,
    ModelAllowed,
    MoreFree,
    MoreGpuFree,
    MoreGpus,
    NodeAllowed,
    PortFreed,
    TaintTolerated,
    TasksLeft,
    Uncordoned,
)
from pilotage.model.company import Company, Selector, Spread
from pilotage.model.effects import Evict, Nominated, Reject
from pilotage.model.errors import InvalidInput
from pilotage.model.events import (
    NodeAdded,
    NodeUpdated,
    QueueDeclared,
    TaskFinished,
    TaskPlaced,
    TaskSubmitted,
)
from pilotage.model.expression import Expression, Operator
from pilotage.model.group import Group
from pilotage.model.node import Taint
from pilotage.model.queue import Queue
from pilotage.model.task import HostPort, Term
from pilotage.testing.strategies import events, nodes, specs
from tests.engine.test_record import CHOICES, play

POLICIES = st.sampled_from(["kubernetes", "fgd", "random", "bestfit", "vms-spread"])


def policy_of(name: str) -> Policy:
    if name == "vms-spread":
        return Policy(filters=filters.VMS, scorers=[(scorers.least_allocated(), 1)], tie="seeded-random")
    return named(name)


# -- it agrees with the decision ---------------------------------------------------------------------------------


@given(events(), CHOICES, specs(), POLICIES)
def test_an_explanation_says_what_the_engine_does(history, choices, spec, policy) -> None:
    engine = Engine(policy_of(policy), seed=9)
    play(engine, history, choices)
    task = Task(id="asked", spec=spec, priority=1000)
    before = engine.checkpoint()
    why = explain(engine, task, 2e6)
    assert engine.checkpoint() == before
    engine.apply(TaskSubmitted(task), 2e6)
    decision = next(e.decision for e in engine.decide(2e6, 1) if e.task_id == "asked")
    assert (why.node, why.feasible) == (decision.node, decision.feasible)
    if why.node:
        assert why.top[0].node == why.node
        assert why.top[0].score == decision.score
        assert all(c.score == sum(part.points for part in c.parts) for c in why.top)
        assert [c.rank for c in why.top] == list(range(1, len(why.top) + 1))
        assert sorted(why.top, key=lambda c: -c.score) == list(why.top)
        assert why.nearest == ()
    else:
        assert why.rejections == decision.rejections
        assert [r.distance for r in why.nearest] == sorted(r.distance for r in why.nearest)
        assert len(why.nearest) == min(5, len(engine.state.nodes))


# -- what would have to change -----------------------------------------------------------------------------------


def applied(engine: Engine, task: Task, name: str, change: Change) -> Task:
    """Make a change on a node, or on the task, which is returned."""
    state, columns, spec = engine.state, engine.state.columns, task.spec
    node, row = state.nodes[name], state.row_of(name)
    facts: dict[str, Any] = {}
    match change:
        case MoreFree(resource, amount):
            capacity = {k: v for k, v in node.capacity.items() if k != "gpu"}
            facts["capacity"] = {**capacity, resource: capacity.get(resource, 0) + amount}
        case MoreGpuFree(gpu, thousandths):
            columns.gpu_free[gpu, row] += thousandths
        case MoreGpus(count, model):
            facts["gpus"], facts["gpu_model"] = node.gpus + count, node.gpu_model or model
        case ModelAllowed(model):
            spec = replace(spec, gpu_models=(*spec.gpu_models, model))
        case TaintTolerated(taint):
            facts["taints"] = tuple(t for t in node.taints if t != taint)
        case LabelGiven(key, value):
            facts["labels"] = {**node.labels, key: value}
        case LabelTaken(key, value):
            assert node.labels[key] == value
            facts["labels"] = {k: v for k, v in node.labels.items() if k != key}
        case Uncordoned():
            facts["cordoned"] = False
        case PortFreed(port):
            # Whoever has it, on whatever address stands in the way, lets go.
            taken = columns.ports[port.protocol, port.port][row]
            for address in [a for a in taken if "0.0.0.0" in (a, port.address) or a == port.address]:
                del taken[address]
        case NodeAllowed():
            terms = spec.node_affinity and tuple(allowing(term, name) for term in spec.node_affinity)
            spec = replace(spec, node_name="", node_affinity=terms)
        case _:
            pytest.fail(f"{change!r} can not be applied here")
    if facts:
        kept = {f: getattr(node, f) for f in Node.__struct_fields__}
        kept["capacity"] = {k: v for k, v in node.capacity.items() if k != "gpu"}
        state.update_node(Node(**{**kept, **facts}))
    return replace(task, spec=spec)


def allowing(term: Term, name: str) -> Term:
    """The term where it does not speak against a node of that name; a term that says nothing would match none."""
    if term.names is None and name not in term.other_names:
        return term
    others = tuple(other for other in term.other_names if other != name)
    silent = term.names is None and not term.expressions and not others
    return replace(
        term, names=(*(term.names or ()), name) if silent or term.names is not None else None, other_names=others
    )


def accepted(engine: Engine, task: Task, name: str) -> bool:
    """Whether every filter of the policy accepts the node, asked anew."""
    view = Nodes(engine.state.columns, np.array([engine.state.row_of(name)]))
    asked = [(f, f.fragment(task)) for f in engine.policy.filters]
    return all(f.mask(fragment, view)[0] for f, fragment in asked if fragment is not None)


def lessened(change: Change) -> Change | None:
    """The next smaller change, None if it is none at all."""
    for fact in ("amount", "thousandths", "count"):
        if getattr(change, fact, 0) > 1:
            return replace(change, **{fact: getattr(change, fact) - 1})
    return None


@given(st.data(), events(), CHOICES, specs(), st.sampled_from(["kubernetes", "vms-spread"]))
def test_the_changes_make_a_refused_node_fit_and_none_is_too_many(data, history, choices, spec, policy) -> None:
    def engine_then() -> Engine:
        engine = Engine(policy_of(policy), seed=9)
        for i, node in enumerate(extra):
            engine.apply(NodeAdded(replace(node, name=f"extra-{i}")))
        play(engine, history, choices)
        return engine

    extra = data.draw(st.lists(nodes(), max_size=3))
    task = Task(id="asked", spec=spec)
    why = explain(engine_then(), task, 2e6)
    for refused in why.nearest:
        changes = [change for refusal in refused.refusals for change in refusal.changes]
        if not all(refusal.changes for refusal in refused.refusals):
            # Only conditions that contradict each other have no cure, and no host has a group's company.
            assert {r.filter for r in refused.refusals if not r.changes} <= {"node-affinity", "traits"}
            continue
        for left_out in [None, *range(len(changes))]:
            engine, changed = engine_then(), task
            for i, change in enumerate(changes):
                smaller = lessened(change) if i == left_out else change
                if smaller is not None:
                    changed = applied(engine, changed, refused.node, smaller)
            assert accepted(engine, changed, refused.node) == (left_out is None), (refused, left_out)


def asked(*cluster: Node, spec: TaskSpec, policy: Policy | None = None, about: str = "n") -> Refused | Candidate:
    engine = Engine(policy or named("kubernetes"))
    for node in cluster:
        engine.apply(NodeAdded(node))
    found = explain(engine, Task(id="t", spec=spec), 0.0, about=about).asked
    assert found is not None
    validate(engine)
    return found


def told(found: Refused | Candidate) -> list[str]:
    return [str(change) for refusal in found.refusals for change in refusal.changes]


@pytest.mark.parametrize(
    ("node", "spec", "changes"),
    [
        ({"capacity": {"cpu": 1500}}, {"demand": {"cpu": 2000}}, ["cpu: 500 more free"]),
        ({"taints": (Taint("team", "x"),)}, {}, ["taint team=x:NoSchedule tolerated, or taken from the node"]),
        ({"cordoned": True}, {}, ["the node uncordoned"]),
        ({}, {"node_selector": {"disk": "ssd"}}, ["label disk=ssd on the node"]),
        ({}, {"node_name": "other"}, ["the name n allowed by the task"]),
        ({"gpus": 1, "gpu_model": "T4"}, {"gpus": 3}, ["2 more GPUs in the node"]),
        ({"gpus": 1, "gpu_model": "T4"}, {"gpus": 1, "gpu_models": ("A10",)}, ["GPU model T4 allowed by the task"]),
        ({}, {"gpus": 1, "gpu_models": ("A10",)}, ["1 more GPU of model A10 in the node"]),
        (
            {"labels": {"size": "3", "disk": "hdd"}},
            {
                "node_affinity": (
                    Term((Expression("size", Operator.GT, ("7",)), Expression("arch", Operator.EXISTS))),
                    Term((Expression("size", Operator.GT, ("7",)), Expression("size", Operator.NOT_IN, ("8",)))),
                )
            },
            ["label size=9 on the node"],
        ),
        ({"labels": {"a": "1"}}, {"node_affinity": (Term((Expression("a", Operator.DOES_NOT_EXIST),)),)},
         ["label a=1 taken from the node"]),
        ({}, {"node_selector": {"a": "1"}, "node_affinity": (Term((Expression("a", Operator.IN, ("2",)),)),)}, []),
    ],
)  # fmt: skip
def test_changes_in_words(node, spec, changes) -> None:
    facts = {"capacity": {}, **node}
    assert told(asked(Node(name="n", **facts), spec=TaskSpec(**spec))) == changes


def test_a_gpu_that_lacks_least_and_a_port() -> None:
    engine = Engine(named("kubernetes"))
    engine.apply(NodeAdded(Node(name="n", capacity={}, gpus=2)))
    for i, share in enumerate((700, 500)):
        engine.apply(TaskSubmitted(Task(id=f"t{i}", spec=TaskSpec(gpus=1, gpu_share=share, ports=(HostPort(80 + i),)))))
    engine.decide()
    spec = TaskSpec(gpus=1, gpu_share=800, ports=(HostPort(80),))
    found = explain(engine, Task(id="t", spec=spec), 0.0, about="n").asked
    assert told(found) == ["port 80/TCP free on the node", "GPU 1: 300 thousandths more free"]


def test_members_of_a_group_that_are_too_many() -> None:
    spec = TaskSpec(group=Group(name="db", rule="anti-affinity", mode="hard", scope="rack"))
    engine = Engine(policy_of("vms-spread"))
    engine.apply(NodeAdded(Node(name="n", capacity={}, labels={"rack": "r1"})))
    engine.apply(TaskSubmitted(Task(id="first", spec=spec)))
    engine.decide()
    found = explain(engine, Task(id="t", spec=spec), 0.0, about="n").asked
    assert found.refusals[0].changes == (TasksLeft("rack", "r1", 1),)


WITH_DOMAINS = Policy(filters=[*filters.DEFAULT, *filters.DOMAIN])
WEB = Selector((Expression("app", Operator.IN, ("web",)),))


@pytest.mark.parametrize(
    ("wish", "about", "changes"),
    [
        ({"spread": (Spread(key="zone", selector=WEB),)}, "a1", [TasksLeft("zone", "a", 2)]),
        ({"spread": (Spread(key="zone", selector=WEB, max_skew=2),)}, "a1", [TasksLeft("zone", "a", 1)]),
        ({"spread": (Spread(key="zone", selector=WEB),)}, "bare", [LabelGiven("zone", "b")]),
        ({"no_company": (Company("zone", WEB),)}, "a1", [TasksLeft("zone", "a", 2)]),
        ({"company": (Company("zone", WEB),)}, "b1", [CompanyThere("zone", "b")]),
        ({"company": (Company("zone", WEB),)}, "bare", [LabelGiven("zone", "a")]),
        ({"company": (Company("zone", None),)}, "b1", []),
    ],
)
def test_wishes_about_other_tasks(wish, about, changes) -> None:
    def engine_then() -> Engine:
        engine = Engine(WITH_DOMAINS)
        for name, labels in (("a1", {"zone": "a"}), ("a2", {"zone": "a"}), ("b1", {"zone": "b"}), ("bare", {})):
            engine.apply(NodeAdded(Node(name=name, capacity={"tasks": 9}, labels=labels)))
        for i, name in enumerate(("a1", "a2")):
            engine.apply(TaskPlaced(Task(id=f"web-{i}", spec=TaskSpec(), labels={"app": "web"}), name))
        return engine

    task = Task(id="t", spec=TaskSpec(**wish), labels={"app": "web"} if "spread" in wish else {})
    (refusal,) = explain(engine_then(), task, 0.0, about=about).asked.refusals
    assert list(refusal.changes) == changes
    # Each change makes the node fit, and one step less does not.
    for change in changes:
        count = change.count if isinstance(change, TasksLeft) else 1
        for steps in (count, count - 1):
            engine = engine_then()
            match change:
                case TasksLeft():
                    for i in range(steps):
                        engine.apply(TaskFinished(f"web-{i}"))
                case LabelGiven(key, value):
                    labels = {key: value} if steps else {}
                    engine.apply(NodeUpdated(Node(name=about, capacity={"tasks": 9}, labels=labels)))
                case CompanyThere():
                    for _ in range(steps):
                        engine.apply(TaskPlaced(Task(id="web-9", spec=TaskSpec(), labels={"app": "web"}), about))
            assert accepted(engine, task, about) == (steps == count)


def test_company_that_does_not_want_the_task() -> None:
    engine = Engine(WITH_DOMAINS)
    engine.apply(NodeAdded(Node(name="n", capacity={}, labels={"zone": "a"})))
    engine.apply(TaskPlaced(Task(id="loner", spec=TaskSpec(no_company=(Company("zone", WEB),))), "n"))
    found = explain(engine, Task(id="t", spec=TaskSpec(), labels={"app": "web"}), 0.0, about="n").asked
    assert told(found) == ["1 fewer of the tasks that stand in the way in zone=a"]


def test_a_place_that_is_kept_for_others() -> None:
    engine = Engine(Policy(filters=filters.DEFAULT, preempt=True))
    engine.apply(NodeAdded(Node(name="n", capacity={"cpu": 1000}, gpus=2)))
    engine.apply(TaskPlaced(Task(id="victim", spec=TaskSpec(demand={"cpu": 600}, gpus=1)), "n", (0,)))
    engine.apply(TaskSubmitted(Task(id="urgent", spec=TaskSpec(demand={"cpu": 700}, gpus=1), priority=9)))
    assert [type(effect) for effect in engine.decide()] == [Reject, Nominated, Evict]
    found = explain(engine, Task(id="t", spec=TaskSpec(demand={"cpu": 400}, gpus=1)), 0.0, about="n").asked
    assert [(r.filter, [str(c) for c in r.changes]) for r in found.refusals] == [("kept", ["cpu: 700 more free"])]


def test_a_users_filter_is_named_and_no_change_is_made_up() -> None:
    @node_filter(reason="is on a Tuesday")
    def never(task, nodes):
        return nodes.free["cpu"] < 0

    found = asked(Node(name="n", capacity={"cpu": 5}), spec=TaskSpec(), policy=Policy(filters=[never]))
    assert [(r.filter, r.reasons, r.changes) for r in found.refusals] == [("never", ("is on a Tuesday",), ())]


def test_nodes_nearest_to_fitting_come_first() -> None:
    sizes = {"far": 100, "near": 950, "nearer": 990, "middle": 500}
    engine = Engine(named("kubernetes"))
    for name, cpu in sizes.items():
        engine.apply(NodeAdded(Node(name=name, capacity={"cpu": cpu})))
    engine.apply(NodeAdded(Node(name="cordoned", capacity={"cpu": 5000}, cordoned=True)))
    why = explain(engine, Task(id="t", spec=TaskSpec(demand={"cpu": 1000})), 0.0)
    assert [refused.node for refused in why.nearest] == ["nearer", "near", "middle", "far", "cordoned"]


def test_a_node_that_would_do_is_compared_with_the_choice() -> None:
    cluster = [Node(name=name, capacity={"cpu": cpu}) for name, cpu in (("a", 1000), ("b", 4000), ("c", 2000))]
    found = asked(*cluster, spec=TaskSpec(demand={"cpu": 500}), about="c")
    assert isinstance(found, Candidate)
    assert (found.node, found.rank) == ("c", 2)
    with pytest.raises(InvalidInput, match="no node is called 'x'"):
        asked(*cluster, spec=TaskSpec(), about="x")


def test_a_queue_that_holds_a_task_back_is_named() -> None:
    engine = Engine(named("kubernetes"))
    engine.apply(NodeAdded(Node(name="n", capacity={"cpu": 9000})))
    engine.apply(QueueDeclared(Queue(name="q", limit={"cpu": 100})))
    why = explain(engine, Task(id="t", spec=TaskSpec(demand={"cpu": 500}), queue="q"), 0.0)
    assert (why.node, why.held_back) == ("", ("q", "cpu"))
