"""A comparison of policies: what their runs say together, and the finding in one sentence."""

from collections.abc import Callable, Sequence
from statistics import fmean, stdev

from msgspec import Struct

from pilotage.sim.result import Run


class Spread(Struct, frozen=True):
    """Mean of a number over the seeds, and its standard deviation (None with one seed)."""

    mean: float
    sd: float | None


class Metric(Struct, frozen=True):
    """One column of a comparison. ``better`` is 1 if more is better, -1 if less is, 0 if neither."""

    title: str
    of: Callable[[Run], float | None]
    better: int
    digits: int


UNTIMED = (
    Metric("GPUs allocated % at 100 %", lambda run: run.gpu_allocation_pct_at_100, 1, 2),
    Metric("at 130 %", lambda run: run.gpu_allocation_pct_at_130, 1, 2),
    Metric("GPUs wasted % at 100 %", lambda run: run.frag_pct_at_100, -1, 2),
    Metric("tasks placed", lambda run: run.placed, 1, 0),
    Metric("refused, though feasible", lambda run: run.refused_feasible, -1, 0),
    Metric("decisions per CPU s", lambda run: run.decisions_per_s, 0, 0),
)
TIMED = (
    Metric("mean wait s", lambda run: run.waiting_mean_s, -1, 1),
    Metric("p99 wait s", lambda run: run.waiting_p99_s, -1, 1),
    Metric("never placed", lambda run: run.unplaced, -1, 0),
    Metric("GPU % (mean)", lambda run: run.gpu_allocation_mean_pct, 0, 1),
    Metric("CPU % (mean)", lambda run: run.cpu_allocation_mean_pct, 0, 1),
    Metric("ends at s", lambda run: run.end_s, -1, 0),
    Metric("decisions per CPU s", lambda run: run.decisions_per_s, 0, 0),
)


class Comparison:
    """Runs of several policies on one trace, put side by side."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.timed = runs[0].end_s is not None
        self.of_policy: dict[str, list[Run]] = {}
        for run in runs:
            self.of_policy.setdefault(run.policy, []).append(run)
        self.seeds = len(next(iter(self.of_policy.values())))
        self.metrics = TIMED if self.timed else UNTIMED

    def spread(self, policy: str, metric: Metric) -> Spread | None:
        """Return a policy's mean and spread of a metric, None where it has no meaning."""
        values = [value for run in self.of_policy[policy] if (value := metric.of(run)) is not None]
        if not values:
            return None
        return Spread(fmean(values), stdev(values) if len(values) > 1 else None)

    def best(self, metric: Metric) -> set[str]:
        """Return the policies with the best mean, as far as the digits shown tell; none if all are alike."""
        means = {p: round(s.mean, metric.digits) for p in self.of_policy if (s := self.spread(p, metric))}
        if not metric.better or len(set(means.values())) < 2:
            return set()
        top = max(metric.better * mean for mean in means.values())
        return {policy for policy, mean in means.items() if metric.better * mean == top}

    def finding(self) -> str:
        """Say in words what the comparison shows."""
        return self._finding_timed() if self.timed else self._finding_untimed()

    def _finding_untimed(self) -> str:
        metric = UNTIMED[0]
        means = {p: spread.mean for p in self.of_policy if (spread := self.spread(p, metric))}
        if not means:
            placed = {policy: fmean(run.placed for run in runs) for policy, runs in self.of_policy.items()}
            first = max(placed, key=placed.__getitem__)
            return f"{first} places {placed[first]:,.0f} tasks" + (", the most of all." if len(placed) > 1 else ".")
        ranked = sorted(means, key=lambda policy: -means[policy])
        best, idle = ranked[0], 100 - means[ranked[0]]
        if len(ranked) == 1:
            return f"{best} leaves {idle:.2f}% of the GPUs idle at full load."
        other = ranked[1]
        less = 100 * (1 - idle / (100 - means[other])) if means[other] < 100 else 0.0
        if round(less) < 1:
            return f"{best} and {other} leave equally many GPUs idle at full load: {idle:.2f}%."
        return (
            f"{best} leaves {idle:.2f}% of the GPUs idle at full load, "
            f"{less:.0f}% fewer than {other} ({100 - means[other]:.2f}%)."
        )

    def _finding_timed(self) -> str:
        waits = {p: spread.mean for p in self.of_policy if (spread := self.spread(p, TIMED[0]))}
        if not waits:
            return "No task found a place."
        ranked = sorted(waits, key=waits.__getitem__)
        best = ranked[0]
        if len(ranked) == 1:
            return f"Under {best} a task waits {waits[best]:,.1f} s on average."
        last = ranked[-1]
        if f"{waits[best]:.1f}" == f"{waits[last]:.1f}":
            return f"Tasks wait {waits[best]:,.1f} s on average under every policy."
        return f"Tasks wait least under {best}: {waits[best]:,.1f} s on average, {waits[last]:,.1f} s under {last}."
