"""Every example is a sound policy, and schedules a small trace."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pilotage.app.config import load_config
from pilotage.app.policy_check import check_policy
from pilotage.app.policy_files import load_policy
from pilotage.app.tasks.start import Place, places
from pilotage.app.tasks.strategies import Strategies
from pilotage.cli.main import app
from pilotage.engine.taskqueue.machine import LiveTask, TaskQueue
from pilotage.model.routing import Instance, RoutedTask

FOLDER = Path(__file__).resolve().parents[2] / "examples"
EXAMPLES = sorted(path for path in FOLDER.glob("*.py") if "import Policy" in path.read_text(encoding="utf-8"))


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_sound(path: Path) -> None:
    report = check_policy(load_policy(str(path)), timed=False)
    assert report.sound, report.findings
    assert report.policy == path.stem


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_schedules_a_trace(path: Path, tmp_path: Path) -> None:
    (tmp_path / "nodes.csv").write_text(
        "name,cpu_milli,memory_mib,gpus,gpu_model\na,32000,65536,0,\nb,64000,131072,8,T4\nc,64000,131072,2,G3\n"
    )
    rows = [f"t{i},{i * 10},1000,1024,{i % 3 and 1},500" for i in range(30)]
    (tmp_path / "tasks.csv").write_text("\n".join(["id,arrival_s,cpu_milli,memory_mib,gpus,gpu_milli", *rows]) + "\n")
    arguments = [str(tmp_path / "tasks.csv"), "--nodes", str(tmp_path / "nodes.csv"), "--policy", str(path)]
    outcome = CliRunner().invoke(app, ["simulate", *arguments, "--seeds", "1", "--json"])
    assert outcome.exit_code == 0, outcome.output
    assert [run["placed"] for run in json.loads(outcome.stdout)["runs"]] == [30]


def test_the_task_queue_inside_a_program() -> None:
    command = [sys.executable, str(FOLDER / "basic_usage.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "20 tasks completed" in done.stdout


def test_a_strategy_of_ones_own() -> None:
    strategies = Strategies(user_file=str(FOLDER / "custom_strategy.py"))
    assert "sticky-sessions" in strategies.names
    queue = TaskQueue(strategies.make("sticky-sessions", "default"))
    for name in ("i0", "i1"):
        queue.instance_changed(Instance(id=name, model="m"), 0.0)
    lives = [LiveTask(RoutedTask(id=f"t{n}", model="m", metadata={"session": n % 2})) for n in range(6)]
    for live in lives:
        queue.submit(live, 0.0)
    assert [live.instance for live in lives] == ["i0", "i1"] * 3, "each session stays where it was"


def test_the_configuration_example() -> None:
    found = load_config(str(FOLDER / "config_example.yaml"), {})
    assert places(found.instances) == (Place("127.0.0.1", 8110, "llama"), Place("127.0.0.1", 8111))
    assert (found.settings.serve.strategy, found.settings.serve.lost_after_s) == ("pilotage", 10)
