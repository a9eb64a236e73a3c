"""The choosers by name. Ties are broken at random by seed and task id, so that equal instances share the load."""

from collections.abc import Callable, Sequence

from pilotage.engine.taskqueue.backlog import Backlog
from pilotage.kernel.hashing import key_hash
from pilotage.model.errors import InvalidInput
from pilotage.model.routing import RoutedTask


class ShortestQueue:
    """Least expected work, then least uncertainty, then fewest tasks."""

    name = "shortest_queue"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def choose(self, task: RoutedTask, candidates: Sequence[Backlog], now: float) -> Backlog:
        """Minimum of (expected, error, count)."""
        keys = [(each.expected_s(now), each.error_s(), each.outstanding) for each in candidates]
        return _least(keys, candidates, self._seed, task)


class Weighted:
    """Least expected work plus ``error_weight`` (0 to 1) times its standard deviation."""

    name = "weighted"

    def __init__(self, seed: int = 0, error_weight: float = 0.5) -> None:
        self._seed = seed
        self._weight = min(1.0, max(0.0, error_weight))

    def choose(self, task: RoutedTask, candidates: Sequence[Backlog], now: float) -> Backlog:
        """Minimum of (expected + weight x error, count)."""
        keys = [(each.expected_s(now) + self._weight * each.error_s(), each.outstanding) for each in candidates]
        return _least(keys, candidates, self._seed, task)


class RoundRobin:
    """In turn, with a turn of its own for each model."""

    name = "round_robin"

    def __init__(self, seed: int = 0) -> None:
        self._turns: dict[str, int] = {}

    def choose(self, task: RoutedTask, candidates: Sequence[Backlog], now: float) -> Backlog:
        """The next one of the task's model."""
        turn = self._turns.get(task.model, 0)
        self._turns[task.model] = turn + 1
        return candidates[turn % len(candidates)]


class Probabilistic:
    """At random, with weight 1 / (tasks there + 1), at least ``min_weight`` (0 to 1)."""

    name = "probabilistic"

    def __init__(self, seed: int = 0, min_weight: float = 0.1) -> None:
        self._seed = seed
        self._floor = min(1.0, max(0.0, min_weight))

    def choose(self, task: RoutedTask, candidates: Sequence[Backlog], now: float) -> Backlog:
        """One weighted draw."""
        weights = [max(1 / (each.outstanding + 1), self._floor) for each in candidates]
        return weighted_draw(self._seed, task, candidates, weights)


class LeastOutstanding:
    """Fewest tasks that were sent there and have not ended."""

    name = "least-outstanding"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def choose(self, task: RoutedTask, candidates: Sequence[Backlog], now: float) -> Backlog:
        """Minimum of the count."""
        return _least([each.outstanding for each in candidates], candidates, self._seed, task)


class PowerOfTwo:
    """The one with fewer tasks of two different ones, drawn at random."""

    name = "power-of-two"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def choose(self, task: RoutedTask, candidates: Sequence[Backlog], now: float) -> Backlog:
        """Draw two, compare, keep."""
        drawn = key_hash(self._seed, task.id)
        first = drawn % len(candidates)
        second = (first + 1 + (drawn >> 32) % (len(candidates) - 1)) % len(candidates)
        return min(candidates[first], candidates[second], key=lambda each: each.outstanding)


CHOOSERS: dict[str, Callable[[int], object]] = {
    each.name: each for each in (ShortestQueue, RoundRobin, Weighted, Probabilistic, LeastOutstanding, PowerOfTwo)
}


def check_name(name: str, known: Sequence[str]) -> None:
    """Raise `InvalidInput` naming the strategies that exist, unless ``name`` is one of them."""
    if name not in known:
        raise InvalidInput("strategy", f"no strategy is called {name!r:.80}; known: {', '.join(known)}")


def weighted_draw(seed: int, task: RoutedTask, candidates: Sequence[Backlog], weights: Sequence[float]) -> Backlog:
    """Return one candidate, drawn in proportion to ``weights`` by seed and task id."""
    drawn = key_hash(seed, task.id) / 2**64 * sum(weights)
    for each, weight in zip(candidates, weights, strict=True):
        drawn -= weight
        if drawn < 0:
            return each
    return candidates[-1]


def _least(keys: Sequence[object], candidates: Sequence[Backlog], seed: int, task: RoutedTask) -> Backlog:
    best = min(keys)  # type: ignore[type-var]
    ties = [index for index, key in enumerate(keys) if key == best]
    if len(ties) == 1:
        return candidates[ties[0]]
    return candidates[ties[key_hash(seed, task.id) % len(ties)]]
