"""One picture of routing policies: which part of the requests takes longer than so many seconds."""

from collections.abc import Sequence

import numpy as np

from pilotage.app.plot import COLOURS, GREY, STYLES, save
from pilotage.app.routing_comparison import Comparison
from pilotage.sim.routing.experiment import QUANTILES, RoutingRun


def draw(runs: Sequence[RoutingRun], path: str) -> None:
    """Draw the tails into ``path``: mean over the seeds as a line, smallest to largest as a band."""
    from matplotlib.figure import Figure

    comparison = Comparison(runs)
    figure = Figure(figsize=(9, 5.2), layout="constrained", dpi=150)
    axes = figure.subplots()
    longer = 100 * (1 - np.array(QUANTILES[:-1]))
    for i, (policy, several) in enumerate(comparison.of_policy.items()):
        values = np.array([run.latency_quantiles_s[:-1] for run in several])
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(values.mean(axis=0), longer, color=colour, linestyle=STYLES[i % len(STYLES)], label=policy, lw=1.8)
        if len(several) > 1:
            axes.fill_betweenx(longer, values.min(axis=0), values.max(axis=0), color=colour, alpha=0.18, linewidth=0)
    axes.axhline(1, color=GREY, linewidth=1, linestyle=(0, (1, 2)))
    axes.annotate("p99", (1, 1), (-4, 3), xycoords=("axes fraction", "data"), textcoords="offset points", ha="right")
    axes.set_yscale("log")
    axes.set_xscale("log")
    axes.set_ylim(0.1, 100)
    axes.set_ylabel("requests that take longer (%)")
    axes.set_xlabel("time from arrival to completion (s)")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(color="#E3E3E3", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(comparison.finding(), x=0.01, ha="left", fontsize=11.5, fontweight="bold", wrap=True)
    labels = len(comparison.of_policy)
    figure.legend(loc="outside lower center", ncols=min(4, labels), frameon=False, handlelength=3)
    axes.set_title(comparison.heading().removesuffix(", * best"), loc="left", fontsize=8, color=GREY)
    save(figure, path)
