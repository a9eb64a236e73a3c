"""Policies by name: the service's strategies and the rules to compare with, each with the predictor it is allowed."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import numpy as np
from msgspec import Struct

from pilotage.engine.routing.late_binding import LateBinding
from pilotage.engine.routing.run_time import RunTime, Sample
from pilotage.engine.taskqueue.choosers import LeastOutstanding, PowerOfTwo, RoundRobin
from pilotage.engine.taskqueue.push import Chooser, Push
from pilotage.engine.taskqueue.strategy import Strategy
from pilotage.learn.forecasts import Distributions, Forecasts
from pilotage.learn.online import OnlinePredictor
from pilotage.learn.tokens import INPUT, TokenPredictor
from pilotage.model.errors import InvalidInput
from pilotage.model.routing import Prediction
from pilotage.sim.routing import baselines
from pilotage.sim.routing.faults import Fault, Stale
from pilotage.sim.routing.instances import Server
from pilotage.sim.routing.workload import Split, Workload, run_times

Knowledge = Literal["bins", "permuted", "online", "oracle"]
PREDICTORS: tuple[Knowledge, ...] = get_args(Knowledge)
"""What the policies that predict may know. ``bins``: input tokens and speeds, and outputs in bins of the input, trained
beforehand. ``permuted``: the same, with the inputs of the tasks exchanged at random: useless. ``online``: input tokens
only; learned during the run, from nothing. ``oracle``: the true run times."""

_TRUTH = "true_s"


class Setting(Struct, frozen=True):
    """What a policy is built for: one run."""

    split: Split
    workload: Workload
    pool: tuple[Server, ...]
    knowledge: Knowledge
    fault: Fault | None
    seed: int

    @property
    def mean_s(self) -> dict[str, float]:
        """The mean predicted run time per platform, of any task."""
        inputs = float(self.split.served.input_tokens.mean())
        outputs = self.split.outputs.pooled.mean
        return {server.platform: server.speed.run_s(inputs, outputs) for server in self.pool}

    def predictor(self) -> Distributions:
        """What is known of run times."""
        if self.knowledge == "oracle":
            return _Oracle()
        if self.knowledge == "online":
            return OnlinePredictor()
        return TokenPredictor({server.platform: server.speed for server in self.pool}, self.split.outputs)

    def metadata(self) -> list[Mapping[str, Any]]:
        """What each task says of itself."""
        inputs = self.workload.input_tokens
        if self.knowledge == "oracle":
            times = {platform: values.tolist() for platform, values in run_times(self.workload, self.pool).items()}
            columns = [dict(zip(times, row, strict=True)) for row in zip(*times.values(), strict=True)]
            return [{_TRUTH: row} for row in columns]
        if self.knowledge == "permuted":
            inputs = np.random.Generator(np.random.PCG64([self.seed, 1])).permutation(inputs)
        return [{INPUT: tokens} for tokens in inputs.tolist()]

    @property
    def report_s(self) -> float:
        """How often instances report; 0: they tell at once."""
        return self.fault.every_s if isinstance(self.fault, Stale) else 0.0


class _Oracle:
    """The true run times, as the tasks' metadata have them."""

    version = 0

    def run_time(self, model: str, metadata: Mapping[str, Any], platform: str) -> RunTime | None:
        return RunTime(Sample((metadata[_TRUTH][platform],)))

    def observe(self, model: str, metadata: Mapping[str, Any], platform: str, run_s: float) -> None:
        pass


class _Points:
    """A predictor of distributions as one of points, for strategies that work with those."""

    def __init__(self, predictor: Distributions) -> None:
        self._predictor = predictor

    def predict(self, model: str, metadata: Mapping[str, Any], platform: str) -> Prediction | None:
        run_time = self._predictor.run_time(model, metadata, platform)
        return None if run_time is None else Prediction(run_time.mean_s, run_time.std_s)

    def observe(self, model: str, metadata: Mapping[str, Any], platform: str, run_s: float) -> None:
        self._predictor.observe(model, metadata, platform, run_s)


def _late(setting: Setting, **options: Any) -> Strategy:
    return LateBinding(Forecasts(setting.predictor()), report_s=setting.report_s, **options)


def _push(make: Callable[[Setting], Chooser]) -> Callable[[Setting], Strategy]:
    return lambda setting: Push(make(setting), _Points(setting.predictor()))


POLICIES: dict[str, Callable[[Setting], Strategy]] = {
    "random": _push(lambda s: baselines.Random(s.seed)),
    "weighted-random": _push(
        lambda s: baselines.Random(s.seed, {platform: 1 / mean for platform, mean in s.mean_s.items()})
    ),
    "round-robin": _push(lambda s: RoundRobin(s.seed)),
    "least-outstanding": _push(lambda s: LeastOutstanding(s.seed)),
    "fastest-outstanding": _push(lambda s: baselines.FastestOutstanding(s.mean_s)),
    "power-of-two": _push(lambda s: PowerOfTwo(s.seed)),
    "sed": _push(lambda s: baselines.ShortestExpectedDelay(s.mean_s)),
    "least-work": _push(lambda s: baselines.LeastWork()),
    "least-completion": _push(lambda s: baselines.LeastCompletion(_Points(s.predictor()))),
    "re-planning": lambda s: _late(s, weight=1.0),
    "pilotage": _late,
    "pilotage-aged": lambda s: _late(s, order="aged"),
    "oracle": lambda s: _late(s, weight=1.0),
}
"""``oracle`` is re-planning that knows the true run times, which equals least completion that does."""


def check_policy(name: str) -> None:
    """Raise `InvalidInput` naming the policies there are, unless ``name`` is one of them."""
    if name not in POLICIES:
        raise InvalidInput("policy", f"no routing policy is called {name!r:.60}; known: {', '.join(POLICIES)}")
