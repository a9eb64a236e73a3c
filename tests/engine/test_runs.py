"""Equal tasks in a row are decided as a run, and just as if each had come by itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage import Policy, filters, node_filter, scorer, scorers
from pilotage.engine.engine import Engine
from pilotage.engine.kinds import GUESTS_KNOWN
from pilotage.kernel.plugin import PolicyFault
from pilotage.kernel.policies import named
from pilotage.model.effects import Bind
from pilotage.model.events import NodeAdded, NodeRemoved, NodeUpdated, TaskFinished, TaskSubmitted
from pilotage.model.group import Group
from pilotage.model.node import Node
from pilotage.model.task import Task, TaskSpec

POOL = {"pool": "p", "dedicated": "false"}
APART = Group(name="g", rule="anti-affinity", scope="host", mode="soft")
SPECS = (
    {"demand": {"cpu": 1}, "node_selector": POOL},
    {"demand": {"cpu": 3, "memory": 20}, "node_selector": POOL},
    {"demand": {"memory": 7}, "node_selector": POOL, "group": APART},
    {"demand": {"cpu": 2}, "node_selector": POOL, "gpus": 1},
    {"node_selector": POOL},
)


@scorer(reads=("cpu",), depends="row", normalise="none")
def of_cpu(task, nodes):
    return nodes.capacity["cpu"] / 7.0 - nodes.used["cpu"] % 3


@node_filter(reads=("cpu",), depends="row")
def no_five(task, nodes):
    return nodes.used["cpu"] != 5


POLICIES = {
    **{name: named(name) for name in ("hybrid", "binpack", "spread", "best-fit", "fgd")},
    "user's": Policy(filters=[*filters.VMS, no_five], scorers=[(of_cpu, 3)], tie="seeded-random"),
    "drawn": Policy(filters=filters.VMS, scorers=[(scorers.least_allocated("cpu"), 1)], tie="seeded-random"),
    "normalised": Policy(filters=filters.VMS, scorers=[(scorers.best_fit({"cpu": 1}), 1)], tie="seeded-random"),
    "no scorer": Policy(filters=filters.VMS, scorers=[], tie="seeded-random"),
}
SIZES = ({"cpu": 9, "memory": 40}, {"cpu": 16, "memory": 100}, {"cpu": 16, "memory": 100})


def node(i: int, cordoned: bool = False) -> Node:
    return Node(name=f"n{i}", capacity=SIZES[i % 3], gpus=i % 2, labels=POOL, cordoned=cordoned)


def play(
    policy: Policy, steps: list[tuple[int, int, int]], *, in_order: bool, alone: bool
) -> tuple[list[object], object]:
    """Runs of equal tasks and what happens between them; ``alone``: specs are equal, but told apart by the engine.

    Unless ``in_order`` the node that came last has the first row.
    """
    engine = Engine(policy, seed=3, retry=False)
    shared = [TaskSpec(**spec) for spec in SPECS]
    if not in_order:
        engine.apply(NodeAdded(Node(name="gone", capacity={})))
    for i in range(6):
        engine.apply(NodeAdded(node(i)))
    if not in_order:
        engine.apply(NodeRemoved("gone"))
    engine.apply(NodeAdded(node(6)))
    assert engine.state.in_order is in_order
    seen: list[object] = []
    placed: list[str] = []
    for step, (which, length, then) in enumerate(steps):
        for i in range(length):
            spec = TaskSpec(**SPECS[which]) if alone else shared[which]
            engine.apply(TaskSubmitted(Task(id=f"{step}-{i}", spec=spec)))
        effects = engine.decide(float(step))
        seen += effects
        placed += [each.task_id for each in effects if isinstance(each, Bind)]
        if then == 1 and placed:
            engine.apply(TaskFinished(placed.pop(0)))
        elif then == 2:
            engine.apply(NodeUpdated(node(step % 7, cordoned=step % 2 == 0)))
    return seen, engine.checkpoint()


@pytest.mark.parametrize("name", POLICIES)
@given(
    st.lists(st.tuples(st.integers(0, len(SPECS) - 1), st.integers(1, 12), st.integers(0, 2)), min_size=1, max_size=10),
    st.booleans(),
)
def test_a_run_decides_as_one_by_one(name: str, steps: list[tuple[int, int, int]], in_order: bool) -> None:
    one, other = (play(POLICIES[name], steps, in_order=in_order, alone=alone) for alone in (False, True))
    assert one == other


def test_a_run_of_a_forgotten_kind_ends_where_another_task_has_no_place() -> None:
    """So many tasks without a place come in between that the kind of the run is a guest, whose memos others take."""

    def scores(*, alone: bool) -> list[tuple[str, float]]:
        engine = Engine(named("binpack"), seed=3, retry=False)
        for i in range(6):
            engine.apply(NodeAdded(Node(name=f"n{i}", capacity={"cpu": 40 + i % 3, "memory": 1000})))
        demand = {"cpu": 3, "memory": 9}
        shared = TaskSpec(demand=demand)
        for i in range(8):
            spec = TaskSpec(demand=demand) if alone else shared
            engine.apply(TaskSubmitted(Task(id=f"small-{i}", spec=spec)))
            for k in range(1 if i else GUESTS_KNOWN):
                huge = TaskSpec(demand={"cpu": 1000 + i * GUESTS_KNOWN + k})
                engine.apply(TaskSubmitted(Task(id=f"huge-{i}-{k}", spec=huge)))
        return [(each.node, each.decision.score) for each in engine.decide() if isinstance(each, Bind)]

    assert scores(alone=False) == scores(alone=True)


def test_a_plugin_that_fails_in_a_run_costs_the_run_nothing() -> None:
    told = {"fail": False}

    @node_filter(reads=("cpu",), depends="row")
    def touchy(task, nodes):
        if told["fail"]:
            raise RuntimeError("not now")
        return nodes.used["cpu"] < 4

    policy = Policy(filters=[*filters.VMS, touchy], scorers=[(of_cpu, 1)], tie="seeded-random")
    engine, spec = Engine(policy, retry=False), TaskSpec(**SPECS[0])
    for i in range(3):
        engine.apply(NodeAdded(node(i)))

    def decided(start: int) -> int:
        for i in range(start, start + 4):
            engine.apply(TaskSubmitted(Task(id=f"t{i}", spec=spec)))
        return sum(isinstance(each, Bind) for each in engine.decide())

    assert decided(0) == 4
    told["fail"] = True
    with pytest.raises(PolicyFault, match="not now"):
        decided(4)
    told["fail"] = False
    assert decided(8) == 8  # those of the failed round too, and none twice
    assert all(len(engine.state.tasks_on[row]) <= 4 for row in range(3))
