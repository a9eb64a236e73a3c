"""The report: what it says, that it is self-contained, and that a browser shows it on any screen."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from pilotage.app.charts import Axis, heat_map
from pilotage.app.report import bound_curve, check_writable, report_of, write_report
from pilotage.app.sweep import Plan, sweep
from pilotage.kernel.policies import named
from pilotage.model.errors import InvalidInput
from pilotage.sim.experiment import run
from pilotage.sim.result import HeatGroup
from pilotage.sim.traces.catalogue import load_trace
from tests.app.test_comparison import run_of
from tests.integration.browser import DESKTOP, PHONE, Screen, opened, overflow
from tests.sim.files import write

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

PLAN = Plan(trace="openb", policies=("bestfit", "pilotage"), seeds=2, fill_ratio=1.02, detail=True, workers=1)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on a real, if short, comparison."""
    path = tmp_path_factory.mktemp("report") / "openb.html"
    write_report(sweep(PLAN), PLAN, str(path))
    return path


def numbers_of(page: str) -> dict[str, list[dict[str, object]]]:
    found = re.search(r'<script type="application/json" id="numbers">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    document: dict[str, list[dict[str, object]]] = json.loads(found[1])
    return document


def test_it_holds_everything_and_loads_nothing(page_file: Path) -> None:
    page = page_file.read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=|url\(|@import|https?://""", page)
    assert page.count('<svg class="heat"') == 2
    runs = numbers_of(page)["runs"]
    assert [(one["policy"], one["seed"]) for one in runs] == [
        (policy, seed) for policy in PLAN.policies for seed in (42, 43)
    ]


def test_its_title_is_the_finding_and_the_bound_is_told(page_file: Path) -> None:
    page = page_file.read_text(encoding="utf-8")
    assert re.search(r"<title>pilotage leaves 3\.\d\d% of the GPUs idle at full load, \d+% fewer than bestfit", page)
    assert "No policy can allocate more than 96.89% then" in page
    assert {one["arrived_pct"] for one in numbers_of(page)["bounds"]} >= {95.0, 100.0, 102.0}


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("screen", [DESKTOP, PHONE])
def test_a_browser_shows_it(browser: Browser, page_file: Path, screen: Screen, dark: bool) -> None:
    with opened(browser, page_file.as_uri(), screen, dark=dark) as page:
        assert overflow(page) == 0
        assert page.get_by_role("heading", level=1).inner_text().startswith("pilotage leaves 3.")
        assert page.locator("figure").count() == 5  # allocation, fragmentation, time per decision, two heat maps
        for line in page.locator("figure path.line").all():
            box = line.bounding_box()
            assert box is not None
            assert box["width"] > 50
        # What is written stands out from what is behind it.
        ink, back = (
            page.evaluate(f"getComputedStyle(document.body).{name}.match(/\\d+/g).slice(0, 3).map(Number)")
            for name in ("color", "backgroundColor")
        )
        assert abs(sum(ink) - sum(back)) > 450


def test_a_timed_trace_is_told_over_time(tmp_path: Path) -> None:
    tasks = "id,cpu_milli,arrival_s,duration_s,gpus,user\na,1000,0,7200,2,x\nb,1000,600,3600,1,y\nc,500,9000,60,1,y\n"
    nodes = write(tmp_path, "nodes.csv", "name,cpu_milli,gpus\nn,1000,2\nm,1000,0\n")
    trace = load_trace(write(tmp_path, "tasks.csv", tasks), nodes=nodes)
    page = report_of([run(trace, named(name), 42, detail=True) for name in ("bestfit", "fgd")])
    for title in ("GPUs allocated", "Nodes in use", "Tasks without a place", "time, hours", "hosts in use"):
        assert title in page


def test_a_cluster_without_gpus_has_a_report_too(tmp_path: Path) -> None:
    nodes = write(tmp_path, "n.csv", "name,cpu_milli\nn,1000\n")
    trace = load_trace(write(tmp_path, "t.csv", "id,cpu_milli\na,1\nb,5000\n"), nodes=nodes)
    runs = [run(trace, named("bestfit"), 42, detail=True)]
    assert bound_curve(runs, PLAN) == []
    page = report_of(runs)
    assert "bestfit places 1 tasks" in page
    assert "Who got no place" in page


def test_a_policys_name_can_not_break_the_page() -> None:
    name = "</script><script>alert(1)</script>"
    page = report_of([run_of(name, 90.0), run_of("b", 91.0)])
    assert "<script>alert" not in page
    assert numbers_of(page)["runs"][0]["policy"] == name


@pytest.mark.parametrize("path", ["r.pdf", "r", "/no/such/folder/r.html"])
def test_a_place_that_can_not_be_written_is_refused_before_the_work(path: str) -> None:
    with pytest.raises(InvalidInput, match="--report: "):
        check_writable(path)


def test_ticks_are_round_and_inside() -> None:
    assert [tick.label for tick in Axis(0, 1.05, 0, 100).ticks(5)] == ["0", "0.5", "1"]
    assert [tick.label for tick in Axis(88.3, 130, 0, 100).ticks()] == ["90", "100", "110", "120", "130"]
    assert [tick.at for tick in Axis(0, 10_000, 0, 100).ticks(5)] == [0, 20, 40, 60, 80, 100]


def test_every_node_is_one_square_of_the_heat_map() -> None:
    groups = [HeatGroup("many", (100,) * 60 + (99,) * 3 + (0,) * 2), HeatGroup("few", (10, 20))]
    drawn = heat_map("p", groups)
    assert [row.label for row in drawn.rows] == ["65 nodes of many: 96.9 %", "2 nodes of other shapes: 15.0 %"]
    squares = [[cells.count("z") for cells in row.levels] for row in drawn.rows]
    assert squares == [[2, 0, 0, 0, 3, 60], [2, 0, 0, 0, 0, 0]]
