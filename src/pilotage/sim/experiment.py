"""One run: a trace, a policy and a seed, played to the end and measured."""

from collections.abc import Callable
from typing import Any

import numpy as np
from msgspec.structs import replace

from pilotage.engine.engine import CACHE_BYTES, Engine
from pilotage.engine.recorder import Recording, RecordingEngine
from pilotage.engine.waiting import Backoff
from pilotage.kernel.policy import Policy
from pilotage.model.events import NodeAdded, QueueDeclared, WorkloadExpected
from pilotage.model.queue import Queue
from pilotage.sim.measurement import Measurement
from pilotage.sim.openb_protocol import arrivals, node_order
from pilotage.sim.result import Run
from pilotage.sim.traces.trace import FOREVER_S, Trace
from pilotage.sim.world import World

FILL_RATIO = 1.3
"""GPU demand of all arrivals as a part of the cluster's GPUs in the published experiments."""

FIRST_SEED = 42
"""Seeds of the published experiments start here and count up."""


def run(
    trace: Trace,
    policy: Policy,
    seed: int,
    *,
    fill_ratio: float = FILL_RATIO,
    backoff: Backoff | None = None,
    cache_bytes: int = CACHE_BYTES,
    wait: bool = True,
    label: str = "",
    detail: bool = False,
    recording: Recording | None = None,
    progress: Callable[[float], None] = lambda part: None,
) -> Run:
    """Play ``trace`` under ``policy`` and return what was measured; ``label`` stands for the policy in the result.

    ``detail`` asks for the heat map too. ``progress`` is told the part of the tasks that have arrived, from 0 to 1,
    about a hundred times. ``recording`` says where every event and decision is written, if anywhere.

    An untimed trace is played by the published protocol: `arrivals` in random order up to ``fill_ratio``, no
    departures, and a task that fits nowhere is dropped. In a timed one tasks arrive and leave when the trace says,
    and wait as long as they must; with ``wait`` False they are dropped as well, and the run ends with the last arrival,
    after which there is nothing to decide. The seed gives the order of tasks (untimed) and nodes, and every random
    choice of the policy.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    tasks = trace.tasks if trace.timed else arrivals(trace, fill_ratio, rng)
    durations_s = trace.durations_s if trace.timed else [FOREVER_S] * len(tasks)
    engine = _engine(policy, recording, seed=seed, retry=trace.timed and wait, backoff=backoff, cache_bytes=cache_bytes)
    world = World(engine, tasks, durations_s)
    for node in node_order(trace.nodes, rng):
        world.apply(NodeAdded(node))
    for name in sorted({task.queue for task in tasks} - {""}):
        world.apply(QueueDeclared(Queue(name=name)))
    leaves = any(duration_s != FOREVER_S for duration_s in durations_s)
    world.apply(WorkloadExpected(replace(trace.workload, leaves=leaves)))
    measured = Measurement(engine, trace, tasks)
    often = max(1, len(tasks) // 100)
    for i, step in enumerate(world.steps()):
        measured.take(step)
        if i % often == 0:
            progress(measured.tally.arrivals / len(tasks))
        if measured.tally.arrivals == len(tasks) and not wait:
            break
    if isinstance(engine, RecordingEngine):
        engine.close()
    progress(1.0)
    return measured.result(label or policy.name, seed, world, detail=detail)


def _engine(policy: Policy, recording: Recording | None, **options: Any) -> Engine:
    return Engine(policy, **options) if recording is None else RecordingEngine(policy, recording, **options)
