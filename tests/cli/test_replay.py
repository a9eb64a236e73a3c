"""``pilotage replay`` as a user meets it: in a process of its own, or in one that differs in what must not matter."""

import json
from pathlib import Path

import pytest
from numpy._core import _multiarray_umath as cpu

from tests.cli.test_simulate import pilotage


@pytest.fixture(scope="module")
def openb(tmp_path_factory) -> Path:
    """A record of about 10,000 decisions, in several segments."""
    folder = tmp_path_factory.mktemp("openb")
    (folder / "pilotage.toml").write_text("[record]\nsegment_mib = 1\n")
    done = pilotage("simulate", "openb", "--policy", "kubernetes", "--record", "run.log", "--json", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["runs"][0]["decisions"] > 10_000
    return folder


@pytest.fixture(scope="module")
def digest(openb) -> str:
    done = pilotage("replay", "run.log", "--json", folder=openb)
    assert (done.returncode, done.stderr) == (0, "")
    outcome = json.loads(done.stdout)
    assert outcome["difference"] is None
    assert outcome["effects"] > 10_000
    return outcome["digest"]


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "1"},
        {"PYTHONHASHSEED": "4242", "PILOTAGE_ENGINE_CACHE_MIB": "1"},
        {"NPY_DISABLE_CPU_FEATURES": " ".join(n for n in cpu.__cpu_dispatch__ if cpu.__cpu_features__[n])},
    ],
    ids=["hash seed", "hash seed, small cache", "no vector instructions"],
)
def test_ten_thousand_decisions_replay_to_the_same_digest_elsewhere(openb, digest, environment) -> None:
    done = pilotage("replay", "run.log", folder=openb, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"digest {digest}"


def test_another_policy_gets_a_report_of_differences(openb) -> None:
    done = pilotage("replay", "run.log", "--policy", "fgd", "--json", folder=openb)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    counts = [found[name] for name in ("same_node", "elsewhere", "only_recorded", "only_other", "neither")]
    assert sum(counts) == found["tasks"] > 10_000
    (gpu,) = [amount for amount in found["amounts"] if amount["resource"] == "gpu"]
    assert 0.85 < gpu["recorded"] / gpu["capacity"] < gpu["other"] / gpu["capacity"] < 1


def test_any_decision_is_explained_from_the_nearest_checkpoint(openb) -> None:
    found = json.loads(pilotage("explain", "run.log", "openb-pod-0281", "--json", folder=openb).stdout)
    decision, why = found["decision"], found["explanation"]
    assert why["node"] == decision["node"] == why["top"][0]["node"]
    assert why["feasible"] == decision["feasible"]
    best = why["top"][0]
    assert best["score"] == decision["score"] == sum(part["weight"] * part["normalised"] for part in best["parts"])
    told = pilotage("explain", "run.log", "openb-pod-0281", "--node", "openb-node-0100", folder=openb)
    assert (told.returncode, told.stderr) == (0, "")
    assert "openb-node-0100 would do; it is " in told.stdout
    assert max(map(len, told.stdout.splitlines())) <= 80


SMALL = "--fill-ratio", "0.02"


def test_a_refusal_is_explained_with_what_would_do(tmp_path: Path) -> None:
    (tmp_path / "tasks.csv").write_text("id,cpu_milli\nsmall,600\nlarge,9000\n")
    (tmp_path / "nodes.csv").write_text("name,cpu_milli,taints\na,8000,\nb,9500,team=x:NoSchedule\n")
    arguments = ("tasks.csv", "--nodes", "nodes.csv", "--policy", "kubernetes", "--record", "r")
    assert pilotage("simulate", *arguments, folder=tmp_path).returncode == 0
    told = pilotage("explain", "r", "large", folder=tmp_path).stdout
    assert "large finds no node" in told
    assert "1  taints: node(s) had untolerated taint(s)" in told
    assert "1  capacity: Insufficient cpu" in told
    assert "would do: taint team=x:NoSchedule tolerated, or taken from the node" in told
    found = json.loads(pilotage("explain", "r", "large", "--node", "a", "--json", folder=tmp_path).stdout)
    (refusal,) = found["explanation"]["asked"]["refusals"]
    used = (
        600
        if json.loads(pilotage("explain", "r", "small", "--json", folder=tmp_path).stdout)["decision"]["node"]
        else 0
    )
    free = 8000 - (used if found["decision"]["seq"] == 2 else 0)
    assert refusal["changes"] == [{"type": "MoreFree", "resource": "cpu", "amount": 9000 - free}]


def test_the_report_fits_a_terminal(tmp_path: Path) -> None:
    pilotage("simulate", "openb", "--policy", "bestfit", *SMALL, "--record", "r", folder=tmp_path)
    done = pilotage("replay", "r", "--policy", "random", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Binds follow the simulated world" in done.stdout
    assert "First differences:" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_policy_that_changed_since_is_told(tmp_path: Path) -> None:
    text = "from pilotage import Policy, filters, scorers\npolicy = Policy(filters=[], scorers=[(scorers.{}(), 1)])\n"
    (tmp_path / "mine.py").write_text(text.format("best_fit"))
    assert (
        pilotage("simulate", "openb", "--policy", "mine.py", *SMALL, "--record", "r", folder=tmp_path).returncode == 0
    )
    assert pilotage("replay", "r", folder=tmp_path).returncode == 0
    (tmp_path / "mine.py").write_text(text.format("dot_product"))
    done = pilotage("replay", "r", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: policy: 'mine.py' is not what it was")
    assert pilotage("replay", "r", "--policy", "mine.py", folder=tmp_path).returncode == 0


def test_a_policy_that_is_no_function_of_its_input_is_found_out(tmp_path: Path) -> None:
    """It answers by how often it was asked, in the process that runs it: a replay sees another policy at work."""
    text = (
        "import os\nfrom pilotage import Policy, filters, scorer\n\n@scorer\ndef mood(task, nodes):\n"
        "    return nodes.free['cpu'] * int(os.environ['MOOD'])\n\n"
        "policy = Policy(filters=[*filters.DEFAULT], scorers=[(mood, 1)])\n"
    )
    (tmp_path / "mine.py").write_text(text)
    made = pilotage("simulate", "openb", "--policy", "mine.py", *SMALL, "--record", "r", folder=tmp_path, MOOD="1")
    assert made.returncode == 0
    done = pilotage("replay", "r", folder=tmp_path, MOOD="-1")
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert lines[1] == "effect 1 at 0 s: the effect differs"
    recorded, made_now = (json.loads(line.partition(":")[2]) for line in lines[2:])
    assert recorded["task_id"] == made_now["task_id"]
    assert recorded["node"] != made_now["node"]
    in_json = json.loads(pilotage("replay", "r", "--json", folder=tmp_path, MOOD="-1").stdout)
    assert in_json["difference"]["recorded"] == recorded


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["simulate", "openb", "--record", "new"], "--record: one run is recorded at a time"),
        (["simulate", "openb", "--policy", "fgd", "--record", "words"], "--record: words exists already"),
        (["simulate", "openb", "--policy", "fgd", "--record", "no/r"], "--record: no/r can not be written: No such"),
        (["replay", "none"], "none: can not be read: No such file"),
        (["replay", "words"], "words: is not a record of Pilotage"),
        (["replay", "newer"], "newer: is a record in format 99; this version reads up to 1"),
        (["explain", "words", "t"], "words: is not a record of Pilotage"),
        (["explain", "fine", "nobody"], "TASK: 'nobody': fine has no task of that name"),
        (["explain", "fine", "a", "--node", "x"], "node: no node is called 'x'"),
        (["explain", "fine", "a", "--decision", "7"], "--decision: 7 is not about 'a'; these are: 1"),
        (["replay", "short"], "short: is cut off: its end is missing"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(openb, tmp_path: Path, arguments: list[str], error: str) -> None:
    (tmp_path / "words").write_text("once upon a time")
    (tmp_path / "newer").write_bytes(b"pilotage record 99\nwhat do I know")
    if "fine" in arguments:
        (tmp_path / "tasks.csv").write_text("id,cpu_milli\na,1\n")
        (tmp_path / "nodes.csv").write_text("name,cpu_milli\nn,9\n")
        pilotage(
            "simulate", "tasks.csv", "--nodes", "nodes.csv", "--policy", "fgd", "--record", "fine", folder=tmp_path
        )
    data = (openb / "run.log").read_bytes()
    (tmp_path / "short").write_bytes(data[: len(data) // 2])
    done = pilotage(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {error}"), done.stderr
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "words").read_text() == "once upon a time"
