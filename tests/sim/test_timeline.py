"""What is measured over time: numbers worked out by hand."""

from pathlib import Path

import pytest

from pilotage.kernel.policies import named
from pilotage.model.task import Task, TaskSpec
from pilotage.sim.classes import class_of
from pilotage.sim.experiment import run
from pilotage.sim.latency import Latencies
from pilotage.sim.timeline import jain, queueing
from tests.sim.test_world import trace_of


def test_slowdown_and_fairness_by_hand() -> None:
    spec = TaskSpec(demand={"cpu": 1})
    waits = [
        (Task(id="a", spec=spec, labels={"user": "x"}), 10.0),  # (10 + 20) / 20 = 1.5
        (Task(id="b", spec=spec, labels={"user": "x"}), 0.0),  # (0 + 5) / 10, at least 1
        (Task(id="c", spec=spec, labels={"user": "y"}), 95.0),  # (95 + 5) / 10 = 10
        (Task(id="d", spec=spec), 15.0),  # never leaves: no slowdown
    ]
    found = queueing(waits, {"a": 20.0, "b": 5.0, "c": 5.0})
    assert found["waiting_mean_s"] == 30
    assert found["slowdown_mean"] == pytest.approx((1.5 + 1 + 10) / 3)
    assert found["fairness"] == pytest.approx((1.25 + 10) ** 2 / (2 * (1.25**2 + 100)))
    assert queueing([], {}) == {}
    assert "fairness" not in queueing(waits[:2], {"a": 20.0, "b": 5.0})


def test_jains_index() -> None:
    assert jain([3, 3, 3]) == pytest.approx(1)
    assert jain([1, 0.0001, 0.0001, 0.0001]) == pytest.approx(0.25, abs=0.001)


def test_hosts_and_stranding_by_hand(tmp_path: Path) -> None:
    # The average task asks for 1 core and 3 GiB. a leaves 1 core, 0 GiB on its node: 1 core of 8 is stranded from
    # 0 to 10; b leaves 3 cores and 1 GiB on the other: a third of a task fits, so 2 2/3 cores are stranded.
    tasks = "id,cpu_milli,memory_mib,arrival_s,duration_s\na,1000,4096,0,20\nb,1000,2048,10,10\n"
    nodes = "name,cpu_milli,memory_mib\nn,2000,4096\nm,4000,3072\n"
    result = run(trace_of(tmp_path, tasks, nodes), named("bestfit"), 42)
    assert (result.hosts_mean, result.hosts_most) == (1.5, 2)
    assert result.stranded_cpu_pct == pytest.approx(100 * (1 * 10 + (1 + 8 / 3) * 10) / 20 / 6)
    assert result.stranded_memory_pct == pytest.approx(0)
    # 4 GiB need one node of 4 GiB, 6 GiB two.
    assert result.host_time_ratio == pytest.approx(1.5 / 1.5)
    assert result.curve is not None
    assert (result.curve.hosts_in_use[0], max(result.curve.hosts_in_use)) == (1, 2)


def test_heat_is_a_mean_over_time(tmp_path: Path) -> None:
    tasks = "id,cpu_milli,arrival_s,duration_s\na,1000,0,10\nb,500,10,30\n"
    result = run(trace_of(tmp_path, tasks), named("bestfit"), 42, detail=True)
    assert [(group.name, group.allocated_pct) for group in result.heat] == [("1 cores", (62,))]
    assert run(trace_of(tmp_path, tasks), named("bestfit"), 42).heat == ()


def test_tasks_that_may_not_wait_are_dropped(tmp_path: Path) -> None:
    tasks = "id,cpu_milli,arrival_s,duration_s,gpus\na,1000,0,10,0\nb,500,4,10,0\nc,500,12,1,0\n"
    result = run(trace_of(tmp_path, tasks), named("bestfit"), 42, wait=False)
    assert (result.placed, result.unplaced, result.end_s) == (2, 1, 12)  # the last arrival ends it
    assert [(one.name, one.arrived, one.refused) for one in result.classes] == [("CPU only", 3, 1)]


@pytest.mark.parametrize(
    ("gpus", "share", "name"), [(0, 1000, "CPU only"), (1, 999, "shared GPU"), (1, 1000, "1 GPU"), (8, 1000, "8 GPUs")]
)
def test_classes(gpus: int, share: int, name: str) -> None:
    assert class_of(TaskSpec(gpus=gpus, gpu_share=share))[1] == name


def test_latencies_are_shared_by_the_decisions_of_a_step() -> None:
    latencies = Latencies([100e-6, 1.0, 40e-6], [1, 0, 4])
    assert (latencies.quantile(0.5), latencies.quantile(0.99)) == (pytest.approx(10), pytest.approx(100))
    histogram = latencies.histogram()
    assert histogram is not None
    assert sum(histogram.counts) == 5
    by_edge = dict(zip(histogram.edges, histogram.counts, strict=True))
    assert (by_edge[8.0], by_edge[90.51]) == (4, 1)
    assert Latencies([1.0], [0]).histogram() is None
