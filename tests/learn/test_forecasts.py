"""Predictors that learn and are watched: bins, speeds of instances, quality with a step down and back."""

import random
from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.engine.routing.run_time import RunTime, Sample
from pilotage.learn.bins import Bins
from pilotage.learn.forecasts import UNKNOWN, Forecasts
from pilotage.learn.online import MODELS, OnlinePredictor
from pilotage.learn.quality import ENOUGH, WINDOW, Quality
from pilotage.learn.speed import OWN, Speeds
from pilotage.learn.tokens import TokenPredictor, TokenSpeed


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0.1, 100)), min_size=1, max_size=200), st.integers(1, 12))
def test_bins_are_a_partition_of_what_was_seen(pairs: list[tuple[int, float]], bins: int) -> None:
    features, outcomes = [float(feature) for feature, _ in pairs], [outcome for _, outcome in pairs]
    found = Bins(features, outcomes, bins)
    assert sorted(value for sample in found.samples for value in sample.values) == sorted(outcomes)
    assert len(found.samples) <= bins
    assert all(outcome in found.of(feature).values for feature, outcome in zip(features, outcomes, strict=True))
    assert found.pooled.mean == pytest.approx(sum(outcomes) / len(outcomes))


def test_bins_hold_equally_many() -> None:
    found = Bins([float(value) for value in range(1000)], [1.0] * 1000)
    assert [len(sample.values) for sample in found.samples] == [100] * 10


