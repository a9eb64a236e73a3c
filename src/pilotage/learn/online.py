"""A predictor that learns from runs: which number of a task tells its run time, and how fast each platform is.

A run time is taken to be (speed of the platform) x (work of the task). Speeds and work are fitted in turn, in
logarithms, so that a platform that gets the long tasks is not taken for a slow one. The feature whose bins explain most
of the work is used, if it explains enough; else all tasks of the model share one distribution.
"""

from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from pilotage.engine.routing.run_time import RunTime, Sample
from pilotage.kernel.arrays import FloatArray, IntArray
from pilotage.learn.bins import BINS, Bins, is_number

WINDOW = 2_000
"""Runs of a model that are looked back on."""
FIRST_FIT = 50
MODELS = 1_000
"""Models that are remembered; their names come from outside, so there is a bound."""
FEATURES = 16

_PER_BIN = 20
_ROUNDS = 3
_EXPLAINS = 0.1
_SAID = 0.8
"""A number can be the feature if at least this part of the runs has it."""


class OnlinePredictor:
    """Learns per model from (features, platform, run time); knows nothing before the first 50 runs of a model."""

    def __init__(self) -> None:
        self.version = 0
        self._models: dict[str, _Model] = {}

    def run_time(self, model: str, metadata: Mapping[str, Any], platform: str) -> RunTime | None:
        """The distribution for a task like that; a platform never seen is taken for a usual one."""
        known = self._models.get(model)
        return None if known is None or known.fit is None else known.fit.run_time(metadata, platform)

    def observe(self, model: str, metadata: Mapping[str, Any], platform: str, run_s: float) -> None:
        """Keep a run (above 0 s); fit anew as the runs kept grow by a fifth, or are exchanged by a tenth."""
        known = self._models.get(model)
        if known is None:
            if len(self._models) >= MODELS:
                del self._models[next(iter(self._models))]
            known = self._models[model] = _Model()
        self.version += known.add(metadata, platform, run_s)


class _Model:
    def __init__(self) -> None:
        self.fit: _Fit | None = None
        self._runs: deque[tuple[dict[str, float], str, float]] = deque(maxlen=WINDOW)
        self._due = FIRST_FIT

    def add(self, metadata: Mapping[str, Any], platform: str, run_s: float) -> bool:
        numbers = {name: float(value) for name, value in metadata.items() if is_number(value)}
        self._runs.append((numbers, platform, run_s))
        self._due -= 1
        if self._due:
            return False
        self._due = max(10, min(len(self._runs) // 5, WINDOW // 10))
        self.fit = _Fit(list(self._runs))
        return True


class _Fit:
    """Speeds per platform, and work by the feature that tells most of it."""

    def __init__(self, runs: list[tuple[dict[str, float], str, float]]) -> None:
        platforms = sorted({platform for _, platform, _ in runs})
        where = np.array([platforms.index(platform) for _, platform, _ in runs])
        logs = np.log(np.array([max(run_s, 1e-6) for _, _, run_s in runs]))
        self._feature, groups = "", np.zeros(len(runs), np.int64)
        bins = min(BINS, len(runs) // _PER_BIN)
        best = _EXPLAINS
        said = Counter(name for numbers, _, _ in runs for name in numbers)
        for name in sorted(name for name, count in said.items() if count >= _SAID * len(runs))[:FEATURES]:
            usual = float(np.median([numbers[name] for numbers, _, _ in runs if name in numbers]))
            values = np.array([numbers.get(name, usual) for numbers, _, _ in runs])
            edges = np.unique(np.quantile(values, np.arange(1, bins) / bins, method="higher"))
            found = np.searchsorted(edges, values, side="right")
            explained = _explained(logs, where, found)
            if explained > best:
                best, self._feature, groups = explained, name, found
        speeds = _speeds(logs, where, groups)
        self._speed = {platform: float(np.exp(speeds[at])) for at, platform in enumerate(platforms)}
        work = np.exp(logs - speeds[where]).tolist()
        known = [
            (numbers[self._feature], each)
            for (numbers, _, _), each in zip(runs, work, strict=True)
            if self._feature in numbers
        ]
        self._bins = Bins([value for value, _ in known], [each for _, each in known], bins) if self._feature else None
        self._all = Sample(work)

    def run_time(self, metadata: Mapping[str, Any], platform: str) -> RunTime:
        value = metadata.get(self._feature)
        sample = self._bins.of(value) if self._bins is not None and is_number(value) else self._all
        return RunTime(sample, 0.0, self._speed.get(platform, 1.0))


def _speeds(logs: FloatArray, where: IntArray, groups: IntArray) -> FloatArray:
    """Logarithm of each platform's speed, given groups of equal work; their mean over the runs is 0."""
    speeds = np.zeros(int(where.max()) + 1)
    for _ in range(_ROUNDS):
        work = _means(logs - speeds[where], groups)
        speeds = _means(logs - work[groups], where)
        speeds = speeds - float(speeds[where].mean())
    return speeds


def _explained(logs: FloatArray, where: IntArray, groups: IntArray) -> float:
    """The part of the variance of work that groups explain, 0 to 1."""
    work = logs - _speeds(logs, where, groups)[where]
    variance = float(work.var())
    return 0.0 if variance <= 0 else float(_means(work, groups)[groups].var()) / variance


def _means(values: FloatArray, groups: IntArray) -> FloatArray:
    counts = np.bincount(groups)
    means: FloatArray = np.bincount(groups, weights=values) / np.maximum(counts, 1)
    return means
