"""A trace made into another: faster arrivals, several times over."""

from math import isfinite

from msgspec.structs import replace

from pilotage.model.errors import InvalidInput
from pilotage.sim.traces.trace import Trace

MAX_TASKS = 5_000_000


def reshaped(trace: Trace, speed_up: float = 1.0, repeat: int = 1) -> Trace:
    """Return a timed trace whose tasks arrive ``speed_up`` times as fast, ``repeat`` times over; durations stay.

    The next round begins one mean gap between arrivals after the last arrival; its tasks are called ``NAME#2`` and so
    on. Raises `InvalidInput` for a trace without times or numbers that make no sense.
    """
    if speed_up == 1 and repeat == 1:
        return trace
    if not trace.timed:
        flag = "--speed-up" if speed_up != 1 else "--repeat"
        raise InvalidInput(flag, f"{trace.name} does not say when its tasks arrive")
    if not (speed_up > 0 and isfinite(speed_up)):
        raise InvalidInput("--speed-up", f"must be a positive number, got {speed_up:g}")
    if not (repeat >= 1 and repeat * len(trace.tasks) <= MAX_TASKS):
        most = MAX_TASKS // len(trace.tasks)
        raise InvalidInput("--repeat", f"must be from 1 to {most:,} (at most {MAX_TASKS:,} tasks), got {repeat}")
    first = min(task.arrival_s for task in trace.tasks)
    span = max(task.arrival_s for task in trace.tasks) - first
    round_s = (span + span / max(1, len(trace.tasks) - 1)) / speed_up
    tasks = [
        replace(
            task,
            id=task.id if i == 0 else f"{task.id}#{i + 1}",
            arrival_s=(task.arrival_s - first) / speed_up + i * round_s,
        )
        for i in range(repeat)
        for task in trace.tasks
    ]
    return replace(trace, tasks=tuple(tasks), durations_s=trace.durations_s * repeat)
