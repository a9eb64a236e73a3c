"""Sweeps: the same results on a pool as in one process, in the same order, and faults that arrive whole."""

import multiprocessing
from pathlib import Path

import pytest
from msgspec.structs import replace

from pilotage.app.sweep import Plan, sweep
from pilotage.model.errors import InvalidInput
from pilotage.sim.result import Run
from tests.sim.files import NODES, write


def small(**changes: object) -> Plan:
    return replace(Plan(trace="openb", policies=("fgd", "random"), seeds=2, fill_ratio=0.05, workers=1), **changes)


def without_times(runs: list[Run]) -> list[Run]:
    never = {"latency_us": None, "latency_p50_us": None, "latency_p99_us": None}
    return [replace(run, cpu_s=0, decisions_per_s=0, **never) for run in runs]


def test_a_pool_gives_what_one_process_gives() -> None:
    alone_told: list[tuple[float, int]] = []
    told: list[tuple[float, int]] = []
    alone = sweep(small(), lambda done, runs: alone_told.append((done, runs)))
    assert (alone_told[0], alone_told[-1]) == ((0, 4), (4, 4))
    assert len(alone_told) > 300
    pooled = sweep(small(workers=2), lambda done, runs: told.append((done, runs)))
    assert without_times(pooled) == without_times(alone)
    assert [(run.policy, run.seed) for run in alone] == [("fgd", 42), ("fgd", 43), ("random", 42), ("random", 43)]
    assert (told[0], told[-1]) == ((0, 4), (4, 4))
    assert told == sorted(told)


BAD_LATE = """
from pilotage import Policy, scorer
import numpy as np

@scorer
def spoilt(task, nodes):
    scores = nodes.free["cpu"] * 1.0
    if task.arrival_s > 20:
        scores[0] = np.nan
    return scores

policy = Policy(filters=[], scorers=[(spoilt, 1)])
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_fault_of_a_policy_arrives_with_its_line(tmp_path: Path, workers: int) -> None:
    path = write(tmp_path, "late.py", BAD_LATE)
    with pytest.raises(InvalidInput, match=r"late\.py:\d+: spoilt: returned nan for node 'openb-node-"):
        sweep(small(policies=(path,), workers=workers))
    assert not multiprocessing.active_children()


def test_a_process_that_dies_is_told(tmp_path: Path) -> None:
    deadly = "import os\n" + BAD_LATE.replace("scores[0] = np.nan", "os._exit(3)")
    with pytest.raises(InvalidInput, match="workers: a process ended by itself"):
        sweep(small(policies=(write(tmp_path, "deadly.py", deadly),), workers=2))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"policies": ()}, "policy: none is named"),
        ({"policies": ("fgd", "fgd")}, "policy: 'fgd' is named twice"),
        ({"policies": ("fgdd",)}, "policy: no policy is called 'fgdd'; known: random, "),
        ({"seeds": 0}, "seeds: must be a number from 1 to 50,000, got 0"),
        ({"seeds": 60_000}, "seeds: must be a number from 1 to 50,000, got 60000"),
        ({"workers": 0}, "workers: must be a number from 1 to 256, got 0"),
        ({"fill_ratio": float("nan")}, "fill_ratio: must be a positive number, got nan"),
    ],
)
def test_a_plan_that_can_not_be_is_refused(changes: dict[str, object], error: str) -> None:
    with pytest.raises(InvalidInput) as told:
        sweep(small(**changes))
    assert str(told.value).startswith(error)


def test_a_timed_trace_is_not_filled_up(tmp_path: Path) -> None:
    tasks = write(tmp_path, "tasks.csv", "id,cpu_milli,arrival_s\na,1,0\n")
    plan = small(trace=tasks, nodes=write(tmp_path, "nodes.csv", NODES + "n,1,,,,,,\n"))
    with pytest.raises(InvalidInput, match=r"fill_ratio: .*tasks\.csv says when its tasks arrive"):
        sweep(plan)
    assert [run.placed for run in sweep(replace(plan, fill_ratio=None))] == [1, 1, 1, 1]
