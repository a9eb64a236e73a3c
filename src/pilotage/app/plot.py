"""One picture of a comparison: how allocation and fragmentation go, one line per policy."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pilotage.app.comparison import Comparison
from pilotage.app.curves import band_of, gpu_curves, zoomed
from pilotage.model.errors import InvalidInput
from pilotage.sim.result import Curve, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg", ".pdf")

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#7F7F7F")
"""Okabe and Ito's palette, told apart by all common kinds of colour vision; line styles tell the lines apart too."""

STYLES = (
    "-",
    (0, (5, 2)),
    (0, (6, 2, 1, 2)),
    (0, (9, 1.5)),
    (0, (3, 1)),
    (0, (4, 1, 1, 1, 1, 1)),
    (0, (1, 1)),
    (0, (8, 3)),
)
GREY = "#6E6E6E"
_HOUR_S = 3600


def check_plottable(path: str) -> None:
    """Raise `InvalidInput` if nothing could be drawn into ``path``: said before the work, not after it."""
    if not path.endswith(ENDINGS):
        raise InvalidInput("--plot", f"must end in {', '.join(ENDINGS)}, got {path!r}")
    if not Path(path).absolute().parent.is_dir() or Path(path).is_dir():
        raise InvalidInput("--plot", f"{path} can not be written: no such folder, or itself a folder")
    if find_spec("matplotlib") is None:
        raise InvalidInput("--plot", "needs matplotlib: pip install pilotage[reports]")


def draw(runs: Sequence[Run], path: str) -> None:
    """Draw allocation and fragmentation into ``path``: mean over the seeds as a line, smallest to largest as a band."""
    from matplotlib.figure import Figure

    comparison = Comparison(runs)
    curves = {policy: gpu_curves(of) for policy, of in comparison.of_policy.items()}
    if not all(curves.values()):
        raise InvalidInput("--plot", "the cluster has no GPUs: there is no allocation of them to draw")
    timed = next(iter(curves.values()))[0].x_is == "time_s"
    figure = Figure(figsize=(11, 5.4), layout="constrained", dpi=150)
    allocation, fragmentation = figure.subplots(1, 2)
    for i, (policy, several) in enumerate(curves.items()):
        look: dict[str, Any] = {
            "color": COLOURS[i % len(COLOURS)],
            "linestyle": STYLES[i % len(STYLES)],
            "label": policy,
        }
        _line(allocation, several, "gpu_allocation_pct", look, timed)
        _line(fragmentation, several, "frag_pct", look, timed)
    allocation.set_ylabel("GPUs allocated (% of the cluster)")
    fragmentation.set_ylabel("idle GPUs that the usual tasks can not use\n(% of the cluster)")
    if not timed:
        _zoom(allocation, [curve for several in curves.values() for curve in several])
    for axes in (allocation, fragmentation):
        axes.set_xlabel("time (hours)" if timed else "GPU demand arrived so far (% of the cluster's GPUs)")
        axes.grid(color="#E3E3E3", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    allocation.set_title("Allocation: more is better", loc="left", fontsize=11, color=GREY)
    fragmentation.set_title("Fragmentation: less is better", loc="left", fontsize=11, color=GREY)
    fragmentation.set_ylim(bottom=0)
    figure.suptitle(comparison.finding(), x=0.01, ha="left", fontsize=12.5, fontweight="bold", wrap=True)
    handles, labels = fragmentation.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(8, len(labels)), frameon=False, handlelength=3)
    seeds = f"mean of {comparison.seeds} seeds, band: smallest to largest" if comparison.seeds > 1 else "one seed"
    figure.text(0.995, 0.005, f"{runs[0].trace}, {seeds}", ha="right", va="bottom", fontsize=8, color=GREY)
    save(figure, path)


def save(figure: "Figure", path: str) -> None:
    """Write a figure into ``path``; raises `InvalidInput` if that can not be."""
    try:
        figure.savefig(path)
    except OSError as error:
        raise InvalidInput("--plot", f"{path} can not be written: {error.strerror or error}") from None


def _line(axes: "Axes", curves: list[Curve], name: str, look: dict[str, Any], timed: bool) -> None:
    band = band_of(curves, name)
    at = band.x / _HOUR_S if timed else band.x
    axes.plot(at, band.mean, linewidth=1.8, **look)
    if len(curves) > 1:
        axes.fill_between(at, band.low, band.high, color=look["color"], alpha=0.18, linewidth=0)


def _zoom(axes: "Axes", curves: list[Curve]) -> None:
    """Show where policies differ: the last stretch, and the line that nobody can pass."""
    start, end, lowest, highest = zoomed(curves)
    room = 0.05 * (highest - lowest)
    axes.set_xlim(start, end)
    axes.set_ylim(lowest - room, highest + 2 * room)
    axes.plot([start, end], [start, end], color=GREY, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
    at = lowest + 0.75 * (highest - lowest)
    axes.annotate("all that arrived", (at, at), (-6, 4), textcoords="offset points", ha="right", color=GREY, fontsize=9)
