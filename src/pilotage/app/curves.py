"""Curves of several runs as one: a mean over seeds and the range that they span."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pilotage.kernel.arrays import FloatArray
from pilotage.sim.result import Curve, Run

POINTS = 261
"""Points on a common axis."""


class Band(NamedTuple):
    """Mean, smallest and largest value of a series at each ``x``."""

    x: FloatArray
    mean: FloatArray
    low: FloatArray
    high: FloatArray


def band_of(curves: Sequence[Curve], series: str) -> Band:
    """Put ``series`` of the curves on a common x by linear interpolation, over the span that all of them cover."""
    start, end = max(curve.x[0] for curve in curves), min(curve.x[-1] for curve in curves)
    x = np.linspace(start, end, POINTS)
    values = np.array([np.interp(x, curve.x, getattr(curve, series)) for curve in curves])
    return Band(x, values.mean(axis=0), values.min(axis=0), values.max(axis=0))


def gpu_curves(runs: Sequence[Run]) -> list[Curve]:
    """Return the curves of the runs whose cluster has GPUs."""
    return [run.curve for run in runs if run.curve is not None and run.curve.gpu_allocation_pct]


def zoomed(curves: Sequence[Curve]) -> tuple[float, float, float, float]:
    """Return x from, x to, y from, y to of the last stretch of a load, where policies differ."""
    end = max(curve.x[-1] for curve in curves)
    full = min(max(curve.gpu_allocation_pct) for curve in curves)
    start = max(0.0, float(min(full - 5, end - 30) // 1))
    lowest = min(float(np.interp(start, curve.x, curve.gpu_allocation_pct)) for curve in curves)
    return start, end, lowest, max(max(curve.gpu_allocation_pct) for curve in curves)