def runs(seed: int, count: int, instances: dict[str, float], sigma: float = 0.5) -> list[tuple[str, float, float]]:
    """(instance, actual, predicted) with log-normal noise; ``instances``: their true factors."""
    rng = random.Random(seed)
    return [
        (name, predicted * factor * exp(rng.gauss(0, sigma)), predicted)
        for _ in range(count)
        for name, factor in instances.items()
        for predicted in (rng.uniform(1, 10),)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_not_taken_for_drift(seed: int) -> None:
    speeds = Speeds()
    for name, actual, predicted in runs(seed, 1000, dict.fromkeys("abcdefgh", 1.0), sigma=1.0):
        speeds.observe(name, actual, predicted)
        assert speeds.factors == {}


@pytest.mark.parametrize("seed", range(5))
def test_a_slow_instance_is_found_and_cleared_when_it_recovers(seed: int) -> None:
    speeds = Speeds()
    names = dict.fromkeys("bcdefgh", 1.0)
    for phase, (factor, expected) in enumerate([(1.0, 1.0), (4.0, 4.0), (1.0, 1.0)]):
        for name, actual, predicted in runs(seed * 10 + phase, 3 * OWN, {"a": factor, **names}):
            speeds.observe(name, actual, predicted)
        assert speeds.factors.get("a", 1.0) == pytest.approx(expected, rel=0.5)
        assert set(speeds.factors) <= {"a"}
    speeds.forget("a")
    assert speeds.factors == {}


def test_a_bias_of_the_predictor_is_nobodys_speed() -> None:
    speeds = Speeds()
    for name, actual, predicted in runs(1, 300, dict.fromkeys("abcd", 5.0)):
        speeds.observe(name, actual, predicted)
    assert speeds.factors == {}


NARROW = RunTime(Sample([9.0, 10.0, 10.0, 11.0]))


def test_quality_steps_down_and_comes_back() -> None:
    quality = Quality()
    changes = [quality.observe(NARROW, 10.0) for _ in range(WINDOW)]
    assert (quality.poor, any(changes), quality.missed, quality.coverage) == (False, False, 0.0, 1.0)
    changes = [quality.observe(NARROW, 100.0) for _ in range(WINDOW)]
    assert changes.count(True) == 1
    assert (quality.poor, quality.missed, quality.coverage) == (True, 1.0, 0.0)
    changes = [quality.observe(NARROW, 10.0) for _ in range(WINDOW)]
    assert changes.count(True) == 1
    assert changes.index(True) > WINDOW // 2, "it is believed again later than it was given up"
    assert not quality.poor


def test_an_interval_that_never_holds_is_poor_though_its_middle_is_right() -> None:
    quality = Quality()
    for at in range(ENOUGH):
        quality.observe(RunTime(Sample([10.0])), 7.0 if at % 2 else 13.0)
    assert (quality.missed, quality.coverage, quality.poor) == (0.0, 0.0, True)


SPEEDS = {"fast": TokenSpeed(0.0, 0.0, 1.0), "slow": TokenSpeed(1.0, 0.5, 2.0)}


def test_tokens_give_a_run_time_per_platform() -> None:
    predictor = TokenPredictor(SPEEDS, Bins([1.0] * 10 + [100.0] * 10, [10.0] * 10 + [50.0] * 10, 2))
    short = predictor.run_time("m", {"input_tokens": 1}, "fast")
    long = predictor.run_time("m", {"input_tokens": 100}, "slow")
    assert short is not None
    assert long is not None
    assert (short.mean_s, long.mean_s) == (10.0, 1.0 + 50.0 + 100.0)
    assert predictor.run_time("m", {"input_tokens": "many"}, "fast") is None
    assert predictor.run_time("m", {}, "fast") is None
    assert predictor.run_time("m", {"input_tokens": 1}, "other") is None


def taught(count: int, seed: int = 0, *, long_to_slow: bool = False) -> OnlinePredictor:
    """Work is 1 s below 500 tokens and 20 s above; slow takes three times as long; `noise` says nothing."""
    predictor, rng = OnlinePredictor(), random.Random(seed)
    for _ in range(count):
        tokens = rng.randrange(1000)
        work = (1.0 if tokens < 500 else 20.0) * exp(rng.gauss(0, 0.2))
        slow = rng.random() < ((0.9 if tokens >= 500 else 0.1) if long_to_slow else 0.5)
        metadata = {"tokens": tokens, "noise": rng.random(), "name": "x"}
        predictor.observe("m", metadata, "slow" if slow else "fast", work * (3.0 if slow else 1.0))
    return predictor


def mean_of(predictor: OnlinePredictor, tokens: int, platform: str) -> float:
    found = predictor.run_time("m", {"tokens": tokens, "noise": 0.5}, platform)
    assert found is not None
    return found.mean_s


@pytest.mark.parametrize("long_to_slow", [False, True])
def test_the_feature_that_tells_is_found_and_speeds_are_told_apart_from_work(long_to_slow: bool) -> None:
    predictor = taught(1000, long_to_slow=long_to_slow)
    assert mean_of(predictor, 100, "fast") == pytest.approx(1.0, rel=0.2)
    assert mean_of(predictor, 900, "fast") == pytest.approx(20.0, rel=0.2)
    assert mean_of(predictor, 100, "slow") == pytest.approx(3.0, rel=0.2)
    assert mean_of(predictor, 900, "slow") == pytest.approx(60.0, rel=0.2)


def test_nothing_is_claimed_before_enough_was_seen() -> None:
    assert taught(49).run_time("m", {"tokens": 1}, "fast") is None
    assert taught(50).run_time("m", {"tokens": 1}, "fast") is not None
    assert taught(50).run_time("other", {"tokens": 1}, "fast") is None


def test_a_task_without_the_feature_gets_the_mix() -> None:
    found = taught(1000).run_time("m", {}, "fast")
    assert found is not None
    assert found.mean_s == pytest.approx(10.5, rel=0.2)


def test_a_few_tasks_that_say_nothing_do_not_hide_what_the_others_say() -> None:
    predictor = taught(1000)
    for _ in range(200):
        predictor.observe("m", {}, "fast", 1.0)
    assert mean_of(predictor, 900, "fast") == pytest.approx(20.0, rel=0.3)
    assert mean_of(predictor, 100, "fast") == pytest.approx(1.0, rel=0.3)


def test_names_from_outside_do_not_fill_the_memory() -> None:
    predictor = OnlinePredictor()
    for at in range(MODELS + 10):
        predictor.observe(f"m{at}", {}, "p", 1.0)
    assert len(predictor._models) == MODELS


class Told:
    """A predictor that says 10 s for anything, or that it knows nothing."""

    version = 0

    def __init__(self) -> None:
        self.known = True

    def run_time(self, model: str, metadata: object, platform: str) -> RunTime | None:
        return RunTime(Sample([8.0, 10.0, 12.0])) if self.known else None

    def observe(self, model: str, metadata: object, platform: str, run_s: float) -> None:
        pass


def test_a_poor_predictor_is_not_asked_until_it_is_good_again() -> None:
    forecasts = Forecasts(Told())
    rng = random.Random(0)
    assert forecasts.forecast("m", {}, "fast").mean_s == 10.0
    for _ in range(WINDOW):
        forecasts.observe("m", {}, "fast", "i", 0.5 * exp(rng.gauss(0, 0.1)))
        forecasts.observe("m", {}, "slow", "j", 2.0 * exp(rng.gauss(0, 0.1)))
    version = forecasts.version
    missed, coverage, poor = forecasts.quality["m"]
    assert (poor, missed, coverage) == (True, 1.0, 0.0)
    assert forecasts.forecast("m", {}, "fast").mean_s == pytest.approx(0.5, rel=0.1)
    assert forecasts.forecast("m", {}, "slow").mean_s == pytest.approx(2.0, rel=0.1)
    assert forecasts.forecast("m", {}, "new").mean_s < 10
    for _ in range(WINDOW):
        forecasts.observe("m", {}, "fast", "i", 10.0)
    assert forecasts.forecast("m", {}, "fast").mean_s == 10.0
    assert forecasts.version > version


def test_without_any_knowledge_all_tasks_are_alike() -> None:
    told = Told()
    told.known = False
    forecasts = Forecasts(told)
    assert forecasts.forecast("m", {}, "fast") is UNKNOWN
    forecasts.observe("m", {}, "fast", "i", 3.0)
    assert forecasts.forecast("m", {}, "fast").mean_s == 3.0
