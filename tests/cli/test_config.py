"""``pilotage config``, and that the command line starts light."""

import json
import subprocess
import sys
from pathlib import Path

from tests.cli.test_simulate import pilotage
from tests.sim.files import write


def test_it_tells_each_value_and_its_source(tmp_path: Path) -> None:
    write(tmp_path, "lab.toml", "[engine]\ncache_mib = 64\n")
    done = pilotage("config", "--config", "lab.toml", "--json", folder=tmp_path, PILOTAGE_SIMULATE_SEEDS="7")
    told = {entry["setting"]: (entry["value"], entry["source"]) for entry in json.loads(done.stdout)["settings"]}
    assert told["engine.cache_mib"] == (64, "file lab.toml")
    assert told["simulate.seeds"] == (7, "environment PILOTAGE_SIMULATE_SEEDS")
    assert told["simulate.fill_ratio"] == (1.3, "default")


def test_it_prints_a_table(tmp_path: Path) -> None:
    done = pilotage("config", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "simulate.policies" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_a_bad_value_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = pilotage("config", folder=tmp_path, PILOTAGE_SIMULATE_SEEDS="many")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: environment PILOTAGE_SIMULATE_SEEDS: ")
    assert done.stderr.count("\n") == 1


def test_the_command_line_starts_without_what_is_heavy() -> None:
    heavy = [
        "numpy",
        "pydantic",
        "pydantic_settings",
        "matplotlib",
        "rich.progress",
        "pilotage.engine",
        "pilotage.kernel",
    ]
    code = f"import sys, pilotage.cli.main; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_teaches_by_example(tmp_path: Path) -> None:
    for command in ("simulate", "config"):
        done = pilotage(command, "--help", folder=tmp_path)
        assert done.returncode == 0
        assert "Examples" in done.stdout
        assert f"pilotage {command} " in done.stdout
