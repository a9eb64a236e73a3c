"""Readers of other formats: what they read, what they make of it, and errors that name file, line and field."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pilotage.kernel.policies import named
from pilotage.model.errors import InvalidInput
from pilotage.sim.experiment import run
from pilotage.sim.traces import fleet
from pilotage.sim.traces.catalogue import BUNDLED, load_trace
from pilotage.sim.traces.reshape import reshaped
from pilotage.sim.traces.trace import FOREVER_S
from pilotage.sim.traces.writing import write_trace
from tests.sim.files import OPENB_NODES, OPENB_PODS, write

if TYPE_CHECKING:
    from pathlib import Path

# job, submit, wait, run, used, mean CPU, memory used, asked, time asked, memory asked, status, user, ...
JOBS = """; Version: 2.2
; MaxProcs: 4

  1   0  -1  10  2 -1   -1  3 -1 1024  1   7  1 -1 -1 -1 -1 -1
  2   5  -1  20  2 -1   -1 -1 -1   -1  1   8  1 -1 -1 -1 -1 -1
  3   6  -1  -1  2 -1   -1 -1 -1   -1  5   8  1 -1 -1 -1 -1 -1
  4   7  -1   1  1 -1 2000 -1 -1   -1  1  -1  1 -1 -1 -1 -1 -1
