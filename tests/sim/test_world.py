"""The world: exact times of small traces worked out by hand, and that nothing depends on anything but the inputs."""

from pathlib import Path

import pytest

from pilotage.engine.engine import Engine
from pilotage.engine.validate import validate
from pilotage.kernel.policies import named
from pilotage.model.effects import Bind
from pilotage.model.events import NodeAdded, QueueDeclared
from pilotage.model.queue import Queue
from pilotage.sim.experiment import run
from pilotage.sim.traces.catalogue import load_trace
from pilotage.sim.traces.trace import Trace
from pilotage.sim.world import World
from tests.sim.files import write


def trace_of(folder: Path, tasks: str, nodes: str = "name,cpu_milli,gpus\nn,1000,0\n") -> Trace:
    return load_trace(write(folder, "tasks.csv", tasks), nodes=write(folder, "nodes.csv", nodes))


def starts(trace: Trace, *, preempt: bool = False) -> dict[str, float]:
    """Play a trace and return when each task got its last place; the engine's invariants are checked at every step."""
    engine = Engine(named("bestfit").preempting() if preempt else named("bestfit"))
    world = World(engine, trace.tasks, trace.durations_s)
    for node in trace.nodes:
        world.apply(NodeAdded(node))
    for name in sorted({task.queue for task in trace.tasks} - {""}):
        world.apply(QueueDeclared(Queue(name=name)))
    found = {}
    for step in world.steps():
        validate(engine)
        found |= {effect.task_id: step.now for effect in step.effects if isinstance(effect, Bind)}
    return found


def test_a_task_waits_until_another_one_leaves(tmp_path: Path) -> None:
    text = "id,cpu_milli,arrival_s,duration_s\na,1000,0,10\nb,1000,4,10\n"
    assert starts(trace_of(tmp_path, text)) == {"a": 0, "b": 10}


def test_priority_goes_first_and_the_loser_sits_out_its_backoff(tmp_path: Path) -> None:
    # b and c wait for a. At 10 c has priority; b, rejected a second time, may not try again before 12, and the node
    # is free at 11. Nothing else happens at 12: the world must wake up for the backoff alone.
    text = "id,cpu_milli,arrival_s,duration_s,priority\na,1000,0,10,0\nb,1000,1,5,0\nc,1000,2,1,7\nd,1000,20,1,0\n"
    assert starts(trace_of(tmp_path, text)) == {"a": 0, "c": 10, "b": 12, "d": 20}


def test_at_one_instant_tasks_leave_before_others_arrive(tmp_path: Path) -> None:
    text = "id,cpu_milli,arrival_s,duration_s\na,1000,0,3\nb,1000,3,3\nc,1000,6,3\n"
    assert starts(trace_of(tmp_path, text)) == {"a": 0, "b": 3, "c": 6}


def test_a_task_of_no_duration_leaves_at_once(tmp_path: Path) -> None:
    text = "id,cpu_milli,arrival_s,duration_s\na,1000,5,0\nb,1000,5.5,\n"
    assert starts(trace_of(tmp_path, text)) == {"a": 5, "b": 5.5}


def test_gpu_shares_come_back(tmp_path: Path) -> None:
    text = "id,cpu_milli,arrival_s,duration_s,gpus,gpu_milli\n"
    text += "a,1,0,10,1,600\nb,1,1,10,1,400\nc,1,2,1,1,500\nd,1,3,1,1,300\n"
    nodes = "name,cpu_milli,gpus\nn,1000,1\n"
    # 600 of the GPU are free at 10, and c takes 500 of them. d, rejected then for the second time, may try at 12.
    assert starts(trace_of(tmp_path, text, nodes)) == {"a": 0, "b": 1, "c": 10, "d": 12}


def test_an_evicted_task_waits_again_and_runs_from_its_beginning(tmp_path: Path) -> None:
    # c comes at 4 and drives out b, the newer one of two; b goes on when a leaves at 10, and runs for 8 s until 18.
    text = "id,cpu_milli,arrival_s,duration_s,priority\na,500,0,10,0\nb,500,1,8,0\nc,500,4,20,3\nd,500,18,1,0\n"
    trace = trace_of(tmp_path, text)
    assert starts(trace, preempt=True) == {"a": 0, "c": 4, "b": 10, "d": 18}
    result = run(trace, named("bestfit").preempting(), 42)
    assert (result.arrivals, result.placed, result.unplaced, result.evictions) == (4, 4, 0, 1)
    assert result.waiting_mean_s == 0
    assert run(trace, named("bestfit"), 42).evictions is None


def test_a_task_whose_time_comes_as_it_is_evicted_leaves_once(tmp_path: Path) -> None:
    text = "id,cpu_milli,arrival_s,duration_s,priority\na,1000,0,5,0\nb,1000,4,2,1\nc,1,20,1,0\n"
    assert starts(trace_of(tmp_path, text), preempt=True) == {"b": 4, "a": 6, "c": 20}


def test_queues_of_a_trace_take_turns(tmp_path: Path) -> None:
    rows = [f"{queue}{i},250,0,{10 + i},{queue}" for queue in "ab" for i in range(3)]
    trace = trace_of(tmp_path, "\n".join(("id,cpu_milli,arrival_s,duration_s,queue", *rows)) + "\n")
    first = [name for name, start in starts(trace).items() if start == 0]
    assert first == ["a0", "b0", "a1", "b1"]


def test_waiting_and_allocation_are_measured_over_time(tmp_path: Path) -> None:
    text = "id,cpu_milli,arrival_s,duration_s\na,1000,0,10\nb,500,4,10\nc,2000,4,1\n"
    result = run(trace_of(tmp_path, text), named("bestfit"), 42)
    assert (result.placed, result.unplaced, result.arrivals) == (2, 1, 3)
    assert result.waiting_mean_s == 3
    assert result.end_s == 20
    assert result.cpu_allocation_mean_pct == 75
    assert result.refused_feasible == 0
    without_meaning = ("gpu_allocation_pct_at_100", "gpu_allocation_pct_at_130", "frag_pct_at_100", "frag_mean_pct")
    assert all(getattr(result, name) is None for name in without_meaning)


def test_gpus_are_measured_over_time(tmp_path: Path) -> None:
    text = "id,cpu_milli,arrival_s,duration_s,gpus\na,1,0,10,2\nb,1,0,5,2\n"
    result = run(trace_of(tmp_path, text, "name,cpu_milli,gpus\nn,1000,4\n"), named("fgd"), 42)
    assert result.gpu_allocation_mean_pct == 75
    assert result.curve is not None
    assert result.curve.x_is == "time_s"
    assert (result.curve.x[0], result.curve.x[-1]) == (0, 10)
    assert (result.curve.gpu_allocation_pct[0], result.curve.gpu_allocation_pct[-1]) == (100, 0)


def test_nothing_ever_fits(tmp_path: Path) -> None:
    result = run(trace_of(tmp_path, "id,cpu_milli,arrival_s\na,5000,3\n"), named("bestfit"), 42)
    assert (result.placed, result.unplaced, result.decisions) == (0, 1, 1)
    assert result.waiting_mean_s is None


@pytest.mark.parametrize("policy", ["random", "fgd"])
def test_the_same_seed_gives_the_same_decisions(policy: str) -> None:
    trace = load_trace("openb")
    first, again, other = (run(trace, named(policy), seed, fill_ratio=0.05) for seed in (42, 42, 43))
    assert first.digest == again.digest
    assert first.curve == again.curve
    assert first.digest != other.digest
