"""What arrives in a run: requests of a trace at a chosen load, and what is known of them beforehand.

The first fifth of the trace's rows trains the predictor; only the rest is served. A request's run time is what the
instance's token speed says times Z, log-normal with mean 1 and sigma 0.15, drawn once per request and the same on all.
"""

from typing import Literal, get_args

import numpy as np
from msgspec import Struct

from pilotage.kernel.arrays import FloatArray
from pilotage.learn.bins import Bins
from pilotage.model.errors import InvalidInput
from pilotage.sim.routing.instances import Server
from pilotage.sim.traces.azure_llm import Requests

ArrivalProcess = Literal["poisson", "trace"]
ARRIVAL_PROCESSES: tuple[ArrivalProcess, ...] = get_args(ArrivalProcess)

POISSON_TASKS = 40_000
POISSON_NOT_COUNTED = 4_000
TRAINING_PART = 0.2
NOISE_SIGMA = 0.15


class Workload(Struct, frozen=True):
    """One run's requests. Arrays are float64[n]; ``noise`` is Z. The first ``not_counted`` only warm up."""

    arrival_s: FloatArray
    input_tokens: FloatArray
    output_tokens: FloatArray
    noise: FloatArray
    not_counted: int


class Split(Struct, frozen=True):
    """A trace in its two parts: what trained the predictor (outputs in bins of the input), and what is served."""

    outputs: Bins
    served: Requests


def split(requests: Requests) -> Split:
    """Train on the first fifth, serve the rest."""
    cut = int(TRAINING_PART * len(requests))
    outputs = Bins(requests.input_tokens[:cut].tolist(), requests.output_tokens[:cut].tolist())
    served = Requests(
        requests.name, requests.arrival_s[cut:], requests.input_tokens[cut:], requests.output_tokens[cut:]
    )
    return Split(outputs, served)


def capacity_per_s(served: Requests, pool: tuple[Server, ...]) -> float:
    """Return the requests a second that the pool can serve: the sum of slots / mean run time."""
    inputs, outputs = float(served.input_tokens.mean()), float(served.output_tokens.mean())
    return sum(server.slots / server.speed.run_s(inputs, outputs) for server in pool)


def draw(
    served: Requests, pool: tuple[Server, ...], load: float, process: ArrivalProcess, rng: np.random.Generator
) -> Workload:
    """Return the requests of one run at ``load`` (part of the pool's capacity).

    ``poisson``: 40,000 requests drawn with replacement, exponential gaps. ``trace``: the rows in their order, their
    gaps times one factor.
    """
    rate = load * capacity_per_s(served, pool)
    if process == "poisson":
        rows = rng.integers(0, len(served), POISSON_TASKS)
        arrival_s = rng.exponential(1 / rate, POISSON_TASKS).cumsum()
    else:
        rows = np.arange(len(served))
        since = served.arrival_s - served.arrival_s[0]
        if not since[-1] > 0:
            raise InvalidInput("--arrival-process", "all requests that are served came at the same moment")
        arrival_s = since * ((len(served) - 1) / rate / since[-1])
    noise = np.exp(rng.normal(-(NOISE_SIGMA**2) / 2, NOISE_SIGMA, len(rows)))
    not_counted = POISSON_NOT_COUNTED if process == "poisson" else 0
    return Workload(arrival_s, served.input_tokens[rows], served.output_tokens[rows], noise, not_counted)


def run_times(workload: Workload, pool: tuple[Server, ...]) -> dict[str, FloatArray]:
    """Return the true run times in seconds per platform, float64[n], when nothing is wrong."""
    speeds = {server.platform: server.speed for server in pool}
    inputs, outputs = workload.input_tokens, workload.output_tokens
    return {
        platform: (speed.start_s + speed.input_s * inputs + speed.output_s * outputs) * workload.noise
        for platform, speed in speeds.items()
    }
