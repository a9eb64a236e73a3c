"""Charts as plain geometry: paths, ticks and labels that a template puts into a drawing.

A drawing is `WIDTH` by `HEIGHT` units; colours and line styles belong to the page.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from math import ceil, floor, log10
from typing import NamedTuple

from pilotage.app.curves import Band
from pilotage.sim.result import HeatGroup, Histogram

WIDTH, HEIGHT = 520, 330
LEFT, RIGHT, TOP, BOTTOM = 66, 14, 14, 48


class Tick(NamedTuple):
    """A mark on an axis: where on the drawing, and what it says."""

    at: float
    label: str


class Line(NamedTuple):
    """One series. ``look``: which of the page's colours and styles; ``band``: a filled area behind it, or nothing."""

    name: str
    look: str
    path: str
    band: str = ""


class Chart(NamedTuple):
    """Everything that is drawn."""

    title: str
    x_title: str
    y_title: str
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    lines: list[Line]


class Axis(NamedTuple):
    """A linear scale from values to places on the drawing."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return where ``value`` is; what lies outside is put on the edge."""
        part = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + part * (self.end - self.start), 1)

    def ticks(self, about: int = 6) -> list[Tick]:
        """Return round values, about as many as asked for."""
        raw = (self.high - self.low) / about
        unit = 10.0 ** floor(log10(raw))
        step = next(unit * times for times in (1, 2, 5, 10) if unit * times >= raw * 0.999)
        first, last = ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9)
        return [Tick(self(i * step), f"{i * step:,.10g}") for i in range(first, last + 1)]


def x_axis(low: float, high: float) -> Axis:
    """Return an axis from left to right; a span of nothing is widened."""
    return Axis(low, high if high > low else low + 1, LEFT, WIDTH - RIGHT)


def y_axis(low: float, high: float) -> Axis:
    """Return an axis from the bottom up; a span of nothing is widened."""
    return Axis(low, high if high > low else low + 1, HEIGHT - BOTTOM, TOP)


def path(points: Iterable[tuple[float, float]]) -> str:
    """Return an SVG path through points of the drawing."""
    return "M" + " ".join(f"{x:g},{y:g}" for x, y in points)


def lines_of(bands: Sequence[tuple[str, Band]], x: Axis, y: Axis) -> list[Line]:
    """Return a line per named band, with its range behind it where seeds differ."""
    found = []
    for i, (name, band) in enumerate(bands):
        inside = [at for at in range(len(band.x)) if x.low - 1e-9 <= band.x[at] <= x.high + 1e-9]
        mean = [(x(band.x[at]), y(band.mean[at])) for at in inside]
        high = [(x(band.x[at]), y(band.high[at])) for at in inside]
        low = [(x(band.x[at]), y(band.low[at])) for at in reversed(inside)]
        area = path([*high, *low]) + "Z" if (band.high > band.low).any() else ""
        found.append(Line(name, f"s{i % 8}", path(mean), area))
    return found


_RARE = 0.0005
"""Steps of time in which fewer decisions than this part are, are left out of the drawing."""


def histogram_chart(named: Sequence[tuple[str, Histogram]]) -> Chart:
    """Return how single decisions spread: % of them per step of time; two steps double it."""
    used = [i for _, each in named for i, count in enumerate(each.counts) if count > _RARE * sum(each.counts)]
    first, last = max(0, min(used) - 1), max(used) + 2
    shares = [[100 * count / sum(each.counts) for count in each.counts] for _, each in named]
    x = x_axis(first, last)
    y = y_axis(0, 1.05 * max(max(each) for each in shares))
    lines = []
    for i, ((name, _), share) in enumerate(zip(named, shares, strict=True)):
        points = [(x(first), y(0))]
        for at in range(first, last):
            height = y(share[at]) if at < len(share) else y(0)
            points += [(x(at), height), (x(at + 1), height)]
        lines.append(Line(name, f"s{i % 8}", path([*points, (x(last), y(0))])))
    edges = named[0][1].edges
    ticks = [Tick(x(at), time_label(edges[at])) for at in range(first, min(last + 1, len(edges))) if at % 4 == 0]
    return Chart("Time per decision", "CPU time of one decision", "decisions, %", ticks, y.ticks(5), lines)


def time_label(microseconds: float) -> str:
    """Return a time in the unit that reads best."""
    return f"{microseconds:g} µs" if microseconds < 1000 else f"{microseconds / 1000:.3g} ms"


# -- heat maps -----------------------------------------------------------------------------------------------------

CELL, PITCH, PER_LINE, LABEL = 8, 9, 56, 20
LEVELS_PCT = (0, 50, 75, 90, 97, 100)
"""Where the levels of a heat map begin: finer towards the end, where the nodes of a full cluster are."""
_SMALL = 12
"""Shapes with fewer nodes are shown together."""


class HeatRow(NamedTuple):
    """Nodes of one shape: a label, where it stands, and a path of squares per level of allocation."""

    label: str
    y: int
    levels: list[str]


class HeatMap(NamedTuple):
    """A heat map of one run."""

    name: str
    rows: list[HeatRow]
    height: int


def heat_map(name: str, groups: Sequence[HeatGroup]) -> HeatMap:
    """Return one square per node, fullest first, nodes of one shape together."""
    large = [group for group in groups if len(group.allocated_pct) >= _SMALL]
    small = sorted((pct for group in groups if group not in large for pct in group.allocated_pct), reverse=True)
    if small:
        large.append(HeatGroup("other shapes", tuple(small)))
    rows, y = [], 0
    for group in large:
        cells: list[list[str]] = [[] for _ in LEVELS_PCT]
        for i, pct in enumerate(group.allocated_pct):
            at = f"M{i % PER_LINE * PITCH},{y + LABEL + i // PER_LINE * PITCH}h{CELL}v{CELL}h-{CELL}z"
            cells[level_of(pct)].append(at)
        mean = sum(group.allocated_pct) / len(group.allocated_pct)
        label = f"{len(group.allocated_pct):,} nodes of {group.name}: {mean:.1f} %"
        rows.append(HeatRow(label, y + LABEL - 5, ["".join(each) for each in cells]))
        y += LABEL + -(-len(group.allocated_pct) // PER_LINE) * PITCH + 4
    return HeatMap(name, rows, y)


def level_of(pct: int) -> int:
    """Return the level of an allocation in %: the last one that begins at or below it."""
    return bisect_right(LEVELS_PCT, pct) - 1
