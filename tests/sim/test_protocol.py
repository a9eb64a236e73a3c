"""The published protocol: what arrives, how much of it, in which order."""

import numpy as np
import pytest
from msgspec.structs import replace

from pilotage.model.errors import InvalidInput
from pilotage.model.node import Node
from pilotage.model.task import Task, TaskSpec
from pilotage.model.workload import head_workload
from pilotage.sim.openb_protocol import arrivals, node_order
from pilotage.sim.traces.catalogue import load_trace
from pilotage.sim.traces.trace import FOREVER_S, Trace


def random_of(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def trace_of(shares: list[tuple[int, int]], gpus: int) -> Trace:
    """A trace of tasks with (GPUs, share), on one node."""
    tasks = tuple(
        Task(id=f"t{i:02}", spec=TaskSpec(demand={"cpu": 1}, gpus=count, gpu_share=share))
        for i, (count, share) in enumerate(shares)
    )
    node = Node(name="n", capacity={"cpu": 1}, gpus=gpus)
    workload = head_workload(task.spec for task in tasks)
    return Trace("made", (node,), tasks, (FOREVER_S,) * len(tasks), False, workload)


def demand(tasks: list[Task]) -> int:
    return sum(task.demand["gpu"] for task in tasks)


def test_the_target_workload_keeps_35_of_91_specs() -> None:
    specs = [task.spec for task in load_trace("openb").tasks]
    assert len(head_workload(specs, keep=1).parts) == 91
    assert load_trace("openb").workload == head_workload(specs)
    assert len(head_workload(specs).parts) == 35


def test_the_target_workload_tells_spellings_of_gpu_models_apart() -> None:
    """gpuspec25 names V100M32 twice in some rows; the published grouping is by text."""
    trace = load_trace("openb:gpuspec25")
    assert len(trace.workload.parts) == 113
    assert len(head_workload(task.spec for task in trace.tasks).parts) == 111


def test_openb_is_filled_to_1_3_times_the_gpus() -> None:
    trace = load_trace("openb")
    tasks = arrivals(trace, 1.3, random_of(42))
    assert 10_600 < len(tasks) < 11_000
    assert 1.29 < demand(tasks) / trace.gpu_capacity < 1.301
    assert {task.id for task in tasks[:8152]} == {task.id for task in trace.tasks}
    assert [task.arrival_s for task in tasks] == list(range(len(tasks)))
    assert len({task.id for task in tasks}) == len(tasks)


def test_the_order_is_the_seeds_and_not_the_files() -> None:
    trace = load_trace("openb")
    turned = replace(trace, nodes=trace.nodes[::-1], tasks=trace.tasks[::-1])
    assert arrivals(trace, 1.3, random_of(42)) == arrivals(turned, 1.3, random_of(42))
    assert arrivals(trace, 1.3, random_of(42)) != arrivals(trace, 1.3, random_of(43))
    assert node_order(trace.nodes, random_of(42)) == node_order(turned.nodes, random_of(42))
    assert node_order(trace.nodes, random_of(42)) != node_order(trace.nodes, random_of(43))


def test_the_stop_rule_looks_at_the_share_and_not_at_the_total() -> None:
    # 8 GPUs are asked for, 10 are the target. A draw of 8 more is taken since its share, 1 GPU, still fits under
    # the target; the next draw would pass it by any rule.
    tasks = arrivals(trace_of([(8, 1000)], gpus=10), 1.0, random_of(1))
    assert demand(tasks) == 16_000
    # Shares of 600: two are 1,200, and a third would pass 1,500.
    assert demand(arrivals(trace_of([(1, 600)], gpus=1), 1.5, random_of(1))) == 1200


def test_too_much_demand_is_thinned_out() -> None:
    trace = trace_of([(1, 1000)] * 20, gpus=10)
    tasks = arrivals(trace, 0.55, random_of(1))
    assert demand(tasks) == 5000
    assert {task.id for task in tasks} <= {task.id for task in trace.tasks}


@pytest.mark.parametrize(("shares", "gpus"), [([(0, 1000)] * 5, 4), ([(1, 500)] * 5, 0)])
def test_without_gpus_or_demand_for_them_every_task_comes_once(shares: list[tuple[int, int]], gpus: int) -> None:
    assert len(arrivals(trace_of(shares, gpus), 1.3, random_of(1))) == 5


@pytest.mark.parametrize("ratio", [0.0, -1.0, float("nan"), float("inf"), 1e7])
def test_a_senseless_fill_ratio_is_refused(ratio: float) -> None:
    with pytest.raises(InvalidInput, match="fill_ratio: "):
        arrivals(trace_of([(1, 1000)], gpus=1), ratio, random_of(1))
