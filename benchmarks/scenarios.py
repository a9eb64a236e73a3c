"""What do scenario files (workload x faults) cost, and what comes of them under several policies?

The files are those that the tests play with every invariant checked. The peers are the policies among each other.
"""

from pathlib import Path
from statistics import fmean

from benchmarks.report import Row, publish
from pilotage.app.scenarios import ScenarioPlan, run_scenario

FILES = sorted((Path(__file__).resolve().parent.parent / "tests" / "scenarios").glob("*.toml"))
POLICIES = ("kubernetes", "bestfit", "random")
SEEDS = 20


def run() -> None:
    """Play every file under every policy and seed, and publish."""
    rows: list[Row] = []
    for path in FILES:
        runs = run_scenario(ScenarioPlan(path=str(path), policies=POLICIES, seeds=SEEDS))
        for policy in POLICIES:
            mine = [r for r in runs if r.policy == policy]
            rows.append({
                "scenario": path.stem, "policy": policy, "seeds": SEEDS,
                "decisions": sum(r.decisions for r in mine),
                "us a decision": round(1e6 * sum(r.cpu_s for r in mine) / sum(r.decisions for r in mine), 1),
                "refusals": sum(r.rejections for r in mine),
                "displaced": sum(r.displaced for r in mine),
                "evicted": sum(r.evicted for r in mine),
                "mean wait s": round(fmean(r.waiting_mean_s for r in mine), 1),
                "never placed": sum(r.unplaced for r in mine),
            })  # fmt: skip
    publish("scenarios", f"Scenario files, {SEEDS} seeds", rows)
