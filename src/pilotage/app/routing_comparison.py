"""A comparison of routing policies: what their runs say together, and the finding in one sentence."""

from collections.abc import Callable, Sequence
from statistics import fmean

from msgspec import Struct

from pilotage.sim.routing.experiment import RoutingRun

BASE = "least-outstanding"
"""What every load balancer can do: the policy that the others are measured against."""


class Column(Struct, frozen=True):
    """A number of a run; ``better`` is -1 if less is better, 0 if neither."""

    title: str
    of: Callable[[RoutingRun], float]
    better: int
    digits: int


COLUMNS = (
    Column("mean s", lambda run: run.mean_s, -1, 2),
    Column("p50 s", lambda run: run.p50_s, -1, 2),
    Column("p99 s", lambda run: run.p99_s, -1, 1),
    Column("p99.9 s", lambda run: run.p999_s, -1, 1),
    Column("longest s", lambda run: run.max_s, -1, 0),
    Column("us a decision", lambda run: run.decision_us, 0, 0),
)
_MEAN, _P99 = COLUMNS[0], COLUMNS[2]


class Comparison:
    """Runs of several policies on one trace, put side by side."""

    def __init__(self, runs: Sequence[RoutingRun]) -> None:
        self.first = runs[0]
        self.of_policy: dict[str, list[RoutingRun]] = {}
        for run in runs:
            self.of_policy.setdefault(run.policy, []).append(run)
        self.seeds = len(next(iter(self.of_policy.values())))

    def mean(self, policy: str, column: Column) -> float:
        """Return a policy's mean of a column over the seeds."""
        return fmean(column.of(run) for run in self.of_policy[policy])

    def best(self, column: Column) -> set[str]:
        """Return the policies with the best mean as far as the digits shown tell; none if all are alike."""
        means = {policy: round(self.mean(policy, column), column.digits) for policy in self.of_policy}
        if not column.better or len(set(means.values())) < 2:
            return set()
        return {policy for policy, mean in means.items() if mean == min(means.values())}

    def heading(self) -> str:
        """Say what was run."""
        first = self.first
        arrivals = "Poisson arrivals" if first.arrival_process == "poisson" else "the trace's own arrivals"
        seeds = f"mean of {self.seeds} seeds" if self.seeds > 1 else "one seed"
        extra = f", {first.predictor} predictor" if first.predictor not in ("bins", "oracle") else ""
        extra += f", fault {first.fault}" if first.fault else ""
        extra += f", {first.handover_s:g} s beside each run" if first.handover_s else ""
        return f"{first.trace}: load {first.load:g}, {arrivals}, {len(first.share)} instances{extra}; {seeds}, * best"

    def finding(self) -> str:
        """Say in words what the comparison shows: the tail of the best against that of the base."""
        ranked = sorted((name for name in self.of_policy if name != "oracle"), key=lambda name: self.mean(name, _P99))
        if not ranked:
            return f"A policy that knew all run times would have a p99 of {self.mean('oracle', _P99):.1f} s."
        best = ranked[0]
        base = BASE if BASE in self.of_policy else ranked[-1]
        p99, mean = self.mean(best, _P99), self.mean(best, _MEAN)
        if best == base:
            return f"{best}: p99 {p99:.1f} s, mean {mean:.2f} s."
        return (
            f"{best}: p99 {p99:.1f} s, {p99 / self.mean(base, _P99):.2f} x that of {base}; "
            f"mean {mean:.2f} s, {mean / self.mean(base, _MEAN):.2f} x."
        )
