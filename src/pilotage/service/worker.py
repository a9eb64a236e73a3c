"""The reference instance's inside: a queue, some slots, and a run for each task, simulated or the user's own function.

Submitting the same id twice runs it once. Ended tasks are remembered, so that a scheduler that missed a result can ask.
"""

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
from msgspec import Raw, Struct

from pilotage.kernel.hashing import key_hash

REMEMBERED = 50_000
"""Ended tasks that can still be asked for."""

RUN_KEYS = ("run_ms", "server_time_cost")
"""Keys of input or metadata that say how long the simulated run takes on an instance of speed 1."""

Function = Callable[[Any, Any], Any]
"""The user's own run: from input and metadata to a result that is JSON."""


class WorkerSettings(Struct, frozen=True, kw_only=True):
    """``run_ms``: of a task that does not say it itself. ``noise``: sigma of a log-normal factor with mean 1."""

    model: str
    slots: int = 1
    speed: float = 1.0
    run_ms: float = 100.0
    noise: float = 0.0
    failure_rate: float = 0.0
    queue_limit: int = 100_000
    seed: int = 0
    platform: str = ""


class Job(Struct):
    """A task here. Times are Unix seconds, ``run_ms`` milliseconds."""

    id: str
    input: Raw
    metadata: Raw
    status: str = "queued"
    enqueued_s: float = 0.0
    started_s: float | None = None
    ended_s: float | None = None
    run_ms: float | None = None
    result: Raw = Raw(b"null")
    error: str = ""


class Worker:
    """Runs jobs; ``ended`` is called with each one that completed or failed."""

    def __init__(
        self, settings: WorkerSettings, ended: Callable[[Job], None], function: Function | None = None
    ) -> None:
        self.settings = settings
        self.slots = settings.slots
        self._ended = ended
        self._function = function
        self._waiting: deque[Job] = deque()
        self._running: dict[str, asyncio.Task[None]] = {}
        self.jobs: OrderedDict[str, Job] = OrderedDict()
        self.accepting = True

    @property
    def queue_size(self) -> int:
        """Jobs that wait or run."""
        return len(self._waiting) + len(self._running)

    def submit(self, job: Job) -> bool:
        """Take a job; False: the queue is full, or the instance is leaving. A known id is taken and not run again."""
        known = self.jobs.get(job.id)
        if known is not None and known.status != "cancelled":
            return True
        if not self.accepting or self.queue_size >= self.settings.queue_limit:
            return False
        job.enqueued_s = time.time()
        self.jobs[job.id] = job
        self._waiting.append(job)
        self._fill()
        return True

    def cancel(self, job_id: str) -> bool:
        """Take a job out of the queue, or stop its run."""
        job = self.jobs.get(job_id)
        if job is None or job.status not in ("queued", "running"):
            return False
        job.status = "cancelled"
        running = self._running.get(job_id)
        if running is not None:
            running.cancel()
        else:
            self._waiting.remove(job)
        return True

    def expected_ms(self) -> tuple[float, float]:
        """Work that waits or runs, per slot, and its deviation: what /queue/predict answers."""
        times = [self._mean_ms(job) for job in (*self._waiting, *(self.jobs[job_id] for job_id in self._running))]
        spread = math.sqrt(math.expm1(self.settings.noise**2))
        error = math.sqrt(sum((each * spread) ** 2 for each in times))
        slots = max(1, self.slots)
        return sum(times) / slots, error / slots

    async def drain(self, within_s: float) -> None:
        """Take nothing more and let what runs end, for so long at most."""
        self.accepting = False
        self._waiting.clear()
        if self._running:
            await asyncio.wait(self._running.values(), timeout=within_s)
        for task in self._running.values():
            task.cancel()

    def _fill(self) -> None:
        while self._waiting and len(self._running) < self.slots:
            job = self._waiting.popleft()
            job.status, job.started_s = "running", time.time()
            run_ms = 0.0 if self._function else self._mean_ms(job) * self._factor(job)
            if run_ms <= 0 and self._function is None:
                self._finish(job, 0.0, self._outcome(job))
            else:
                self._running[job.id] = asyncio.create_task(self._run(job, run_ms))

    async def _run(self, job: Job, run_ms: float) -> None:
        started = time.perf_counter()
        try:
            if self._function is not None:
                outcome = await asyncio.to_thread(self._call, job)
            else:
                await asyncio.sleep(run_ms / 1000)
                outcome = self._outcome(job)
        except asyncio.CancelledError:
            self._running.pop(job.id, None)
            self._fill()
            return
        self._running.pop(job.id, None)
        self._finish(job, (time.perf_counter() - started) * 1000, outcome)
        self._fill()

    def _finish(self, job: Job, run_ms: float, outcome: tuple[Raw, str]) -> None:
        job.result, job.error = outcome
        job.status = "failed" if job.error else "completed"
        job.run_ms, job.ended_s = run_ms, time.time()
        while len(self.jobs) > REMEMBERED and next(iter(self.jobs.values())).ended_s is not None:
            self.jobs.popitem(last=False)
        self._ended(job)

    def _call(self, job: Job) -> tuple[Raw, str]:
        assert self._function is not None
        try:
            found = self._function(msgspec.json.decode(job.input), msgspec.json.decode(job.metadata))
            return Raw(msgspec.json.encode(found)), ""
        except Exception as error:
            return Raw(b"null"), f"{type(error).__name__}: {error}"

    def _outcome(self, job: Job) -> tuple[Raw, str]:
        if self.settings.failure_rate and self._random(job, 1).random() < self.settings.failure_rate:
            return Raw(b"null"), "simulated failure"
        return Raw(msgspec.json.encode({"model": self.settings.model, "bytes": len(bytes(job.input))})), ""

    def _mean_ms(self, job: Job) -> float:
        for content in (job.input, job.metadata):
            if len(bytes(content)) > 2:
                found = msgspec.json.decode(content)
                for key in RUN_KEYS:
                    value = found.get(key) if isinstance(found, dict) else None
                    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9:
                        return value / self.settings.speed
        return self.settings.run_ms / self.settings.speed

    def _factor(self, job: Job) -> float:
        sigma = self.settings.noise
        return self._random(job, 0).lognormvariate(-sigma * sigma / 2, sigma) if sigma else 1.0

    def _random(self, job: Job, purpose: int) -> Random:
        return Random(key_hash(self.settings.seed * 2 + purpose, job.id))
