"""``pilotage trace`` as a user meets it."""

from pathlib import Path

from tests.cli.test_simulate import pilotage
from tests.sim.files import write
from tests.sim.test_readers import JOBS


def test_a_log_is_converted_and_played(tmp_path: Path) -> None:
    write(tmp_path, "log.swf", JOBS)
    done = pilotage("trace", "convert", "log.swf", "t.csv", "n.csv", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "3 tasks with times in t.csv, 1 nodes in n.csv\n"
    arguments = ("simulate", "t.csv", "--nodes", "n.csv", "--policy", "bestfit,random")
    shown = pilotage(*arguments, folder=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "mean slow-down" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80


def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    write(tmp_path, "log.swf", "1 2 3\n")
    for arguments, error in (
        (("log.swf", "t.csv", "n.csv"), "log.swf:1: has 3 fields"),
        (("openb", "no/t.csv", "n.csv"), "no/t.csv: can not be written"),
        (("openb", "t.csv", "n.csv", "--repeat", "2"), "--repeat: openb does not say when"),
    ):
        done = pilotage("trace", "convert", *arguments, folder=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"error: {error}")


def test_ways_to_play_that_make_no_sense_are_told(tmp_path: Path) -> None:
    for arguments, error in (
        (("openb", "--drop"), "--drop: openb has no times"),
        (("openb", "--speed-up", "2"), "--speed-up: openb does not say when"),
        (("azure-llm:conv", "--drop"), "--drop: is for traces that are placed"),
    ):
        done = pilotage("simulate", *arguments, folder=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"error: {error}")


def test_who_got_no_place_is_told_by_class(tmp_path: Path) -> None:
    write(tmp_path, "t.csv", "id,cpu_milli,gpus\na,1,0\nb,1,2\nc,9,1\n")
    arguments = ("simulate", "t.csv", "--nodes", "1xcpu=0.001,gpus=2", "--policy", "bestfit", "--fill-ratio", "1")
    done = pilotage(*arguments, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    table = done.stdout.partition("Tasks that got no place until 100 % had arrived, by class:")[2]
    assert "CPU only" in table
    assert "1 GPU" in table
