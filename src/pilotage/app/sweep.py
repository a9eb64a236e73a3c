"""A sweep: several policies times several seeds over one trace, on a pool of processes.

Workers are told texts (which trace, which policy) and load both themselves: a policy is code and does not travel.
"""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from threading import Thread

from msgspec import Struct

from pilotage.app.policy_files import load_policy
from pilotage.engine.engine import CACHE_BYTES
from pilotage.engine.waiting import Backoff
from pilotage.kernel.policy import Policy
from pilotage.model.errors import InvalidInput
from pilotage.sim.experiment import FILL_RATIO, FIRST_SEED, run
from pilotage.sim.result import Run
from pilotage.sim.traces.catalogue import Format, load_trace
from pilotage.sim.traces.trace import Trace

MAX_RUNS = 100_000
MAX_WORKERS = 256

Progress = Callable[[int, int], None]
"""Told (runs done, runs in all)."""


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
    runs = []
    for job in jobs:
        runs.append(_carry_out(job))
        progress(len(runs), len(jobs))
    return runs


def _carry_out(job: _Job) -> Run:
    plan = job.plan
    return run(
        _trace(plan.trace, plan.form, plan.nodes),
        _policy(job.policy),
        job.seed,
        fill_ratio=plan.usual_fill_ratio if plan.fill_ratio is None else plan.fill_ratio,
        backoff=plan.backoff,
        cache_bytes=plan.cache_bytes,
        label=job.policy,
    )


@lru_cache(maxsize=1)
def _trace(trace: str, form: Format | None, nodes: str | None) -> Trace:
    return load_trace(trace, form=form, nodes=nodes)


def _policy(text: str) -> Policy:
    """Load anew for every run: a user's file may keep something between decisions."""
    return load_policy(text)


# -- the pool ----------------------------------------------------------------------------------------------------


def _in_pool(jobs: list[_Job], workers: int, progress: Progress) -> list[Run]:
    try:
        with _pool(workers) as pool:
            futures = [pool.submit(_carry_out, job) for job in jobs]
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()  # the first fault ends the sweep
                progress(done, len(jobs))
            return [future.result() for future in futures]
    except BrokenProcessPool:
        reason = (
            "a process ended by itself (killed, or out of memory?): fewer of them may do, 1 runs none beside this one"
        )
        raise InvalidInput("workers", reason) from None


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes end at once when the block is left by an exception."""
    others = set(active_children())
    # Spawned, not forked: threads (a progress bar, BLAS) do not survive a fork.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_in_worker)
    try:
        yield pool
    except BaseException:
        for process in set(active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _in_worker() -> None:
    """Leave interrupts to the parent, and end with it however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
