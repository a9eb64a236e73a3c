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
    Metric("p99 wait s", lambda run: run.waiting_p99_s, -1, 0),
    Metric("mean slow-down", lambda run: run.slowdown_mean, -1, 2),
    Metric("never placed", lambda run: run.unplaced, -1, 0),
    Metric("evictions", lambda run: run.evictions, -1, 0),
    Metric("GPU % (mean)", lambda run: run.gpu_allocation_mean_pct, 1, 2),
    Metric("GPUs wasted %", lambda run: run.frag_mean_pct, -1, 2),
    Metric("CPU % (mean)", lambda run: run.cpu_allocation_mean_pct, 0, 1),
    Metric("hosts in use", lambda run: run.hosts_mean, -1, 1),
    Metric("host time ÷ least", lambda run: run.host_time_ratio, -1, 3),
    Metric("stranded CPU %", lambda run: run.stranded_cpu_pct, -1, 2),
    Metric("stranded memory %", lambda run: run.stranded_memory_pct, -1, 2),
    Metric("fairness (Jain)", lambda run: run.fairness, 1, 3),
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

    def refused(self) -> dict[str, dict[str, tuple[float, float]]]:
        """Return by class and policy how many tasks arrived and how many of them found no place, means over seeds."""
        classes = dict.fromkeys(one.name for runs in self.of_policy.values() for run in runs for one in run.classes)
        return {
            name: {
                policy: (
                    fmean(sum(one.arrived for one in run.classes if one.name == name) for run in runs),
                    fmean(sum(one.refused for one in run.classes if one.name == name) for run in runs),
                )
                for policy, runs in self.of_policy.items()
            }
            for name in classes
        }

    def price(self) -> str:
        """Say whether a class of tasks pays for what the best policy gains over the next, or nothing to compare."""
        ranked, refused = self._ranked(), self.refused()
        if len(ranked) < 2 or not any(many for of in refused.values() for _, many in of.values()):
            return ""
        best, other = ranked[:2]
        worse = [
            f"{name} ({of[best][1]:.1f}, {other} {of[other][1]:.1f})"
            for name, of in refused.items()
            if of[best][1] > of[other][1]
        ]
        if worse:
            return f"{best} refuses more tasks of class {', '.join(worse)}."
        return f"No class of tasks is refused more often by {best} than by {other}."

    def _ranked(self) -> list[str]:
        """Policies by what the finding is about, best first."""
        metric = next((m for m in self.metrics if m.better and any(self.spread(p, m) for p in self.of_policy)), None)
        means = {p: spread.mean for p in self.of_policy if metric and (spread := self.spread(p, metric))}
        return sorted(means, key=lambda policy: -means[policy] * (metric.better if metric else 0))

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
        ranked = self._ranked()
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
        if max(waits.values()) == 0 and any(run.unplaced for runs in self.of_policy.values() for run in runs):
            return self._finding_dropped()
        ranked = sorted(waits, key=waits.__getitem__)
        best = ranked[0]
        if len(ranked) == 1:
            return f"Under {best} a task waits {waits[best]:,.1f} s on average."
        last = ranked[-1]
        if f"{waits[best]:.1f}" == f"{waits[last]:.1f}":
            return f"Tasks wait {waits[best]:,.1f} s on average under every policy."
        return f"Tasks wait least under {best}: {waits[best]:,.1f} s on average, {waits[last]:,.1f} s under {last}."

    def _finding_dropped(self) -> str:
        """Nobody waits, so what differs is who is refused."""
        dropped = {p: 100 * fmean(r.unplaced / r.arrivals for r in runs) for p, runs in self.of_policy.items()}
        ranked = sorted(dropped, key=dropped.__getitem__)
        text = f"{ranked[0]} refuses {dropped[ranked[0]]:.2f}% of the tasks"
        rest = ", ".join(f"{policy} {dropped[policy]:.2f}%" for policy in ranked[1:])
        return f"{text}; {rest}." if rest else f"{text}."
