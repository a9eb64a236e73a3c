"""Pictures: that they are drawn, and what is said when they can not be."""

from pathlib import Path

import pytest

from pilotage.app import plot
from pilotage.app.plot import check_plottable, draw
from pilotage.kernel.policies import named
from pilotage.model.errors import InvalidInput
from pilotage.sim.experiment import run
from pilotage.sim.result import Run
from pilotage.sim.traces.catalogue import load_trace
from tests.sim.files import NODES, TASKS, write

MAGIC = {".png": b"\x89PNG\r\n\x1a\n", ".svg": b"<?xml", ".pdf": b"%PDF-"}


@pytest.fixture(scope="module")
def runs() -> list[Run]:
    trace = load_trace("openb")
    return [run(trace, named(name), seed, fill_ratio=0.03) for name in ("fgd", "random") for seed in (42, 43)]


@pytest.mark.parametrize("ending", MAGIC)
def test_a_picture_is_drawn(tmp_path: Path, runs: list[Run], ending: str) -> None:
    path = tmp_path / f"p{ending}"
    draw(runs, str(path))
    assert path.read_bytes().startswith(MAGIC[ending])
    assert path.stat().st_size > 5000


def test_a_timed_run_is_drawn_over_time(tmp_path: Path) -> None:
    nodes = write(tmp_path, "n.csv", NODES + "n,1000,,2,,,,\n")
    trace = load_trace(write(tmp_path, "t.csv", TASKS + "a,1,0,7200,,2,,,,\nb,1,1800,3600,,1,,,,\n"), nodes=nodes)
    draw([run(trace, named("fgd"), 42)], str(tmp_path / "p.svg"))
    assert "time (hours)" in (tmp_path / "p.svg").read_text()


def test_without_gpus_there_is_nothing_to_draw(tmp_path: Path) -> None:
    nodes = write(tmp_path, "n.csv", NODES + "n,1000,,,,,,\n")
    trace = load_trace(write(tmp_path, "t.csv", "id,cpu_milli\na,1\n"), nodes=nodes)
    with pytest.raises(InvalidInput, match="--plot: the cluster has no GPUs"):
        draw([run(trace, named("fgd"), 42)], str(tmp_path / "p.png"))


@pytest.mark.parametrize("path", ["p.gif", "p", "p.png.txt", "/no/such/folder/p.png"])
def test_a_place_that_can_not_be_drawn_into_is_refused_before_the_work(path: str) -> None:
    with pytest.raises(InvalidInput, match="--plot: "):
        check_plottable(path)


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plot, "find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r"pip install pilotage\[reports\]"):
        check_plottable("p.png")
