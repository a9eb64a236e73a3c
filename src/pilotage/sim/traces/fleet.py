"""Nodes that no file lists: so many of one shape, as asked for or as many as a trace needs."""

import re
from collections.abc import Sequence

import numpy as np

from pilotage.model.errors import InvalidInput
from pilotage.model.node import Node
from pilotage.model.task import Task
from pilotage.sim.traces.trace import FOREVER_S

PEAK = 0.85
"""Part of the nodes that the peak of a trace takes, if everything starts as it arrives: the usual choice."""

MAX_NODES = 1_000_000

_SHAPE = re.compile(r"^(\d+)\s*x\s*(.+)$")
_FORM = "COUNTxcpu=64,memory_gib=448,gpus=8,gpu_model=V100"


def asked_for(text: str) -> list[Node] | None:
    """Return the nodes that ``text`` describes (``40xcpu=64,memory_gib=448``), or None if it is no such description."""
    found = _SHAPE.match(text)
    if found is None or "=" not in text:
        return None
    count = int(found[1])
    if not 1 <= count <= MAX_NODES:
        raise InvalidInput("--nodes", f"must be 1 to {MAX_NODES:,} nodes, got {count:,}")
    given: dict[str, str] = dict(part.partition("=")[::2] for part in found[2].split(","))
    amounts = {}
    for name in ("cpu", "memory_gib", "gpus"):
        try:
            amounts[name] = float(given.pop(name, "0"))
        except ValueError:
            raise InvalidInput("--nodes", f"{name} must be a number in {text[:60]!r}: {_FORM}") from None
        if not 0 <= amounts[name] <= 1e9:
            raise InvalidInput("--nodes", f"{name} must be from 0 to a billion in {text[:60]!r}")
    model = given.pop("gpu_model", "")
    if given:
        raise InvalidInput("--nodes", f"{next(iter(given))[:20]!r} is no word of {_FORM}")
    return equal_nodes(count, amounts["cpu"], amounts["memory_gib"], int(amounts["gpus"]), model)


def equal_nodes(count: int, cpu: float, memory_gib: float, gpus: int = 0, model: str = "") -> list[Node]:
    """Return ``count`` nodes of one shape; cores and GiB."""
    capacity = {"cpu": round(1000 * cpu), "memory": round(memory_gib * 2**30)}
    return [Node(name=f"node-{i:06}", capacity=capacity, gpus=gpus, gpu_model=model) for i in range(count)]


def sized(
    tasks: Sequence[Task], durations_s: Sequence[float], cpu: float, memory_gib: float, gpus: int = 0, model: str = ""
) -> list[Node]:
    """Return as many nodes of one shape as make the peak of the tasks `PEAK` of them, by the amount that needs most."""
    (one,) = equal_nodes(1, cpu, memory_gib, gpus, model)
    count = 1
    starts = np.array([task.arrival_s for task in tasks])
    ends = starts + np.array(durations_s)
    leaving = np.flatnonzero(np.array(durations_s) != FOREVER_S)
    # Those that leave at an instant go before those that come.
    times = np.concatenate((ends[leaving], starts))
    order = np.argsort(times, kind="stable")
    for kind in ("cpu", "memory", "gpu"):
        demand = np.array([task.demand.get(kind, 0) for task in tasks], np.float64)
        peak = np.concatenate((-demand[leaving], demand))[order].cumsum().max()
        if one.capacity[kind] and peak > 0:
            count = max(count, int(np.ceil(peak / PEAK / one.capacity[kind])))
    return equal_nodes(count, cpu, memory_gib, gpus, model)
