"""Fragmentation and FGD, with numbers worked out by hand."""

import pytest

from pilotage.kernel import scorers
from pilotage.kernel.fragmentation import cluster_fragmentation, sigmoid_steps
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugins.fgd import FragmentationDevices
from pilotage.model.node import Node
from pilotage.model.task import Task, TaskSpec
from pilotage.model.workload import Workload
from tests.kernel.ask import score, twin_of


def gpu(gpus: int, share: int = 1000, cpu: int = 0, *models: str) -> TaskSpec:
    return TaskSpec(demand={"cpu": cpu}, gpus=gpus, gpu_share=share, gpu_models=models)


NODE = Node(name="n", capacity={"cpu": 4000}, gpus=2, gpu_model="T4")
WHOLE_AND_500 = [(gpu(1, 500), (1,))]


@pytest.mark.parametrize(
    ("part", "placed", "thousandths"),
    [
        (gpu(1), [], 0),  # runs, and no GPU is too small for it
        (gpu(1), WHOLE_AND_500, 500),  # runs on GPU 0, the half of GPU 1 is lost to it
        (gpu(2), WHOLE_AND_500, 1500),  # does not run: all that is idle
        (gpu(1, 500), WHOLE_AND_500, 0),
        (gpu(1, 501), WHOLE_AND_500, 500),
        (gpu(1, 500, 4000), WHOLE_AND_500, 0),
        (gpu(1, 500, 4001), WHOLE_AND_500, 1500),  # too little CPU
        (gpu(1, 500, 0, "A10"), WHOLE_AND_500, 1500),  # wrong model
        (gpu(1, 500, 0, "A10", "T4"), WHOLE_AND_500, 0),
        (TaskSpec(demand={"cpu": 1}), WHOLE_AND_500, 1500),  # asks for no GPU
        (gpu(1, 1), [(gpu(2), (0, 1))], 0),  # nothing idle, nothing lost
    ],
)
def test_fragmentation_for_one_spec(part, placed, thousandths) -> None:
    workload = Workload(((part, 7),))
    columns = twin_of(NODE, placed, workload).columns
    assert cluster_fragmentation(Nodes.all(columns), workload).tolist() == [7 * thousandths]


def test_fragmentation_is_weighted_by_how_common_a_spec_is() -> None:
    workload = Workload(((gpu(1), 3), (gpu(2), 1), (gpu(2), 1), (TaskSpec(), 5)))
    columns = twin_of(NODE, WHOLE_AND_500, workload).columns
    assert cluster_fragmentation(Nodes.all(columns), workload).tolist() == [3 * 500 + 2 * 1500 + 5 * 1500]


@pytest.mark.parametrize(
    ("spec", "part", "placed", "expected"),
    [
        # nothing lost before and after: sigmoid(0) = 1/2
        (gpu(1), gpu(1), [], 50),
        # 500 lost before, 0 after: 100 / (1 + exp(-0.5)) = 62.2
        (gpu(1, 500), gpu(1), WHOLE_AND_500, 62),
        # the whole GPU taken for half a one: 500 lost before, 500 + 500 after on GPU 0; 0 on GPU 1: the best counts
        (gpu(1, 500), gpu(2), WHOLE_AND_500, 62),  # 1500 idle and lost, 1000 after
        # 0 lost before, 500 after, whichever GPU: 100 / (1 + exp(0.5)) = 37.8
        (gpu(1, 500), gpu(1), [], 37),
        # both GPUs taken: 0 after; 0 before
        (gpu(2), gpu(1), [], 50),
        # a CPU-only task takes the last CPU: 0 lost before, 2000 after: 100 / (1 + exp(2)) = 11.9
        (TaskSpec(demand={"cpu": 1}), gpu(1, 1000, 4000), [], 11),
        (TaskSpec(demand={"cpu": 1}), gpu(1, 1000, 3999), [], 50),
        # too big for the node: 0
        (gpu(3), gpu(1), [], 0),
        (gpu(1, 500, 4001), gpu(1), [], 0),
    ],
)
def test_fgd(spec, part, placed, expected) -> None:
    assert score(scorers.fgd(), spec, NODE, placed, Workload(((part, 11),))) == expected


@pytest.mark.parametrize(
    ("spec", "placed", "gpus"),
    [
        (gpu(1, 500), WHOLE_AND_500, (1,)),
        (gpu(1, 500), [], (0,)),  # all the same: the first
        (gpu(1, 400), [(gpu(1, 100), (0,))], (0,)),
        (gpu(1, 600), WHOLE_AND_500, (0,)),  # only one has room
        (gpu(1), [(gpu(1, 1), (0,))], (1,)),
        (gpu(2), [], (0, 1)),
    ],
)
def test_fgd_takes_the_gpu_that_loses_least(spec, placed, gpus) -> None:
    columns = twin_of(NODE, placed, Workload(((gpu(1), 1),))).columns
    assert FragmentationDevices().choose(Task(id="t", spec=spec), columns, 0, 0) == gpus


def test_the_steps_of_the_sigmoid_are_the_least_changes_that_reach_a_score() -> None:
    steps = sigmoid_steps(1)
    # 1000 ln(p / (100 - p)): -4595.1 for 1, 0 for 50, 40.005 for 51, 4595.1 for 99
    assert len(steps) == 99
    assert [int(steps[p - 1]) for p in (1, 49, 50, 51, 99)] == [-4595, -40, 0, 41, 4596]
    assert sigmoid_steps(1000)[50] == 40_006  # 40.0053...: finer with larger weights
    assert (steps[1:] > steps[:-1]).all()


def test_without_a_mix_nothing_is_a_fragment() -> None:
    assert score(scorers.fgd(), gpu(1), NODE) == 50
    assert score(scorers.fgd(), gpu(9), NODE) == 0


def test_a_node_short_of_cpu_is_scored_for_tasks_without_cpu() -> None:
    held = [(TaskSpec(demand={"cpu": 4001}), ())]
    workload = Workload(((gpu(1), 1),))
    assert score(scorers.fgd(), TaskSpec(), NODE, held, workload) == 50
    # no spec can run there: 2000 lost before, 1500 after: 100 / (1 + exp(-0.5))
    assert score(scorers.fgd(), gpu(1, 500), NODE, held, workload) == 62
    assert score(scorers.fgd(), gpu(1, 500, 1), NODE, held, workload) == 0
