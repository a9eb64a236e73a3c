"""What does one routing decision cost, and one prediction?

A decision: a task ended on one of N instances, another arrived, and the strategy says what starts where. Beside it,
in the same run: least outstanding, which looks at a count per instance and nothing else.
"""

import random
import time

from benchmarks.report import Row, exponent, percentiles, publish
from pilotage.engine.routing.late_binding import LateBinding
from pilotage.engine.taskqueue.choosers import LeastOutstanding
from pilotage.engine.taskqueue.push import Push
from pilotage.engine.taskqueue.strategy import Strategy
from pilotage.learn.bins import Bins
from pilotage.learn.forecasts import Forecasts
from pilotage.learn.remembered import Remembered
from pilotage.learn.tokens import INPUT, TokenPredictor
from pilotage.model.routing import Instance, RoutedTask
from pilotage.sim.routing.instances import SPEEDS

ROUNDS = 1_000
WAITING = 32
SIZES = ((8, 1), (32, 1), (100, 1), (400, 1), (100, 8))
"""Instances, and slots of each."""

_PLATFORMS = tuple(SPEEDS)


def forecasts(rng: random.Random) -> Forecasts:
    """Predictions as in the simulator: ten bins of four thousand observations."""
    inputs = [rng.uniform(1, 4000) for _ in range(4000)]
    return Forecasts(TokenPredictor(SPEEDS, Bins(inputs, [rng.expovariate(1 / 200) for _ in inputs])))


def measure(strategy: Strategy, instances: int, slots: int, rng: random.Random) -> list[float]:
    """Return the CPU seconds of each decision, with all slots busy and a queue of 32."""
    now, made = 0.0, 0
    for at in range(instances):
        strategy.instance_changed(
            Instance(id=f"i{at}", model="m", slots=slots, platform=_PLATFORMS[at % len(_PLATFORMS)]), now
        )

    def submit() -> None:
        nonlocal made
        made += 1
        metadata = {INPUT: rng.uniform(1, 4000)}
        strategy.submitted(RoutedTask(id=str(made), model="m", metadata=metadata, arrival_s=now), now)

    for _ in range(instances * slots + WAITING):
        submit()
    running = [each.task_id for each in strategy.decide(now)]
    spent = []
    for _ in range(ROUNDS):
        now += 10.0 / (instances * slots)
        strategy.left(running.pop(rng.randrange(len(running))), rng.uniform(1, 9), now)
        submit()
        start = time.thread_time()
        sent = strategy.decide(now)
        spent.append(time.thread_time() - start)
        running += [each.task_id for each in sent]
    return spent


def predictions(rng: random.Random) -> tuple[float, float]:
    """Return microseconds of 100 predictions, median and 99th percentile: mean run times as a plan needs them."""
    predictor, spent = forecasts(rng), []
    for _ in range(ROUNDS):
        tasks = [{INPUT: rng.uniform(1, 4000)} for _ in range(100)]
        start = time.thread_time()
        for each in tasks:
            _ = predictor.forecast("m", each, "medium").mean_s
        spent.append(time.thread_time() - start)
    return percentiles(spent)


def run() -> None:
    """Measure and publish."""
    rows: list[Row] = []
    for instances, slots in SIZES:
        ours = percentiles(measure(LateBinding(forecasts(random.Random(1))), instances, slots, random.Random(2)))
        base = percentiles(measure(Push(LeastOutstanding(), Remembered()), instances, slots, random.Random(2)))
        rows.append(
            {
                "instances": instances,
                "slots each": slots,
                "p50 us": ours[0],
                "p99 us": ours[1],
                "least outstanding p50 us": base[0],
                "ratio": round(ours[0] / base[0], 1),
            }
        )
    single = [row for row in rows if row["slots each"] == 1]
    growth = exponent([row["instances"] for row in single], [row["p50 us"] for row in single])
    p50, p99 = predictions(random.Random(3))
    publish(
        "routing",
        "one routing decision with 32 tasks waiting, CPU microseconds",
        rows,
        [f"growth exponent over instances: {growth}", f"100 predictions: p50 {p50} us, p99 {p99} us (bar 1,000)"],
    )
