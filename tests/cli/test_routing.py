"""``pilotage simulate`` on a trace of requests, as a user meets it."""

import json
from pathlib import Path

import pytest

from tests.cli.test_simulate import pilotage
from tests.sim.files import write

KEYS = ["trace", "policy", "seed", "load", "mean_s", "p50_s", "p99_s"]


def requests(folder: Path) -> str:
    """A small trace: a request every second, short and long ones in turn."""
    rows = "".join(
        f"2024-05-10 00:{at // 60:02}:{at % 60:02}.5,{100 + at % 7},{20 + 200 * (at % 2)}\n" for at in range(600)
    )
    return write(folder, "r.csv", "TIMESTAMP,ContextTokens,GeneratedTokens\n" + rows)


def test_json_is_all_there_is_on_standard_output(tmp_path: Path) -> None:
    arguments = ("--policy", "least-outstanding,pilotage", "--seeds", "2", "--arrival-process", "trace", "--json")
    done = pilotage("simulate", requests(tmp_path), "--format", "azure-llm", *arguments, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert list(document) == ["runs"]
    runs = document["runs"]
    assert [(run["policy"], run["seed"]) for run in runs] == [
        ("least-outstanding", 0),
        ("least-outstanding", 1),
        ("pilotage", 0),
        ("pilotage", 1),
    ]
    for run in runs:
        assert list(run)[: len(KEYS)] == KEYS
        assert run["load"] == 0.8
        assert run["tasks"] == 480
        assert 0 < run["p50_s"] <= run["p99_s"] <= run["max_s"]
        assert sum(run["share"].values()) == pytest.approx(1)


def test_the_header_tells_and_a_table_and_a_picture_come_out(tmp_path: Path) -> None:
    arguments = (
        "--arrival-process",
        "trace",
        "--fault",
        "stale:2s",
        "--instances",
        "fast=1,slow=2:2",
        "--plot",
        "p.png",
    )
    done = pilotage("simulate", requests(tmp_path), *arguments, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 instances, fault stale:2s" in done.stdout
    assert "Drawn into p.png" in done.stdout
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--policy", "fgd"], "policy: no routing policy is called 'fgd'; known: random, "),
        (["--load", "0"], "--load: must be above 0 and at most 2, got 0"),
        (["--fault", "slow:big9:4x:30%"], "--fault: no instance is called 'big9'; there are: fast0, "),
        (["--instances", "huge=3"], "--instances: no pool or platform is called 'huge'"),
        (["--predictor", "magic"], "--predictor: must be one of bins, permuted, online, oracle, got 'magic'"),
        (["--arrival-process", "bursts"], "--arrival-process: must be one of poisson, trace, got 'bursts'"),
        (["--nodes", "openb"], "--nodes: is for traces that are placed on nodes"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, arguments: list[str], error: str) -> None:
    done = pilotage("simulate", requests(tmp_path), *arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {error}")
    assert done.stderr.count("\n") == 1


def test_flags_of_routing_are_refused_for_a_trace_that_is_placed(tmp_path: Path) -> None:
    done = pilotage("simulate", "openb", "--load", "0.5", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --load: is for traces of requests")
