"""How long tasks took: the last ones exactly, all of them as counts in classes of rising width."""

from bisect import bisect_left
from collections import deque
from statistics import fmean
from typing import Any

KEPT = 10_000

BOUNDS_S = tuple(round(0.001 * 2**n, 6) for n in range(22))
"""Upper bounds of the classes, in seconds: 1 ms, doubling, up to 35 minutes."""

_LEVELS = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


class Histogram:
    """Counts per class, the last one without a bound, and the sum."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum_s += seconds


class Times:
    """Total time (submitted to ended), run time (as the instance measured it), and what is between: the overhead."""

    def __init__(self) -> None:
        self.count = 0
        self.total = Histogram()
        self.dispatch = Histogram()
        """From accepted (stored) to sent, for tasks that had a free instance at once."""
        self._last: deque[tuple[str, float, float]] = deque(maxlen=KEPT)

    def add(self, task_id: str, total_s: float, run_s: float | None) -> None:
        """A task was completed."""
        self.count += 1
        self.total.add(total_s)
        self._last.append((task_id, total_s, run_s or 0.0))

    def report(self) -> dict[str, Any]:
        """Count of all, and of the last ones mean and percentiles of each part in milliseconds."""
        last = list(self._last)
        parts = {
            "total_ms": [total for _, total, _ in last],
            "execution_ms": [run for _, _, run in last],
            "overhead_ms": [max(0.0, total - run) for _, total, run in last],
        }
        told: dict[str, Any] = {"count": self.count, "of_last": len(last)}
        for name, values in parts.items():
            told[name] = _summary(values)
        told["recent"] = [
            {"task_id": task_id, "total_ms": _ms(total), "execution_ms": _ms(run), "overhead_ms": _ms(total - run)}
            for task_id, total, run in last[-10:]
        ]
        return told


def _summary(values: list[float]) -> dict[str, float]:
    if not values:
        return dict.fromkeys(("mean", "min", "max", *_LEVELS), 0.0)
    ordered = sorted(values)
    points = {name: _ms(ordered[min(len(ordered) - 1, int(level * len(ordered)))]) for name, level in _LEVELS.items()}
    return {"mean": _ms(fmean(ordered)), "min": _ms(ordered[0]), "max": _ms(ordered[-1]), **points}


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
