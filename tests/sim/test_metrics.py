"""What is measured is what happened, also when a policy goes wrong."""

import numpy as np
import pytest
from msgspec.structs import replace

from pilotage.engine.engine import Engine
from pilotage.kernel.arrays import BoolArray
from pilotage.kernel.fragmentation import cluster_fragmentation
from pilotage.kernel.functions import node_filter
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.policies import named
from pilotage.kernel.policy import Policy
from pilotage.model.events import NodeAdded
from pilotage.model.node import Node
from pilotage.model.task import Task, TaskSpec
from pilotage.model.workload import head_workload
from pilotage.sim.experiment import run
from pilotage.sim.metrics import LoadCurve, Tally
from pilotage.sim.traces.trace import FOREVER_S, Trace
from pilotage.sim.world import Step, World


def trace_of(specs: list[TaskSpec], nodes: list[Node]) -> Trace:
    tasks = tuple(Task(id=f"t{i}", spec=spec, arrival_s=float(i)) for i, spec in enumerate(specs))
    return Trace("made", tuple(nodes), tasks, (FOREVER_S,) * len(tasks), True, head_workload(specs))


def random_trace(seed: int) -> Trace:
    draw = np.random.Generator(np.random.PCG64(seed))
    kinds = [(1, 300), (1, 470), (1, 810), (1, 1000), (2, 1000), (0, 1000)]
    specs = []
    for _ in range(60):
        gpus, share = kinds[draw.integers(len(kinds))]
        specs.append(TaskSpec(demand={"cpu": int(draw.integers(1, 9)) * 1000}, gpus=gpus, gpu_share=share))
    nodes = [Node(name=f"n{i}", capacity={"cpu": 32_000}, gpus=i % 4, gpu_model="ab"[i % 2]) for i in range(12)]
    trace = trace_of(specs, nodes)
    durations = tuple(float(draw.integers(1, 40)) for _ in specs)
    return replace(trace, durations_s=durations)


@pytest.mark.parametrize("seed", range(5))
def test_the_gauge_says_what_a_recount_says(seed: int) -> None:
    trace = random_trace(seed)
    engine = Engine(named("bestfit"))
    world = World(engine, trace.tasks, trace.durations_s)
    for node in trace.nodes:
        world.apply(NodeAdded(node))
    tally, columns = Tally(engine, trace.workload), engine.state.columns
    capacity = columns.capacity.sum(axis=1)[columns.resources["gpu"]]
    steps = 0
    for step in world.steps():
        tally.take(step)
        steps += 1
        wasted = cluster_fragmentation(Nodes.all(columns), trace.workload).sum()
        used = columns.used.sum(axis=1)
        assert tally.gauge.frag_pct == pytest.approx(100 * wasted / trace.workload.total / capacity, rel=1e-12)
        assert tally.gauge.gpu == used[columns.resources["gpu"]]
        assert tally.gauge.cpu == used[columns.resources["cpu"]]
    assert steps > 60
    assert tally.gauge.gpu == 0
    assert tally.placed == len(trace.tasks)


def test_halves_round_up_as_in_the_published_curves() -> None:
    spec = TaskSpec(gpus=1, gpu_share=5)
    engine = Engine(named("bestfit"))
    engine.apply(NodeAdded(Node(name="n", capacity={"cpu": 0}, gpus=1)))
    tally, curve = Tally(engine, head_workload([spec])), LoadCurve()
    for i in range(3):  # 0.5, 1.0 and 1.5 % of the one GPU
        tally.take(Step(0.0, [], [Task(id=str(i), spec=spec)], []))
        curve.take(tally)
    assert curve.at(0) is None
    assert curve.at(1) is not None
    points = curve.curve()
    assert points is not None
    assert points.x == (1, 2)


def test_a_refusal_of_a_feasible_task_is_found_out() -> None:
    """A filter with a false promise: it reads used CPU but declares labels, so its remembered no goes stale."""
    first, second = TaskSpec(demand={"cpu": 1}), TaskSpec(demand={"cpu": 2})

    def only_after_the_first(spec: TaskSpec, nodes: Nodes) -> BoolArray:
        return (nodes.used["cpu"] > 0) | np.full(len(nodes), spec.demand["cpu"] == 1)

    nodes = [Node(name="n", capacity={"cpu": 10})]
    trace = trace_of([second, second, first, second], nodes)
    false = Policy(filters=[node_filter(reads=("labels",), depends="row")(only_after_the_first)])
    true = Policy(filters=[node_filter(reads=("cpu",), depends="row")(only_after_the_first)])
    assert run(trace, false, 42).refused_feasible == 3
    assert run(trace, true, 42).refused_feasible == 0


def test_without_gpus_the_gpu_numbers_are_none() -> None:
    trace = trace_of([TaskSpec(demand={"cpu": 5})] * 3, [Node(name="n", capacity={"cpu": 10})])
    result = run(replace(trace, timed=False), named("fgd"), 42)
    assert (result.placed, result.unplaced, result.decisions) == (2, 1, 3)
    assert result.gpu_allocation_pct_at_100 is None
    assert result.frag_pct_at_100 is None
    assert result.curve is None
