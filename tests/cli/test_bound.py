"""``pilotage bound`` as a user meets it: in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_simulate import pilotage


def test_a_table_with_the_finding_and_json_with_the_same(tmp_path: Path) -> None:
    shown = pilotage("bound", "openb", "--at", "90,100", folder=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "more than 96.89% of the GPUs" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
    read = pilotage("bound", "openb", "--at", "90,100", "--json", folder=tmp_path)
    low, high = json.loads(read.stdout)["bounds"]
    assert (low["arrived_pct"], high["arrived_pct"]) == (90, 100)
    assert high["configuration_pct"] == pytest.approx(96.89, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["openb", "--at", "9o"], "--at: must be numbers"),
        (["openb", "--at", "-1"], "--at: must be %"),
        (["openb", "--format", "xml"], "--format: must be one of openb, "),
        (["nowhere"], "TRACE: no trace is called 'nowhere'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, arguments: list[str], error: str) -> None:
    done = pilotage("bound", *arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {error}")
    assert done.stderr.count("\n") == 1


def test_without_the_solver_it_says_what_to_install(tmp_path: Path) -> None:
    # A module that is None in sys.modules can not be imported: Python's own way to say that it is not there.
    program = (
        "import sys; sys.modules['highspy'] = None; sys.argv = ['pilotage', 'bound', 'openb']\n"
        "from pilotage.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: bound: needs the solver HiGHS, which is not installed")
    assert "pilotage[optimise]" in done.stderr
    assert done.stderr.count("\n") == 1
