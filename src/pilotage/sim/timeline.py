"""A timed run over its time: means, and points to draw."""

from collections.abc import Mapping, Sequence

import numpy as np

from pilotage.model.task import Task
from pilotage.sim.gauge import Gauge
from pilotage.sim.hosts import Hosts
from pilotage.sim.result import Curve
from pilotage.sim.traces.trace import FOREVER_S

POINTS = 200
"""Points on the curve of a timed run."""

SHORTEST_S = 10.0
"""Durations below count as this long in a slowdown (Feitelson's bound): a task of a second may wait ten."""

_GPU, _FRAG, _CPU, _HOSTS, _FEWEST, _UNPLACED, _STRANDED_CPU, _STRANDED_MEMORY = range(8)


class Timeline:
    """Samples of a cluster, each of which holds until the next one."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._samples: list[tuple[float, ...]] = []

    def take(self, now: float, gauge: Gauge, hosts: Hosts, unplaced: int) -> None:
        """Note what holds from ``now`` on."""
        self._times.append(now)
        stranded = hosts.stranded_pct("cpu"), hosts.stranded_pct("memory")
        counts = hosts.in_use, hosts.fewest, unplaced
        self._samples.append((gauge.gpu_pct, gauge.frag_pct, gauge.cpu_pct, *counts, *stranded))

    def means(self) -> dict[str, float | None]:
        """Return the means over time by the names of `Run`'s fields; 0 for a run that took no time."""
        spans = np.diff(np.array(self._times))
        samples = np.array(self._samples)[:-1]
        mean = spans @ samples / spans.sum() if spans.sum() else np.zeros(8)
        return {
            "gpu_allocation_mean_pct": float(mean[_GPU]),
            "frag_mean_pct": float(mean[_FRAG]),
            "cpu_allocation_mean_pct": float(mean[_CPU]),
            "hosts_mean": float(mean[_HOSTS]),
            "host_time_ratio": float(mean[_HOSTS] / mean[_FEWEST]) if mean[_FEWEST] else None,
            "stranded_cpu_pct": float(mean[_STRANDED_CPU]),
            "stranded_memory_pct": float(mean[_STRANDED_MEMORY]),
        }

    @property
    def end_s(self) -> float:
        """When the last thing happened, in seconds of the trace's clock."""
        return self._times[-1]

    def curve(self, *, with_gpus: bool) -> Curve:
        """Return `POINTS` points in equal steps of time, each with what holds then."""
        times = np.linspace(self._times[0], self._times[-1], POINTS)
        at = np.searchsorted(self._times, times, side="right") - 1
        points = np.round(np.array(self._samples)[at], 4)
        series = [tuple(points[:, i].tolist()) for i in range(8)]
        return Curve(
            x_is="time_s",
            x=tuple(np.round(times, 4).tolist()),
            gpu_allocation_pct=series[_GPU] if with_gpus else (),
            frag_pct=series[_FRAG] if with_gpus else (),
            cpu_allocation_pct=series[_CPU],
            hosts_in_use=series[_HOSTS],
            unplaced=series[_UNPLACED],
        )


def queueing(waits: Sequence[tuple[Task, float]], duration_of: Mapping[str, float]) -> dict[str, float | None]:
    """Return waiting times, slowdowns and their fairness among users, by the names of `Run`'s fields.

    ``waits`` are the tasks that got a place and how many seconds each had waited.
    """
    if not waits:
        return {}
    waited = np.array([wait for _, wait in waits])
    slow: list[float] = []
    by_user: dict[str, list[float]] = {}
    for task, wait in waits:
        lasts = duration_of.get(task.id, FOREVER_S)
        if lasts == FOREVER_S:
            continue
        slow.append(max(1.0, (wait + lasts) / max(lasts, SHORTEST_S)))
        user = task.labels.get("user")
        if user is not None:
            by_user.setdefault(user, []).append(slow[-1])
    found: dict[str, float | None] = {
        "waiting_mean_s": float(waited.mean()),
        "waiting_p99_s": float(np.quantile(waited, 0.99)),
    }
    if slow:
        found["slowdown_mean"] = float(np.mean(slow))
        found["slowdown_p99"] = float(np.quantile(slow, 0.99))
    if len(by_user) > 1:
        found["fairness"] = jain([float(np.mean(slowdowns)) for slowdowns in by_user.values()])
    return found


def jain(values: Sequence[float]) -> float:
    """Return Jain's index of positive numbers: 1 if all are alike, 1 / n if one of n has everything."""
    array = np.array(values)
    return float(array.sum() ** 2 / (len(array) * (array * array).sum()))
