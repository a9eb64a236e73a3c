"""Run times as distributions: means, what is left at an age, odds; against plain definitions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.engine.routing.run_time import RunTime, Sample

values = st.lists(st.floats(0.001, 1000), min_size=1, max_size=30)
run_times = st.builds(RunTime, values.map(Sample), st.floats(0, 50), st.floats(0.01, 20))


def outcomes(run_time: RunTime) -> list[float]:
    return [run_time.offset_s + run_time.scale_s * value for value in run_time.sample.values]


@given(run_times, st.floats(0, 5000))
def test_what_is_left_is_the_mean_of_what_is_longer(run_time: RunTime, age_s: float) -> None:
    longer = [each for each in outcomes(run_time) if each > age_s * (1 + 1e-9)]
    near = [each for each in outcomes(run_time) if abs(each - age_s) <= 1e-9 * age_s]
    if not near:
        expected = sum(longer) / len(longer) - age_s if longer else age_s - max(outcomes(run_time))
        assert run_time.remaining_s(age_s) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert run_time.remaining_s(age_s) >= 0


@given(run_times)
def test_a_task_that_did_not_start_has_its_mean_before_it(run_time: RunTime) -> None:
    assert run_time.remaining_s(0.0) == pytest.approx(run_time.mean_s)
    assert run_time.mean_s == pytest.approx(sum(outcomes(run_time)) / len(outcomes(run_time)))


@given(run_times, st.floats(0, 1))
def test_quantiles_and_odds_are_inverse(run_time: RunTime, level: float) -> None:
    found = run_time.quantile_s(level)
    assert run_time.within(found * (1 + 1e-12) + 1e-12) >= level - 1e-9
    assert min(outcomes(run_time)) - 1e-6 <= found <= max(outcomes(run_time)) + 1e-6


@given(run_times, st.floats(0, 5000), st.floats(0, 1))
def test_the_expected_end_holds_until_the_next_value(run_time: RunTime, age_s: float, part: float) -> None:
    expected_s, until_s = run_time.expected_s(age_s)
    if until_s > age_s * (1 + 1e-9):
        assert run_time.expected_s(age_s + part * 0.999 * (until_s - age_s))[0] == pytest.approx(expected_s)


def test_a_task_that_hangs_is_not_taken_to_end_soon() -> None:
    assert RunTime(Sample([1.0, 2.0])).remaining_s(60.0) == pytest.approx(58.0)


def test_a_long_runner_is_not_taken_for_nearly_done() -> None:
    """Nine of ten end at 1 s, one takes 10: who runs for 2 s already has 8 left, not less than nothing."""
    assert RunTime(Sample([1.0] * 9 + [10.0])).remaining_s(2.0) == pytest.approx(8.0)


def test_a_sample_through_quantiles_has_their_median_and_no_invented_tail() -> None:
    sample = Sample.of_quantiles([(0.25, 1.0), (0.5, 2.0), (0.75, 4.0), (0.99, 9.0)], points=1000)
    run_time = RunTime(sample)
    assert run_time.quantile_s(0.5) == pytest.approx(2.0, abs=0.01)
    assert (sample.values[0], sample.values[-1]) == (1.0, 9.0)
