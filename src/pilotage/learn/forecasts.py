"""What late binding acts on: a predictor, watched; a plain fall-back while it is poor; instances' own speeds.

While the quality of a model's predictions is poor (`pilotage.learn.quality`), every task of the model is forecast as
the mix of the runs seen on each platform, whatever its features. The plan then weighs nothing but speeds and counts of
tasks: least outstanding, weighted by speed, still bound late. The predictor goes on learning and being measured, and
is believed again when it has earned it.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

from pilotage.engine.routing.run_time import RunTime, Sample
from pilotage.learn.quality import Quality
from pilotage.learn.speed import Speeds

UNKNOWN = RunTime(Sample((0.5, 1.0, 2.0)))
"""A run time of which nothing is known: all tasks are alike, so their count still balances the instances."""

_KEPT = 200
_REFRESH = 25
_ENOUGH = 10


class Distributions(Protocol):
    """A predictor that knows distributions; None: it does not know this one. ``version`` rises when it has learned."""

    @property
    def version(self) -> int:
        """See above."""

    def run_time(self, model: str, metadata: Mapping[str, Any], platform: str) -> RunTime | None:
        """The run time of a task with these features on an instance of this platform."""

    def observe(self, model: str, metadata: Mapping[str, Any], platform: str, run_s: float) -> None:
        """A task ran so long."""


class Forecasts:
    """A `pilotage.engine.routing.ports.Forecaster` around a predictor."""

    def __init__(self, predictor: Distributions) -> None:
        self._predictor = predictor
        self._changes = 0
        self._seen: dict[str, dict[str, _Seen]] = {}  # model -> platform -> runs
        self._quality: dict[str, Quality] = {}
        self._speeds = Speeds()

    @property
    def version(self) -> int:
        """Rises whenever earlier forecasts no longer hold."""
        return self._changes + self._predictor.version

    @property
    def quality(self) -> Mapping[str, tuple[float, float, bool]]:
        """Per model: the share of misses, the coverage of the 80 % interval, and whether predictions are poor."""
        return {model: (each.missed, each.coverage, each.poor) for model, each in self._quality.items()}

    def forecast(self, model: str, metadata: Mapping[str, Any], platform: str) -> RunTime:
        """The predictor's answer; without one, or while it is poor, the mix of what ran there."""
        quality = self._quality.get(model)
        if quality is None or not quality.poor:
            predicted = self._predictor.run_time(model, metadata, platform)
            if predicted is not None:
                return predicted
        return self._mix(model, platform)

    @property
    def factors(self) -> Mapping[str, float]:
        """See `Speeds.factors`."""
        return self._speeds.factors

    def observe(self, model: str, metadata: Mapping[str, Any], platform: str, instance: str, run_s: float) -> None:
        """Measure the prediction, then learn from the run."""
        predicted = self._predictor.run_time(model, metadata, platform)
        if predicted is not None and predicted.mean_s > 0:
            factor = self._speeds.factors.get(instance, 1.0)
            quality = self._quality.setdefault(model, Quality())
            self._changes += quality.observe(predicted, run_s / factor)
        believed = self.forecast(model, metadata, platform)
        if believed.mean_s > 0:
            self._speeds.observe(instance, run_s, believed.mean_s)
        seen = self._seen.setdefault(model, {}).setdefault(platform, _Seen())
        if seen.add(run_s) and believed is not predicted:
            self._changes += 1
        self._predictor.observe(model, metadata, platform, run_s)

    def forget(self, instance: str) -> None:
        """The instance is gone."""
        self._speeds.forget(instance)

    def _mix(self, model: str, platform: str) -> RunTime:
        seen = self._seen.get(model)
        if not seen:
            return UNKNOWN
        own = seen.get(platform)
        if own is None or len(own.runs) < _ENOUGH:
            own = max(seen.values(), key=lambda each: len(each.runs))
        return own.mix


class _Seen:
    """The last run times of a model on a platform, and their distribution as of a while ago."""

    def __init__(self) -> None:
        self.runs: deque[float] = deque(maxlen=_KEPT)
        self.mix = UNKNOWN
        self._due = 1

    def add(self, run_s: float) -> bool:
        """Keep a run; return whether the distribution was made anew."""
        self.runs.append(run_s)
        self._due -= 1
        if self._due:
            return False
        self._due = min(len(self.runs), _REFRESH)
        self.mix = RunTime(Sample(self.runs))
        return True
