"""Every example is a sound policy, and schedules a small trace."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pilotage.app.policy_check import check_policy
from pilotage.app.policy_files import load_policy
from pilotage.cli.main import app

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))


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
