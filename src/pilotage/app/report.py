"""A report: one page that says what a comparison found, with figures, tables and the numbers behind them.

The page holds everything it needs: no script, no font and no picture is loaded from anywhere.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec.structs import replace

from pilotage import __version__
from pilotage.app.charts import (
    HEIGHT,
    LEFT,
    LEVELS_PCT,
    WIDTH,
    Chart,
    Line,
    heat_map,
    histogram_chart,
    lines_of,
    path,
    x_axis,
    y_axis,
)
from pilotage.app.comparison import Comparison
from pilotage.app.curves import Band, band_of, gpu_curves, zoomed
from pilotage.app.sweep import Plan, trace_of
from pilotage.model.errors import InvalidInput
from pilotage.sim.bounds import Bound, bounds
from pilotage.sim.result import Run

_LOADS_PCT = (92.0, 94.0, 95.0, 96.0, 97.0, 98.0, 99.0, 100.0, 102.0, 105.0, 110.0, 115.0, 120.0, 130.0)
"""Where the bound is worked out for the figure; below the first it is all that arrived."""

_HOUR_S = 3600


def check_writable(file: str) -> None:
    """Raise `InvalidInput` if no report could be written to ``file``: said before the work, not after it."""
    if not file.endswith((".html", ".htm")):
        raise InvalidInput("--report", f"must end in .html, got {file!r}")
    if not Path(file).absolute().parent.is_dir() or Path(file).is_dir():
        raise InvalidInput("--report", f"{file} can not be written: no such folder, or itself a folder")


def write_report(runs: Sequence[Run], plan: Plan, file: str) -> None:
    """Write the report on ``runs``, which ``plan`` led to."""
    page = report_of(runs, bound_curve(runs, plan))
    try:
        Path(file).write_text(page, encoding="utf-8")
    except OSError as error:
        raise InvalidInput("--report", f"{file} can not be written: {error.strerror or error}") from None


def bound_curve(runs: Sequence[Run], plan: Plan) -> list[Bound]:
    """Return the bounds along the load of the first seed, or nothing where they have no meaning or no solver."""
    if runs[0].end_s is not None or not any(gpu_curves([run]) for run in runs) or find_spec("highspy") is None:
        return []
    last = max(run.curve.x[-1] for run in runs if run.curve is not None)
    loads = [load for load in _LOADS_PCT if load <= last + 0.5]
    fill = plan.usual_fill_ratio if plan.fill_ratio is None else plan.fill_ratio
    return bounds(trace_of(plan), loads, seed=runs[0].seed, fill_ratio=fill) if loads else []


def report_of(runs: Sequence[Run], bound: Sequence[Bound] = ()) -> str:
    """Return the report as a page."""
    comparison = Comparison(runs)
    charts = _timed_charts(comparison) if comparison.timed else _load_charts(comparison, bound)
    histograms = [(policy, of[0].latency_us) for policy, of in comparison.of_policy.items()]
    known = [(policy, histogram) for policy, histogram in histograms if histogram is not None]
    environment = Environment(
        loader=PackageLoader("pilotage.app"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    numbers = {"runs": [replace(run, heat=()) for run in runs], "bounds": list(bound)}
    return environment.get_template("report.html").render(
        comparison=comparison,
        finding=comparison.finding(),
        price="" if comparison.timed else comparison.price(),
        gap=_gap(comparison, bound),
        trace=runs[0].trace,
        arrivals=round(sum(run.arrivals for run in runs) / len(runs)),
        policies=list(comparison.of_policy),
        shown=[m for m in comparison.metrics if any(comparison.spread(p, m) for p in comparison.of_policy)],
        refused=comparison.refused() if any(one.refused for run in runs for one in run.classes) else {},
        charts=[*charts, *([histogram_chart(known)] if known else [])],
        bound=bound,
        solver=bool(bound) or comparison.timed or find_spec("highspy") is not None,
        heat=[heat_map(policy, of[0].heat) for policy, of in comparison.of_policy.items() if of[0].heat],
        levels=LEVELS_PCT,
        left=LEFT,
        width=WIDTH,
        height=HEIGHT,
        version=__version__,
        # "<" would end the script element that holds the numbers; JSON knows it by number, too.
        numbers=msgspec.json.encode(numbers).decode().replace("<", "\\u003c"),
    )


def _gap(comparison: Comparison, bound: Sequence[Bound]) -> str:
    """Say how far the best policy is from what any could do."""
    at_100 = next((one for one in bound if one.arrived_pct == 100), None)
    metric = comparison.metrics[0]
    means = [spread.mean for policy in comparison.of_policy if (spread := comparison.spread(policy, metric))]
    if at_100 is None or not means:
        return ""
    most = min(at_100.aggregate_pct, at_100.configuration_pct)
    return (
        f"No policy can allocate more than {most:.2f}% then; the best one here is {most - max(means):.2f} points below."
    )


def _load_charts(comparison: Comparison, bound: Sequence[Bound]) -> list[Chart]:
    curves = {policy: gpu_curves(runs) for policy, runs in comparison.of_policy.items()}
    if not all(curves.values()):
        return []
    every = [curve for several in curves.values() for curve in several]
    start, end, lowest, highest = zoomed(every)
    limits = _bound_points(bound, start, end)
    highest = max([highest, *(y for _, y in limits)])
    x, y = x_axis(start, end), y_axis(lowest - 0.03 * (highest - lowest), highest + 0.03 * (highest - lowest))
    allocation = lines_of([(policy, band_of(of, "gpu_allocation_pct")) for policy, of in curves.items()], x, y)
    diagonal = [(at, at) for at in np.linspace(start, min(end, y.high), 2).tolist()]
    allocation.append(Line("all that arrived", "rule", path((x(a), y(b)) for a, b in diagonal)))
    if limits:
        allocation.append(Line("bound: no policy can pass it", "bound", path((x(a), y(b)) for a, b in limits)))
    asked = "GPU demand arrived, % of the cluster's GPUs"
    first = Chart("GPUs allocated: more is better", asked, "% of the GPUs", x.ticks(), y.ticks(), allocation)
    bands = [(policy, band_of(of, "frag_pct")) for policy, of in curves.items()]
    whole = x_axis(0, end)
    up = y_axis(0, 1.05 * max(float(band.high.max()) for _, band in bands))
    lines = lines_of(bands, whole, up)
    second = Chart(
        "Idle GPUs that the usual tasks can not use: less is better",
        asked,
        "% of the GPUs",
        whole.ticks(),
        up.ticks(),
        lines,
    )
    return [first, second]


def _bound_points(bound: Sequence[Bound], start: float, end: float) -> list[tuple[float, float]]:
    if not bound:
        return []
    points = [(start, start), (bound[0].arrived_pct - 2, bound[0].arrived_pct - 2)]
    points += [(one.arrived_pct, min(one.aggregate_pct, one.configuration_pct)) for one in bound]
    return [(x, y) for x, y in points if start <= x <= end]


def _timed_charts(comparison: Comparison) -> list[Chart]:
    charts = []
    for series, title, unit in (
        ("gpu_allocation_pct", "GPUs allocated", "% of the GPUs"),
        ("frag_pct", "Idle GPUs that the usual tasks can not use: less is better", "% of the GPUs"),
        ("cpu_allocation_pct", "CPU allocated", "% of the CPU"),
        ("hosts_in_use", "Nodes in use", "nodes"),
        ("unplaced", "Tasks without a place: less is better", "tasks"),
    ):
        bands = [
            (policy, band_of(curves, series))
            for policy, runs in comparison.of_policy.items()
            if (curves := [run.curve for run in runs if run.curve is not None and getattr(run.curve, series)])
        ]
        if not bands or not any(band.high.any() for _, band in bands):
            continue
        hours = [(policy, Band(band.x / _HOUR_S, *band[1:])) for policy, band in bands]
        x = x_axis(float(min(band.x[0] for _, band in hours)), float(max(band.x[-1] for _, band in hours)))
        y = y_axis(0, 1.05 * float(max(band.high.max() for _, band in hours)))
        charts.append(Chart(title, "time, hours", unit, x.ticks(), y.ticks(), lines_of(hours, x, y)))
    return charts
