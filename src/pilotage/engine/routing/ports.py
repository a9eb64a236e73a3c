"""What late binding needs to know about run times; `pilotage.learn` implements it."""

from collections.abc import Mapping
from typing import Any, Protocol

from pilotage.engine.routing.run_time import RunTime


class Forecaster(Protocol):
    """Run times as distributions, per model, features of the task and speed class; and how instances deviate.

    ``version`` rises whenever earlier answers no longer hold (something was learned, or given up).
    """

    @property
    def version(self) -> int:
        """See above."""

    def forecast(self, model: str, metadata: Mapping[str, Any], platform: str) -> RunTime:
        """Return the run time on an instance of this platform that runs as usual. There is always an answer."""

    @property
    def factors(self) -> Mapping[str, float]:
        """How many times its forecast a task takes, of the instances that clearly deviate from 1."""

    @property
    def quality(self) -> Mapping[str, tuple[float, float, bool]]:
        """Per model: the share of misses, the coverage of the 80 % interval, and whether forecasts step down."""

    def observe(self, model: str, metadata: Mapping[str, Any], platform: str, instance: str, run_s: float) -> None:
        """A task ran to its end in ``run_s`` seconds."""

    def forget(self, instance: str) -> None:
        """The instance is gone."""
