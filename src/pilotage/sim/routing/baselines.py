"""Rules of the literature to compare with, as choosers of the service's own `Push` (bound on arrival)."""

from collections.abc import Mapping, Sequence

from pilotage.engine.taskqueue.backlog import Backlog
from pilotage.engine.taskqueue.choosers import weighted_draw
from pilotage.engine.taskqueue.strategy import Predictor
from pilotage.model.routing import RoutedTask


class Random:
    """Any instance; ``weights`` (platform -> share of an instance) None: all alike."""

    name = "random"

    def __init__(self, seed: int, weights: Mapping[str, float] | None = None) -> None:
        self._seed = seed
        self._weights = weights

    def choose(self, task: RoutedTask, candidates: Sequence[Backlog], now: float) -> Backlog:
        """One weighted draw."""
        weights = [1.0 if self._weights is None else self._weights[each.instance.platform] for each in candidates]
        return weighted_draw(self._seed, task, candidates, weights)


class FastestOutstanding:
    """Fewest tasks; ties to the fastest. ``mean_s``: mean run time per platform, of any task."""

    name = "fastest-outstanding"

    def __init__(self, mean_s: Mapping[str, float]) -> None:
        self._mean_s = mean_s

    def choose(self, task: RoutedTask, candidates: Sequence[Backlog], now: float) -> Backlog:
        """Minimum of (count, mean run time)."""
        return min(candidates, key=lambda each: (each.outstanding, self._mean_s[each.instance.platform]))


class ShortestExpectedDelay:
    """Least (count + 1) x mean run time there (SED, of queueing theory): speeds are known, tasks are not."""

    name = "sed"

    def __init__(self, mean_s: Mapping[str, float]) -> None:
        self._mean_s = mean_s

    def choose(self, task: RoutedTask, candidates: Sequence[Backlog], now: float) -> Backlog:
        """Minimum of the product."""
        return min(candidates, key=lambda each: (each.outstanding + 1) * self._mean_s[each.instance.platform])


class LeastWork:
    """Least predicted work present (waiting tasks, and what the prediction leaves of the running one)."""

    name = "least-work"

    def choose(self, task: RoutedTask, candidates: Sequence[Backlog], now: float) -> Backlog:
        """Minimum of the expected wait; ties to the first."""
        return min(candidates, key=lambda each: each.expected_s(now))


class LeastCompletion:
    """Least predicted work present plus the task's own predicted run time there."""

    name = "least-completion"

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor

    def choose(self, task: RoutedTask, candidates: Sequence[Backlog], now: float) -> Backlog:
        """Minimum of the expected end; ties to the first."""
        own = {
            platform: predicted.mean_s if predicted else 0.0
            for platform in {each.instance.platform for each in candidates}
            for predicted in (self._predictor.predict(task.model, task.metadata, platform),)
        }
        return min(candidates, key=lambda each: each.expected_s(now) + own[each.instance.platform])
