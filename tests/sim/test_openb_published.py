"""The published openb results, reproduced: default trace, two seeds (the benchmark runs ten, and the other traces)."""

import csv
from functools import cache
from math import sqrt
from pathlib import Path
from statistics import fmean

import pytest

from pilotage.kernel.policies import named
from pilotage.sim.experiment import run
from pilotage.sim.traces.catalogue import load_trace

PUBLISHED = Path(__file__).parents[2] / "benchmarks" / "data" / "paper_expected_mean.csv"
SEEDS = (42, 43)

# Their mean of ten seeds and ours of two both scatter. With the published sd s for both, the difference has the
# standard error s x sqrt(1/10 + 1/2); three of those, or the margin asked for with ten seeds where that is more.
MARGIN = {"fgd": 0.25, "bestfit": 0.25}


@cache
def published(metric: str, policy: str) -> tuple[float, float]:
    with PUBLISHED.open(newline="") as file:
        for row in csv.DictReader(file):
            key = (row["workload"], row["policy"].lower(), row["metric"], row["arrived_pct"])
            if key == ("default", policy.replace("-", ""), metric, "100"):
                return float(row["mean"]), float(row["sd"])
    raise LookupError(policy)


@pytest.mark.parametrize("policy", ["random", "dotprod", "gpu-clustering", "gpu-packing", "bestfit", "fgd"])
def test_the_published_means_are_met(policy: str) -> None:
    trace = load_trace("openb")
    runs = [run(trace, named(policy), seed) for seed in SEEDS]
    for metric, ours in (
        ("gpu_allocated_pct", [result.gpu_allocation_pct_at_100 for result in runs]),
        ("gpu_fragment_pct_of_cluster", [result.frag_pct_at_100 for result in runs]),
    ):
        mean, sd = published(metric, policy)
        margin = max(MARGIN.get(policy, 0.35), 3 * sd * sqrt(1 / 10 + 1 / len(SEEDS)))
        assert fmean(value for value in ours if value is not None) == pytest.approx(mean, abs=margin), metric
    for result in runs:
        # A policy could only look better than it is by refusing what fits.
        assert result.refused_feasible == 0
        assert result.decisions == result.arrivals == result.placed + result.unplaced


def test_our_own_policy_leaves_fewer_gpus_idle_than_the_published_best() -> None:
    trace = load_trace("openb")
    for seed in SEEDS:
        ours = run(trace, named("pilotage"), seed)
        assert ours.refused_feasible == 0
        # Known: 96.26 with a deviation of 0.03 over ten seeds; FGD is published with 95.23.
        assert ours.gpu_allocation_pct_at_100 == pytest.approx(96.26, abs=0.2)