"""


def test_swf(tmp_path: Path) -> None:
    trace = load_trace(write(tmp_path, "log.swf.gz", JOBS))
    assert [(n.name, n.capacity["cpu"]) for n in trace.nodes] == [("machine", 4000)]
    assert [(t.id, t.arrival_s, t.demand["cpu"], t.demand["memory"], t.labels.get("user")) for t in trace.tasks] == [
        ("1", 0, 3000, 3 * 2**20, "7"),  # asked for 3, used 2: it held 3
        ("2", 5, 2000, 0, "8"),
        ("4", 7, 1000, 2000 * 1024, None),
    ]
    assert trace.durations_s == (10, 20, 1)
    result = run(trace, named("bestfit"), 42)
    # Job 2 waits from 5 to 10; job 4 starts at once beside job 1.
    assert (result.waiting_mean_s, result.end_s) == (pytest.approx(5 / 3), 30)


def test_swf_on_nodes_of_ones_own(tmp_path: Path) -> None:
    log = write(tmp_path, "log", JOBS.replace("; MaxProcs: 4\n", ""))
    with pytest.raises(InvalidInput, match="--nodes: which nodes"):
        load_trace(log, form="swf")
    assert len(load_trace(log, form="swf", nodes="2xcpu=8,memory_gib=1").nodes) == 2


@pytest.mark.parametrize(
    ("line", "where", "reason"),
    [
        ("9 0 -1 10 2", "log.swf:8", "has 5 fields; a job has 18"),
        ("9 x -1 1 2 -1 -1 3 -1 -1 1 7 1 -1 -1 -1 -1 -1", "log.swf:8: submit", "must be a number, got 'x'"),
        ("9 0 -1 1 2.5 -1 -1 3 -1 -1 1 7 1 -1 -1 -1 -1 -1", "log.swf:8: processors used", "must be a whole number"),
        ("9 0 -1 nan 2 -1 -1 3 -1 -1 1 7 1 -1 -1 -1 -1 -1", "log.swf:8: run time", "must be from -1 to"),
        ("9 0 -1 1 2 -1 -1 99999999 -1 -1 1 7 1 -1 -1 -1 -1 -1", "log.swf:8: processors asked", "must be from -1 to"),
        ("2 0 -1 1 2 -1 -1 3 -1 -1 1 7 1 -1 -1 -1 -1 -1", "log.swf:8: job", "stands on line 5 already"),
    ],
)
def test_a_bad_job_is_named_by_line_and_field(tmp_path: Path, line: str, where: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as error:
        load_trace(write(tmp_path, "log.swf", JOBS + line + "\n"))
    assert error.value.field.endswith(where)
    assert reason in error.value.reason


# ---------------------------------------------------------------- Azure's VMs


def azure(folder: Path, **changed: str) -> str:
    files = {
        "v1.dev.txt": "600 a,a,|,d,|,\n900 d,|,\n",
        "v1.dev.c2100.txt": "600 U0,U1,|,C1,|,\n900 U1,|,\n",
        "flav_map.txt": "1,0.75 a\n16,112 d\n",
        "v1.interval_map.txt": "0 0\n300 1\n600 1\n",
    } | changed
    for name, text in files.items():
        write(folder, name, text)
    return str(folder / "v1.dev.txt")


def test_azure_vms(tmp_path: Path) -> None:
    trace = load_trace(azure(tmp_path))
    assert [(t.id, t.arrival_s, t.demand["cpu"], t.demand["memory"] >> 20) for t in trace.tasks] == [
        ("vm-0", 0, 1000, 768),
        ("vm-1", 0, 1000, 768),
        ("vm-2", 0, 16_000, 112 << 10),
        ("vm-3", 300, 16_000, 112 << 10),
    ]
    # Bin 0 is 0 to 300 s, bin 1 is 300 to 900 s.
    assert trace.durations_s == (150, 600, FOREVER_S, 600)
    assert [node.capacity["cpu"] for node in trace.nodes] == [64_000]


@pytest.mark.parametrize(
    ("changed", "where", "reason"),
    [
        ({"v1.dev.txt": "600 a,x,|,d,|,\n"}, "v1.dev.txt:1", "no flavour is called 'x'"),
        ({"v1.dev.txt": "600 a,a,|,\n900 d,|,\n"}, "v1.dev.c2100.txt:1", "does not tell the VMs of the same line"),
        ({"v1.dev.txt": "600 a,a,|,d,|,\n"}, "v1.dev.txt", "ends after line 1, before the other file"),
        ({"v1.dev.c2100.txt": "600 U0,X1,|,C1,|,\n900 U1,|,\n"}, "v1.dev.c2100.txt:1", "must be U or C"),
        (
            {"v1.dev.c2100.txt": "600 U0,U9,|,C1,|,\n900 U1,|,\n"},
            "v1.dev.c2100.txt:1",
            "no lifetime bin has the number 9",
        ),
        ({"flav_map.txt": "1;0.75 a\n"}, "flav_map.txt:1", "must be vCPU,GiB letter"),
        ({"v1.interval_map.txt": "0 zero\n"}, "v1.interval_map.txt:1: bin", "must be a number"),
        ({"v1.dev.c2200.txt": ""}, "v1.dev.c*.txt", "is there more than once"),
    ],
)
def test_bad_files_of_vms_are_named(tmp_path: Path, changed: dict[str, str], where: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as error:
        load_trace(azure(tmp_path, **changed))
    assert error.value.field.endswith(where)
    assert reason in error.value.reason


def test_a_missing_file_beside_the_vms_is_named(tmp_path: Path) -> None:
    path = azure(tmp_path)
    (tmp_path / "v1.interval_map.txt").unlink()
    with pytest.raises(InvalidInput, match=r"v1\.interval_map\.txt: is missing"):
        load_trace(path)


# ---------------------------------------------------------------- Gavel's jobs

RATES = {"v100": {"('LM (batch size 5)', 1)": {"null": 2.0}, "('LM (batch size 5)', 8)": {"null": 10.0}}}


def gavel(folder: Path, lines: str, rates: object = RATES) -> str:
    write(folder, "simulation_throughputs.json.gz", json.dumps(rates))
    return write(folder, "jobs.trace", lines)


def test_gavels_jobs(tmp_path: Path) -> None:
    text = "LM (batch size 5)\tcd\t-n\t1\t100\t0.5\t1\nLM (batch size 5)\tcd\t-n\t1\t100\t9\t12\n"
    trace = load_trace(gavel(tmp_path, text))
    assert [(t.id, t.arrival_s, t.gpus) for t in trace.tasks] == [
        ("job-0", 0.5, 1),
        ("job-1.0", 9, 8),
        ("job-1.1", 9, 4),
    ]
    # 2 steps a second alone; twelve workers are as fast as 12 / 8 times eight.
    assert trace.durations_s == (50, pytest.approx(100 / 15), pytest.approx(100 / 15))
    assert {node.gpu_model for node in trace.nodes} == {"V100"}


@pytest.mark.parametrize(
    ("line", "where", "reason"),
    [
        ("LM\tcd\t-n\t1\t100\t0.5", "jobs.trace:1", "has 6 fields between tabs"),
        ("LM\tcd\t-n\t1\t100\t0.5\t1", "jobs.trace:1: job type", "knows no throughput of 'LM' on v100"),
        ("LM (batch size 5)\tcd\t-n\t1\t1e3x\t0.5\t1", "jobs.trace:1: total steps", "must be a number"),
        ("LM (batch size 5)\tcd\t-n\t1\t100\t0.5\t0", "jobs.trace:1: workers", "must be from 1 to 1024"),
    ],
)
def test_a_bad_job_of_gavels_is_named(tmp_path: Path, line: str, where: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as error:
        load_trace(gavel(tmp_path, line + "\n"))
    assert error.value.field.endswith(where)
    assert reason in error.value.reason


@pytest.mark.parametrize("rates", [{}, {"v100": {"LM": {"null": 1}}}, {"v100": {"('LM', 1)": {}}}, []])
def test_bad_throughputs_are_named(tmp_path: Path, rates: object) -> None:
    with pytest.raises(InvalidInput, match=r"simulation_throughputs\.json\.gz: is no table of throughputs"):
        load_trace(gavel(tmp_path, "LM\tcd\t-n\t1\t100\t0.5\t1\n", rates))


# ---------------------------------------------------------------- openb with its own times


def test_openb_with_its_own_times() -> None:
    trace = load_trace("openb:times")
    assert trace.timed
    assert len(trace.tasks) == 8152
    assert trace.durations_s[0] == 12_537_496
    assert not load_trace("openb").timed


# ---------------------------------------------------------------- nodes that no file lists


def test_a_fleet_is_described_in_words() -> None:
    nodes = fleet.asked_for("3xcpu=64,memory_gib=0.5,gpus=8,gpu_model=A10")
    assert nodes is not None
    assert [node.name for node in nodes] == ["node-000000", "node-000001", "node-000002"]
    assert (nodes[0].capacity["cpu"], nodes[0].capacity["memory"], nodes[0].gpus, nodes[0].gpu_model) == (
        64_000,
        2**29,
        8,
        "A10",
    )
    assert fleet.asked_for("nodes.csv") is None
    assert fleet.asked_for("4x4.csv") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0xcpu=1", "must be 1 to 1,000,000 nodes"),
        ("2xcpu=many", "cpu must be a number"),
        ("2xcpu=-1", "cpu must be from 0"),
        ("2xcores=1", "'cores' is no word of COUNTxcpu="),
    ],
)
def test_a_bad_description_is_told(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=f"^--nodes: .*{reason}"):
        fleet.asked_for(text)


def test_a_fleet_is_sized_by_the_peak(tmp_path: Path) -> None:
    # 100 cores at once at the peak (b starts when a leaves): 100 / 0.85 / 8 cores = 14.7 nodes.
    tasks = "id,cpu_milli,arrival_s,duration_s\na,60000,0,10\nb,60000,10,5\nc,40000,5,\n"
    trace = load_trace(write(tmp_path, "t.csv", tasks), nodes="1xcpu=1")
    assert len(fleet.sized(trace.tasks, trace.durations_s, 8, 0)) == 15


# ---------------------------------------------------------------- reshaping and writing


def test_a_trace_is_played_faster_and_again(tmp_path: Path) -> None:
    tasks = "id,cpu_milli,arrival_s,duration_s\na,1,10,7\nb,1,30,8\n"
    trace = load_trace(write(tmp_path, "t.csv", tasks), nodes="1xcpu=1")
    again = reshaped(trace, speed_up=10, repeat=2)
    assert [(task.id, task.arrival_s) for task in again.tasks] == [("a", 0), ("b", 2), ("a#2", 4), ("b#2", 6)]
    assert again.durations_s == (7, 8, 7, 8)
    assert reshaped(trace) is trace
    for bad in ({"speed_up": 0.0}, {"repeat": 0}, {"repeat": 10**9}):
        with pytest.raises(InvalidInput, match=r"--speed-up|--repeat"):
            reshaped(trace, **bad)
    with pytest.raises(InvalidInput, match="--repeat: openb does not say when"):
        reshaped(load_trace("openb"), repeat=2)


@pytest.mark.parametrize("name", ["openb:gpuspec25", "openb:times", "gavel:2869ce"])
def test_what_is_written_reads_as_it_was(tmp_path: Path, name: str) -> None:
    trace = load_trace(name)
    files = str(tmp_path / "t.csv.gz"), str(tmp_path / "n.csv")
    write_trace(trace, *files)
    again = load_trace(files[0], nodes=files[1])
    assert (again.tasks, again.nodes, again.durations_s) == (trace.tasks, trace.nodes, trace.durations_s)
    assert again.timed == trace.timed


def test_everything_our_own_form_can_say_is_written(tmp_path: Path) -> None:
    tasks = (
        "id,arrival_s,duration_s,cpu_milli,memory_mib,gpus,gpu_milli,gpu_models,priority,node_selector,user\n"
        '"a,b",0.125,,1000,3,1,500,A|B,-2,zone=x;disk=,u\nc,1.5,2e5,2,,,,,,,\n'
    ).replace("disk=", "disk=ssd")
    nodes = (
        "name,cpu_milli,memory_mib,gpus,gpu_model,max_tasks,labels,taints\n"
        "n,1,2,3,A,4,zone=x,k=v:NoSchedule;e:NoExecute\nm,5,,1,B,,,\n"
    )
    trace = load_trace(write(tmp_path, "t.csv", tasks), nodes=write(tmp_path, "n.csv", nodes))
    files = str(tmp_path / "t2.csv"), str(tmp_path / "n2.csv")
    write_trace(trace, *files)
    again = load_trace(files[0], nodes=files[1])
    assert (again.tasks, again.nodes, again.durations_s) == (trace.tasks, trace.nodes, trace.durations_s)
    with pytest.raises(InvalidInput, match="can not be written"):
        write_trace(trace, str(tmp_path / "none" / "t.csv"), files[1])


def test_an_openb_list_without_times_says_so_only_if_they_are_asked_for(tmp_path: Path) -> None:
    pods = write(tmp_path, "pods.csv", OPENB_PODS + "a,1,1,0,0,\n")
    nodes = write(tmp_path, "nodes.csv", OPENB_NODES + "n,1000,1000,0,\n")
    assert not load_trace(pods, nodes=nodes).timed


@pytest.mark.parametrize("name", [name for name in BUNDLED if not name.startswith("openb")])
def test_the_bundled_traces_are_read(name: str) -> None:
    trace = load_trace(name)
    assert trace.timed
    assert len(trace.tasks) == {"azure-vm": 259_159}.get(name, len(trace.tasks))
    assert min(trace.durations_s) >= 0
    assert trace.nodes
