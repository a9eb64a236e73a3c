"""What is known without a table: the submitter's statement first, then the mean of what ran here before."""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any, Protocol

from pilotage.learn.lookup import declared
from pilotage.model.routing import Prediction

MODELS = 10_000
"""Models and platforms that are remembered; the names come from outside, so there is a bound."""

_HORIZON = 200
"""Run times that a mean looks back on: older ones fade, so that it follows a change."""


class Remembered:
    """Mean and deviation of the run times seen, per model and platform, newer ones counting more."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str], tuple[int, float, float]] = {}

    def predict(self, model: str, metadata: Mapping[str, Any], platform: str) -> Prediction | None:
        """The mean so far; None before the first run."""
        found = self._seen.get((model, platform))
        return None if found is None else Prediction(found[1], sqrt(found[2]))

    def observe(self, model: str, metadata: Mapping[str, Any], platform: str, run_s: float) -> None:
        """Move mean and variance towards a run time (exponential weights after the first runs)."""
        if len(self._seen) >= MODELS and (model, platform) not in self._seen:
            self._seen.clear()
        count, mean, variance = self._seen.get((model, platform), (0, 0.0, 0.0))
        share = 1 / min(count + 1, _HORIZON)
        step = run_s - mean
        self._seen[model, platform] = (count + 1, mean + share * step, (1 - share) * (variance + share * step * step))


class _Predictor(Protocol):
    def predict(self, model: str, metadata: Mapping[str, Any], platform: str) -> Prediction | None: ...

    def observe(self, model: str, metadata: Mapping[str, Any], platform: str, run_s: float) -> None: ...


class Chain:
    """The submitter's statement if there is one, else the first predictor that knows something."""

    def __init__(self, predictors: Sequence[_Predictor]) -> None:
        self._predictors = tuple(predictors)

    def predict(self, model: str, metadata: Mapping[str, Any], platform: str) -> Prediction | None:
        """The first answer."""
        stated = declared(metadata)
        if stated is not None:
            return stated
        for each in self._predictors:
            found = each.predict(model, metadata, platform)
            if found is not None:
                return found
        return None

    def observe(self, model: str, metadata: Mapping[str, Any], platform: str, run_s: float) -> None:
        """Tell all of them."""
        for each in self._predictors:
            each.observe(model, metadata, platform, run_s)
