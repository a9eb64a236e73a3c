"""A sweep: several policies times several seeds over one trace, on a pool of processes.

Workers are told texts (which trace, which policy) and load both themselves: a policy is code and does not travel.
"""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor
from concurrent.futures import wait as futures_wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from threading import Thread, current_thread, main_thread
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from pilotage.app.allocator import keep_freed_memory
from pilotage.app.policy_files import load_policy
from pilotage.engine.engine import CACHE_BYTES
from pilotage.engine.waiting import Backoff
from pilotage.kernel.policy import Policy
from pilotage.model.errors import InvalidInput
from pilotage.sim.experiment import FILL_RATIO, FIRST_SEED, run
from pilotage.sim.result import Run
from pilotage.sim.traces.catalogue import Format, load_trace
from pilotage.sim.traces.trace import Trace

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

MAX_RUNS = 100_000
MAX_WORKERS = 256

Progress = Callable[[float, int], None]
"""Told (runs done, those under way in part; runs in all)."""

_PARTS = 1000
"""Progress travels between processes in thousandths of a run."""

_Counter: TypeAlias = "Synchronized[int]"


class Plan(Struct, frozen=True, kw_only=True):
    """What to run: every policy under every seed from 42 up. ``workers`` None: one per CPU; 1: in this process.

    ``fill_ratio`` is asked for, and so bad input for a timed trace; None: ``usual_fill_ratio``, where it applies.
    ``nodes`` and ``form`` are those of `load_trace`.
    """

    trace: str
    policies: tuple[str, ...]
    seeds: int = 1
    fill_ratio: float | None = None
    usual_fill_ratio: float = FILL_RATIO
    form: Format | None = None
    nodes: str | None = None
    workers: int | None = None
    cache_bytes: int = CACHE_BYTES
    backoff: Backoff = Backoff()

    def __post_init__(self) -> None:
        if not self.policies:
            raise InvalidInput("policy", "none is named")
        for text in self.policies:
            if self.policies.count(text) > 1:
                raise InvalidInput("policy", f"{text!r} is named twice")
        if not 1 <= self.seeds * len(self.policies) <= MAX_RUNS:
            raise InvalidInput(
                "seeds", f"must be a number from 1 to {MAX_RUNS // len(self.policies):,}, got {self.seeds}"
            )
        if self.workers is not None and not 1 <= self.workers <= MAX_WORKERS:
            raise InvalidInput("workers", f"must be a number from 1 to {MAX_WORKERS}, got {self.workers}")


class _Job(Struct, frozen=True):
    plan: Plan
    policy: str
    seed: int


def sweep(plan: Plan, progress: Progress = lambda done, runs: None) -> list[Run]:
    """Carry out ``plan`` and return its runs: by policy, then by seed, whichever finished first.

    Trace and policies are loaded here first, so bad input shows before a process is started. An interrupt ends the
    workers before it is passed on.
    """
    trace = _trace(plan.trace, plan.form, plan.nodes)
    if trace.timed and plan.fill_ratio is not None:
        raise InvalidInput("fill_ratio", f"{plan.trace} says when its tasks arrive: it can not be filled up")
    for text in plan.policies:
        load_policy(text)
    jobs = [_Job(plan, text, FIRST_SEED + i) for text in plan.policies for i in range(plan.seeds)]
    workers = min(len(jobs), plan.workers or os.cpu_count() or 1)
    progress(0, len(jobs))
    if workers > 1:
        return _in_pool(jobs, workers, progress)
    runs: list[Run] = []
    for job in jobs:
        runs.append(_carry_out(job, lambda part: progress(len(runs) + part, len(jobs))))
    return runs


def _carry_out(job: _Job, progress: Callable[[float], None]) -> Run:
    plan = job.plan
    return run(
        _trace(plan.trace, plan.form, plan.nodes),
        _policy(job.policy),
        job.seed,
        fill_ratio=plan.usual_fill_ratio if plan.fill_ratio is None else plan.fill_ratio,
        backoff=plan.backoff,
        cache_bytes=plan.cache_bytes,
        label=job.policy,
        progress=progress,
    )


@lru_cache(maxsize=1)
def _trace(trace: str, form: Format | None, nodes: str | None) -> Trace:
    return load_trace(trace, form=form, nodes=nodes)


def _policy(text: str) -> Policy:
    """Load anew for every run: a user's file may keep something between decisions."""
    return load_policy(text)


# -- the pool ----------------------------------------------------------------------------------------------------

_counter: "_Counter | None" = None
"""In a worker: the parent's count of progress."""


def _in_pool(jobs: list[_Job], workers: int, progress: Progress) -> list[Run]:
    try:
        with _pool(workers) as (pool, counter):
            with _interrupts_held():
                futures = [pool.submit(_carry_out_there, job) for job in jobs]
            waiting = set(futures)
            while waiting:
                done, waiting = futures_wait(waiting, timeout=0.1, return_when=FIRST_EXCEPTION)
                for future in done:
                    future.result()  # the first fault ends the sweep
                progress(counter.value / _PARTS, len(jobs))
            return [future.result() for future in futures]
    except BrokenProcessPool:
        reason = (
            "a process ended by itself (killed, or out of memory?): fewer of them may do, 1 runs none beside this one"
        )
        raise InvalidInput("workers", reason) from None


@contextmanager
def _pool(workers: int) -> Iterator[tuple[ProcessPoolExecutor, _Counter]]:
    """A pool whose processes end at once when the block is left by an exception, and what they count up."""
    others = set(active_children())
    # Spawned, not forked: threads (a progress bar, BLAS) do not survive a fork.
    context = get_context("spawn")
    counter = context.Value("q", 0)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_in_worker, initargs=(counter,))
    try:
        yield pool, counter
    except BaseException:
        for process in set(active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold interrupts back while processes start, which would complain if they were left half started.

    Processes inherit the block; the handler is for the threads that do not have it.
    """
    if current_thread() is not main_thread():
        yield
        return
    held: list[int] = []
    handler = signal.signal(signal.SIGINT, lambda number, frame: held.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
        if held and callable(handler):
            handler(signal.SIGINT, None)


def _in_worker(counter: _Counter) -> None:
    """Leave interrupts to the parent, and end with it however it ends."""
    global _counter  # noqa: PLW0603 - an initializer has no other way to hand on what a process can only inherit
    _counter = counter
    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _carry_out_there(job: _Job) -> Run:
    counted = 0

    def count(part: float) -> None:
        nonlocal counted
        more = int(part * _PARTS) - counted
        counted += more
        if _counter is not None:
            with _counter.get_lock():
                _counter.value += more

    return _carry_out(job, count)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
