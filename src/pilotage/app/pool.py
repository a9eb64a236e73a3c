"""Runs of a simulation on a pool of processes: in order, with progress, and none left behind.

Workers are told texts (which trace, which policy) and load both themselves: a policy is code and does not travel.
"""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor
from concurrent.futures import wait as futures_wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.connection import wait
from threading import Thread, current_thread, main_thread
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from pilotage.app.allocator import keep_freed_memory
from pilotage.model.errors import InvalidInput

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

MAX_RUNS = 100_000
MAX_WORKERS = 256

Progress = Callable[[float, int], None]
"""Told (runs done, those under way in part; runs in all)."""

_PARTS = 1000
"""Progress travels between processes in thousandths of a run."""

_Counter: TypeAlias = "Synchronized[int]"

Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)


class Job(Protocol[Result_co]):
    """One run; it travels to a process and is carried out there."""

    def carry_out(self, progress: Callable[[float], None]) -> Result_co:
        """Do it; ``progress`` is told the part done, from 0 to 1."""


def check_size(policies: Sequence[str], seeds: int, workers: int | None) -> None:
    """Raise `InvalidInput` unless policies times seeds are runs that can be carried out by so many processes."""
    if not policies:
        raise InvalidInput("policy", "none is named")
    for text in policies:
        if policies.count(text) > 1:
            raise InvalidInput("policy", f"{text!r} is named twice")
    if not 1 <= seeds * len(policies) <= MAX_RUNS:
        raise InvalidInput("seeds", f"must be a number from 1 to {MAX_RUNS // len(policies):,}, got {seeds}")
    if workers is not None and not 1 <= workers <= MAX_WORKERS:
        raise InvalidInput("workers", f"must be a number from 1 to {MAX_WORKERS}, got {workers}")


def carry_out_all(jobs: Sequence[Job[Result]], workers: int | None, progress: Progress) -> list[Result]:
    """Carry out ``jobs``, at least one, and return what they made in their order, whichever finished first.

    ``workers`` None: one process per CPU; 1: in this process. An interrupt ends the workers before it is passed on.
    """
    workers = min(len(jobs), workers or os.cpu_count() or 1)
    progress(0, len(jobs))
    if workers > 1:
        return _in_pool(jobs, workers, progress)
    made: list[Result] = []
    for job in jobs:
        made.append(job.carry_out(lambda part: progress(len(made) + part, len(jobs))))
    return made


_counter: "_Counter | None" = None
"""In a worker: the parent's count of progress."""


def _in_pool(jobs: Sequence[Job[Result]], workers: int, progress: Progress) -> list[Result]:
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


def _carry_out_there(job: Job[Result]) -> Result:
    counted = 0

    def count(part: float) -> None:
        nonlocal counted
        more = int(part * _PARTS) - counted
        counted += more
        if _counter is not None:
            with _counter.get_lock():
                _counter.value += more

    return job.carry_out(count)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
