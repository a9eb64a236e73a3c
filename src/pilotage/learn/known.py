"""Everything that is known of run times, as distributions: a table, what was learned here, what the submitter said."""

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

from pilotage.engine.routing.run_time import RunTime, Sample
from pilotage.learn.lookup import Table, declared
from pilotage.learn.online import OnlinePredictor
from pilotage.model.routing import Prediction

_POINTS = 20
_LEAST = 0.05
_CACHED = 10_000


class Known:
    """A `pilotage.learn.forecasts.Distributions`: the table if there is one, then what was learned, then the statement.

    A statement is a number like any other to what learns, so that it is used where it tells something; by itself it
    counts only until there is something better.
    """

    def __init__(self, learned: OnlinePredictor, table: Table | None = None) -> None:
        self._learned = learned
        self._table = table
        self._made: dict[Prediction, RunTime] = {}

    @property
    def version(self) -> int:
        """Rises when something was learned."""
        return self._learned.version

    def run_time(self, model: str, metadata: Mapping[str, Any], platform: str) -> RunTime | None:
        """The first that is known."""
        found = self._table.predict(model, metadata, platform) if self._table else None
        if found is None:
            learned = self._learned.run_time(model, metadata, platform)
            if learned is not None:
                return learned
            found = declared(metadata)
        return None if found is None or found.mean_s <= 0 else self._distribution(found)

    def observe(self, model: str, metadata: Mapping[str, Any], platform: str, run_s: float) -> None:
        """Learn from a run."""
        self._learned.observe(model, metadata, platform, run_s)

    def _distribution(self, prediction: Prediction) -> RunTime:
        made = self._made.get(prediction)
        if made is None:
            if len(self._made) >= _CACHED:
                self._made.clear()
            made = self._made[prediction] = distribution(prediction)
        return made


def distribution(prediction: Prediction) -> RunTime:
    """Return the distribution through its quantiles; without any, a normal one, cut off at a twentieth of the mean."""
    if prediction.quantiles:
        return RunTime(Sample.of_quantiles(prediction.quantiles))
    if prediction.std_s <= 0:
        return RunTime(Sample((prediction.mean_s,)))
    normal = NormalDist(prediction.mean_s, prediction.std_s)
    points = (normal.inv_cdf((at + 0.5) / _POINTS) for at in range(_POINTS))
    return RunTime(Sample(max(point, _LEAST * prediction.mean_s) for point in points))
