"""A real run in less than a minute: the service, real instance processes, and a slice of a production trace.

The trace's requests are served with their run times compressed, arriving at random (Poisson) at 80 % of what the
instances can do, once under each strategy; what is measured is what a client sees. A strategy that predicts needs
something to predict from: other requests of the trace are served before, and not counted.
"""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from statistics import fmean
from typing import Any

import numpy as np
from msgspec import Struct

from pilotage.app.tasks.embedded import Scheduler
from pilotage.learn.tokens import INPUT
from pilotage.sim.traces.azure_llm import CONVERSATION, load_requests

MODEL = "llama"
SPEEDS = (("fast", 2.0), ("fast", 2.0), ("medium", 1.0), ("slow", 0.5))
"""Platform and speed of each instance."""

MEAN_MS = 150.0
"""Mean run time on an instance of speed 1, after compression."""

LOAD = 0.8
"""Share of the instances' capacity that is asked for."""

STRATEGIES = ("least-outstanding", "pilotage")

WARM_UP = 80
"""Requests that are served first, and not counted."""

_SEED = 3


class Request(Struct, frozen=True):
    """One request of the slice: when it comes (seconds), how long it runs at speed 1, and what is known of it."""

    at_s: float
    run_ms: float
    input_tokens: int


class Outcome(Struct, frozen=True):
    """What clients saw under one strategy; milliseconds."""

    strategy: str
    completed: int
    failed: int
    mean_ms: float
    p50_ms: float
    p99_ms: float


def slice_of_trace(tasks: int) -> tuple[list[Request], list[Request]]:
    """`WARM_UP` requests of Azure's conversation trace, and those that follow; compressed run times from their tokens.

    Both arrive at random from 0 s on, at the same rate.
    """
    trace = load_requests(CONVERSATION)
    count = WARM_UP + tasks
    inputs, outputs = trace.input_tokens[:count], trace.output_tokens[:count]
    seconds = 0.05 + 0.00018 * inputs + 0.045 * outputs
    run_ms = seconds / seconds.mean() * MEAN_MS
    rate = LOAD * sum(speed for _, speed in SPEEDS) / (MEAN_MS / 1000)
    rng = np.random.Generator(np.random.PCG64(_SEED))
    gaps = rng.exponential(1 / rate, count)
    parts = []
    for part in (slice(0, WARM_UP), slice(WARM_UP, count)):
        at = gaps[part].cumsum()
        rows = zip(at.tolist(), run_ms[part].tolist(), inputs[part].tolist(), strict=True)
        parts.append([Request(when, run, int(tokens)) for when, run, tokens in rows])
    return parts[0], parts[1]


@contextlib.contextmanager
def set_up(port: int, database: str, say: Callable[[str], None]) -> Iterator[Scheduler]:
    """The service on ``port`` (0: a free one) with one instance process per speed, ready; all gone afterwards."""
    with contextlib.ExitStack() as stack:
        scheduler = stack.enter_context(Scheduler({"port": port, "database": database, "log_level": "error"}))
        say(f"service at {scheduler.url}, state in {database.removeprefix('sqlite:///')}")
        processes = [_instance(scheduler.url, platform, speed) for platform, speed in SPEEDS]
        stack.callback(_end, processes)
        give_up = time.monotonic() + 120
        while sum(each["state"] == "ready" for each in scheduler.instance_statuses()) < len(SPEEDS):
            if time.monotonic() > give_up or any(each.poll() is not None for each in processes):
                raise RuntimeError("the instances did not start")
            time.sleep(0.05)
        say(f"{len(SPEEDS)} instance processes ready: " + ", ".join(f"{name} {speed:g}x" for name, speed in SPEEDS))
        yield scheduler


def play(scheduler: Scheduler, strategy: str, requests: list[Request], step: Callable[[], None]) -> Outcome:
    """Submit the requests at their times under one strategy and wait for them; ``step`` is called as each ends."""
    scheduler.set_strategy(strategy)
    started = time.perf_counter()
    ids = []
    for request in requests:
        pause_s = started + request.at_s - time.perf_counter()
        if pause_s > 0:
            time.sleep(pause_s)
        ids.append(scheduler.submit(MODEL, {"run_ms": request.run_ms}, {INPUT: request.input_tokens}))
    times, failed = [], 0
    for task_id in ids:
        ended = scheduler.wait(task_id, timeout_s=120)
        if ended["status"] == "completed":
            times.append((ended["finished_s"] - ended["submitted_s"]) * 1000)
        else:
            failed += 1
        step()
    ordered = sorted(times)
    points = [ordered[min(len(ordered) - 1, int(level * len(ordered)))] for level in (0.5, 0.99)]
    return Outcome(strategy, len(times), failed, fmean(ordered), points[0], points[1])


@contextlib.contextmanager
def scratch() -> Iterator[str]:
    """The URL of a database that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="pilotage-") as folder:
        yield f"sqlite:///{folder}/tasks.sqlite3"


def _instance(url: str, platform: str, speed: float) -> subprocess.Popen[bytes]:
    options: list[Any] = ["--model", MODEL, "--scheduler", url, "--speed", speed, "--platform", platform]
    command = [sys.executable, "-m", "pilotage", "instance", *map(str, options), "--noise", "0.15"]
    return subprocess.Popen([*command, "--log-level", "error"], stdout=subprocess.DEVNULL)


def _end(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
