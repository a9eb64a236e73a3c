"""``pilotage simulate`` as a user meets it: in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.sim.files import OPENB_PODS, write

KEYS = [
    "trace",
    "policy",
    "seed",
    "gpu_allocation_pct_at_100",
    "gpu_allocation_pct_at_130",
    "frag_pct_at_100",
    "refused_feasible",
    "placed",
    "decisions",
    "decisions_per_s",
    "cpu_s",
]


def pilotage(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pilotage", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "80", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_json_is_all_there_is_on_standard_output(tmp_path: Path) -> None:
    done = pilotage("simulate", "openb", "--policy", "bestfit", "--json", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert list(document) == ["runs"]
    (run,) = document["runs"]
    assert list(run)[: len(KEYS)] == KEYS
    assert (run["trace"], run["policy"], run["seed"]) == ("openb", "bestfit", 42)
    assert 92 < run["gpu_allocation_pct_at_100"] < run["gpu_allocation_pct_at_130"] < 94
    assert 6 < run["frag_pct_at_100"] < 8
    assert run["refused_feasible"] == 0
    assert 10_600 < run["decisions"] < 11_000
    assert run["decisions_per_s"] == pytest.approx(run["decisions"] / run["cpu_s"])
    assert len(run["digest"]) == 64


def test_tables_a_finding_a_picture_and_a_page(tmp_path: Path) -> None:
    arguments = (
        "--policy",
        "fgd,random",
        "--seeds",
        "2",
        "--fill-ratio",
        "0.05",
        "--plot",
        "p.png",
        "--report",
        "r.html",
    )
    done = pilotage("simulate", "openb", *arguments, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "mean of 2 seeds" in done.stdout
    assert "Written: p.png\nWritten: r.html\n" in done.stdout
    assert (tmp_path / "r.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_a_policy_of_the_users_own_on_a_trace_of_their_own(tmp_path: Path) -> None:
    write(
        tmp_path,
        "mine.py",
        "from pilotage import Policy, filters, scorers\n"
        "small = Policy(filters=[filters.capacity], scorers=[(scorers.best_fit(), 1)])\n",
    )
    write(tmp_path, "tasks.csv.gz", "id,cpu_milli,arrival_s,duration_s\na,1000,0,10\nb,1000,4,10\n")
    write(tmp_path, "nodes.csv", "name,cpu_milli\nn,1000\n")
    arguments = ("--nodes", "nodes.csv", "--policy", "mine.py:small,bestfit", "--json", "--workers", "1")
    done = pilotage("simulate", "tasks.csv.gz", *arguments, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    runs = json.loads(done.stdout)["runs"]
    assert [run["policy"] for run in runs] == ["mine.py:small", "bestfit"]
    assert [run["waiting_mean_s"] for run in runs] == [3, 3]
    assert all(run["gpu_allocation_pct_at_100"] is None for run in runs)


def test_preempt_is_a_flag_for_all_and_an_ending_for_one(tmp_path: Path) -> None:
    write(tmp_path, "t.csv", "id,cpu_milli,arrival_s,duration_s,priority,queue\na,900,0,9,0,x\nb,900,1,9,5,y\n")
    write(tmp_path, "n.csv", "name,cpu_milli\nn,1000\n")
    for arguments, evictions in (
        (("--policy", "bestfit,bestfit+preempt"), [None, 1]),
        (("--policy", "bestfit", "--preempt"), [1]),
    ):
        done = pilotage("simulate", "t.csv", "--nodes", "n.csv", *arguments, "--json", folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert [run["evictions"] for run in json.loads(done.stdout)["runs"]] == evictions


def test_what_no_flag_says_comes_from_the_configuration(tmp_path: Path) -> None:
    write(tmp_path, "pilotage.toml", '[simulate]\npolicies = ["fgd"]\nseeds = 2\nfill_ratio = 0.02\nworkers = 1\n')
    done = pilotage("simulate", "openb", "--json", folder=tmp_path, PILOTAGE_SIMULATE_POLICIES="bestfit")
    assert [(run["policy"], run["seed"]) for run in json.loads(done.stdout)["runs"]] == [
        ("bestfit", 42),
        ("bestfit", 43),
    ]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["pods.csv"], "pods.csv:3: cpu_milli: must be a whole number >= 0, got '-5'"),
        (["none.csv"], "none.csv: can not be read: No such file or directory"),
        (["openb:cpu999"], "TRACE: no trace is called 'openb:cpu999'; known: openb, "),
        (["openb", "--policy", "fgdd"], "policy: no policy is called 'fgdd'"),
        (["openb", "--policy", "broken.py"], "broken.py:2:"),
        (["openb", "--format", "xml"], "--format: must be one of openb, pilotage, azure-vm, swf, gavel, got 'xml'"),
        (["openb", "--seeds", "0"], "seeds: must be a number from 1 to "),
        (["openb", "--report", "r.pdf"], "--report: must end in .html, got 'r.pdf'"),
        (["openb", "--plot", "p.gif"], "--plot: must end in .png, .svg, .pdf, got 'p.gif'"),
        (["openb", "--config", "none.toml"], "none.toml: can not be read: No such file or directory"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, arguments: list[str], error: str) -> None:
    write(tmp_path, "pods.csv", OPENB_PODS + "a,1,1,0,0,\nb,-5,1,0,0,\n")
    write(tmp_path, "broken.py", "x = 1\nx = = 2\n")
    done = pilotage("simulate", *arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {error}")
    assert done.stderr.count("\n") == 1


def test_a_fault_that_a_worker_meets_is_one_line_too(tmp_path: Path) -> None:
    text = (
        "from pilotage import Policy, scorer\n\n@scorer\ndef short(task, nodes):\n    return nodes.free['cpu'][:-1]\n"
    )
    write(tmp_path, "p.py", text + "\npolicy = Policy(filters=[], scorers=[(short, 1)])\n")
    done = pilotage("simulate", "openb", "--policy", "p.py", "--seeds", "2", "--workers", "2", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: p.py:")
    assert "short: must return one entry per node" in done.stderr
    assert done.stderr.count("\n") == 1


def test_an_interrupt_ends_the_workers_quietly(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pilotage",
        "simulate",
        "openb",
        "--policy",
        "fgd",
        "--seeds",
        "50",
        "--workers",
        "2",
    ]
    with _started(command, tmp_path) as process:
        deadline = time.monotonic() + 30
        while len(children := _children(process.pid)) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert len(children) >= 2
    deadline = time.monotonic() + 30
    while any(map(_runs, children)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_runs, children))


def _started(command: list[str], folder: Path) -> subprocess.Popen[str]:
    """Start a command that hears interrupts, also where these tests run in the background and do not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
