"""Comparisons: who is best, and the finding in words."""

from msgspec.structs import replace

from pilotage.app.comparison import UNTIMED, Comparison
from pilotage.sim.result import ClassCount, Run


def run_of(policy: str, allocation: float | None, seed: int = 42, placed: int = 10, wait_s: float | None = None) -> Run:
    return Run(
        trace="made",
        policy=policy,
        seed=seed,
        gpu_allocation_pct_at_100=allocation,
        gpu_allocation_pct_at_130=None,
        frag_pct_at_100=None,
        refused_feasible=0,
        placed=placed,
        decisions=10,
        decisions_per_s=1.0,
        cpu_s=1.0,
        arrivals=10,
        unplaced=0,
        waiting_mean_s=wait_s,
        end_s=None if wait_s is None else 1.0,
        digest="",
        curve=None,
    )


def test_mean_and_spread_are_over_seeds() -> None:
    comparison = Comparison(
        [run_of("a", 90.0), run_of("a", 92.0, seed=43), run_of("b", 95.0), run_of("b", 95.0, seed=43)]
    )
    spread = comparison.spread("a", UNTIMED[0])
    assert spread is not None
    assert (spread.mean, round(spread.sd or 0, 4)) == (91, 1.4142)
    assert comparison.best(UNTIMED[0]) == {"b"}
    assert comparison.finding() == "b leaves 5.00% of the GPUs idle at full load, 44% fewer than a (9.00%)."


def test_a_number_without_meaning_is_no_number() -> None:
    comparison = Comparison([run_of("a", None, placed=3), run_of("b", None, placed=4)])
    assert comparison.spread("a", UNTIMED[0]) is None
    assert comparison.best(UNTIMED[0]) == set()
    assert comparison.finding() == "b places 4 tasks, the most of all."


def test_equals_are_called_equal() -> None:
    comparison = Comparison([run_of("a", 95.0), run_of("b", 95.001)])
    assert comparison.best(UNTIMED[0]) == set()
    assert "equally many" in comparison.finding()
    assert Comparison([run_of("a", 100.0), run_of("b", 100.0)]).finding().startswith("a and b leave equally many")


def test_timed_runs_compare_by_waiting() -> None:
    comparison = Comparison([run_of("a", None, wait_s=9.0), run_of("b", None, wait_s=2.0)])
    assert comparison.finding() == "Tasks wait least under b: 2.0 s on average, 9.0 s under a."


def test_who_pays_for_a_gain_is_told() -> None:
    def refusing(policy: str, allocation: float, one: int, eight: int) -> Run:
        classes = (ClassCount("1 GPU", 100, one), ClassCount("8 GPUs", 10, eight))
        return replace(run_of(policy, allocation), classes=classes)

    honest = Comparison([refusing("a", 95.0, 9, 2), refusing("b", 90.0, 12, 2)])
    assert honest.price() == "No class of tasks is refused more often by a than by b."
    assert honest.refused()["1 GPU"] == {"a": (100, 9), "b": (100, 12)}
    dear = Comparison([refusing("a", 95.0, 3, 5), refusing("b", 90.0, 12, 2)])
    assert dear.price() == "a refuses more tasks of class 8 GPUs (5.0, b 2.0)."
    assert Comparison([refusing("a", 95.0, 0, 0), refusing("b", 90.0, 0, 0)]).price() == ""


def test_where_nobody_waits_the_finding_is_who_is_refused() -> None:
    dropping = [replace(run_of(p, None, wait_s=0.0), unplaced=n) for p, n in (("a", 2), ("b", 1))]
    assert Comparison(dropping).finding() == "b refuses 10.00% of the tasks; a 20.00%."
