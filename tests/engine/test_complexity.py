"""Work is counted in rows that plugins are asked about: a change costs what changed, however large the cluster."""

import numpy as np
import pytest

from pilotage import Policy, filters, node_filter, scorer
from pilotage.engine.engine import Engine
from pilotage.kernel.policies import named
from pilotage.kernel.policies.fgd import fgd
from pilotage.model.events import BindConfirmed, NodeAdded, NodeUpdated, TaskFinished, TaskSubmitted, WorkloadExpected
from pilotage.model.node import Node
from pilotage.model.task import Task, TaskSpec
from pilotage.model.workload import Workload

SPEC = TaskSpec(demand={"cpu": 1000, "memory": 10}, gpus=1, gpu_share=300)
OTHER = TaskSpec(demand={"cpu": 2000, "memory": 10})


def node(i: int, **facts) -> Node:
    return Node(**{"name": f"n{i}", "capacity": {"cpu": 64_000, "memory": 1000}, "gpus": 4, **facts})


def warm(policy: Policy, nodes: int) -> Engine:
    """An engine that has decided on both specs already."""
    engine = Engine(policy)
    engine.apply(WorkloadExpected(Workload(((SPEC, 3), (OTHER, 1)))))
    for i in range(nodes):
        engine.apply(NodeAdded(node(i)))
    for i, spec in enumerate((SPEC, OTHER, SPEC, OTHER)):
        decided(engine, f"warm-{i}", spec)
    return engine


def decided(engine: Engine, name: str, spec: TaskSpec) -> int:
    """Decide on one task and return how many rows plugins were asked about."""
    before = engine.kinds.evaluated
    engine.apply(TaskSubmitted(Task(id=name, spec=spec)))
    (bind,) = engine.decide()
    engine.apply(BindConfirmed(bind.task_id))
    return engine.kinds.evaluated - before


def history(policy: Policy, nodes: int) -> list[int]:
    engine, work = warm(policy, nodes), []
    for i in range(20):
        work.append(decided(engine, f"t{i}", SPEC if i % 3 else OTHER))
        if i % 4 == 3:
            engine.apply(TaskFinished(f"t{i - 1}"))
        if i % 7 == 6:
            engine.apply(NodeUpdated(node(i, labels={"k": str(i)})))
    return work


@pytest.mark.parametrize("name", ["kubernetes", "bestfit", "fgd", "gpu-clustering", "gpu-packing", "dotprod"])
def test_a_decision_of_a_known_kind_asks_about_changed_rows_only(name) -> None:
    small, large = history(named(name), 200), history(named(name), 3000)
    assert small == large
    plugins = len(named(name).filters) + len(named(name).scorers)
    # at most: the rows of three placements, a finish and an update since this kind was last looked at, each plugin
    assert max(large) <= 6 * plugins
    assert max(large) > 0


@pytest.mark.parametrize("nodes", [200, 3000])
@pytest.mark.parametrize(
    ("name", "readers"),
    [
        ("kubernetes", 4),  # capacity, gpu-fit, allocated, balanced read what a placement changes; the rest does not
        ("bestfit", 3),
        ("dotprod", 3),
        ("fgd", 3),
        ("gpu-packing", 3),
        ("gpu-clustering", 3),
        ("random", 2),
    ],
)
def test_a_placement_costs_one_row_per_plugin_that_reads_what_it_changed(name, readers, nodes) -> None:
    engine = warm(named(name), nodes)
    decided(engine, "first", SPEC)
    work = [decided(engine, f"t{i}", SPEC) for i in range(10)]
    # A node that has become full is refused by a filter, and no scorer is asked about it.
    assert max(work) == readers
    assert min(work) > 0


@pytest.mark.parametrize("between", ["task", "node"])
def test_after_a_run_of_equal_tasks_only_what_came_since_is_looked_at(between) -> None:
    work = []
    for run in (1, 30):
        engine = warm(named("kubernetes"), 200)
        for i in range(run):
            decided(engine, f"t{i}", SPEC)
        if between == "task":
            decided(engine, "between", OTHER)
        else:
            engine.apply(NodeUpdated(node(150, labels={"k": "v"})))
        work.append(decided(engine, "last", SPEC))
    # The last of the run and what came between changed two rows, each in two groups at most; six plugins say something.
    assert work[0] == work[1] <= 6 * (2 + 2)


def test_an_unknown_kind_asks_about_every_row_once() -> None:
    engine = warm(named("kubernetes"), 500)
    fresh = TaskSpec(demand={"cpu": 3000})
    work = decided(engine, "t", fresh)
    # Its demand is new to capacity, allocated and balanced; taints, affinity and the rest it shares with the others.
    assert 3 * 500 <= work <= 3 * 500 + 20


def test_kinds_share_the_work_of_the_fragments_they_have_in_common() -> None:
    engine = warm(fgd(), 500)
    same = TaskSpec(demand={"cpu": 1000, "memory": 11}, gpus=1, gpu_share=300)
    work = decided(engine, "t", same)
    assert 500 <= work <= 500 + 20, "only the memory differs: the filter of capacity alone looks at all nodes"


def counted(plugin):
    """The plugin, and a list of how many rows it was asked about, call by call."""
    asked: list[int] = []
    answer = plugin.function

    def function(task, nodes):
        asked.append(len(nodes))
        return answer(task, nodes)

    plugin.function = function
    return plugin, asked


def test_a_plugin_that_reads_taints_is_not_asked_again_after_placements() -> None:
    @node_filter(reads=("taints",), depends="row")
    def untainted(task, nodes):
        return nodes.taint_set == 0

    plugin, asked = counted(untainted)
    engine = warm(Policy(filters=[plugin, *filters.DEFAULT]), 100)
    asked.clear()
    for i in range(30):
        decided(engine, f"t{i}", SPEC)
    for i in range(10):
        engine.apply(TaskFinished(f"t{i}"))
    decided(engine, "last", SPEC)
    assert asked == []
    engine.apply(NodeUpdated(node(5, cordoned=True)))
    decided(engine, "after", SPEC)
    assert sum(asked) == 1


def test_a_global_scorer_is_asked_about_the_feasible_nodes_at_every_decision() -> None:
    @scorer
    def beyond(task, nodes):
        return np.zeros(len(nodes))

    plugin, asked = counted(beyond)
    engine = warm(Policy(filters=filters.DEFAULT, scorers=[(plugin, 1)]), 50)
    for i in range(40):
        engine.apply(NodeUpdated(node(i, cordoned=True)))
    asked.clear()
    for i in range(3):
        decided(engine, f"t{i}", SPEC)
    assert asked == [10, 10, 10]


def test_a_sleeping_crowd_costs_nothing_when_its_cure_is_another() -> None:
    engine = warm(named("bestfit"), 20)
    for i in range(200):
        engine.apply(TaskSubmitted(Task(id=f"big-{i}", spec=TaskSpec(node_selector={"nowhere": "x"}))))
    engine.decide()
    before = engine.state.version
    engine.apply(TaskFinished("warm-0"), 100.0)
    assert engine.room.active == 0
    assert engine.decide(100.0) == []
    assert engine.state.version == before + 1
