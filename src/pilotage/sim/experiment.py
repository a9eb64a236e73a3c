"""One run: a trace, a policy and a seed, played to the end and measured."""

from collections.abc import Callable

import numpy as np
from msgspec.structs import replace

from pilotage.engine.engine import CACHE_BYTES, Engine
from pilotage.engine.waiting import Backoff
from pilotage.kernel.policy import Policy
from pilotage.model.events import NodeAdded, WorkloadExpected
from pilotage.sim.metrics import LoadCurve, Tally, TimeCurve
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
    label: str = "",
    progress: Callable[[float], None] = lambda part: None,
) -> Run:
    """Play ``trace`` under ``policy`` and return what was measured; ``label`` stands for the policy in the result.

    ``progress`` is told the part of the tasks that have arrived, from 0 to 1, about a hundred times.

    An untimed trace is played by the published protocol: `arrivals` in random order up to ``fill_ratio``, no
    departures, and a task that fits nowhere is dropped. In a timed one tasks arrive and leave when the trace says,
    and wait as long as they must. The seed gives the order of tasks (untimed) and nodes, and every random choice of
    the policy.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    tasks = trace.tasks if trace.timed else arrivals(trace, fill_ratio, rng)
    durations_s = trace.durations_s if trace.timed else [FOREVER_S] * len(tasks)
    engine = Engine(policy, seed=seed, retry=trace.timed, backoff=backoff, cache_bytes=cache_bytes)
    world = World(engine, tasks, durations_s)
    for node in node_order(trace.nodes, rng):
        world.apply(NodeAdded(node))
    world.apply(WorkloadExpected(trace.workload))
    tally, load, time = Tally(engine, trace.workload), LoadCurve(), TimeCurve()
    often = max(1, len(tasks) // 100)
    for i, step in enumerate(world.steps()):
        tally.take(step)
        if i % often == 0:
            progress(tally.arrivals / len(tasks))
        if trace.timed:
            time.take(step.now, tally.gauge)
        else:
            load.take(tally)
    progress(1.0)
    return _result(trace, label or policy.name, seed, world.cpu_s, tally, load, time)


def _result(trace: Trace, policy: str, seed: int, cpu_s: float, tally: Tally, load: LoadCurve, time: TimeCurve) -> Run:
    at_100, at_130 = load.at(100), load.at(130)
    whole = Run(
        trace=trace.name,
        policy=policy,
        seed=seed,
        gpu_allocation_pct_at_100=at_100[0] if at_100 else None,
        gpu_allocation_pct_at_130=at_130[0] if at_130 else None,
        frag_pct_at_100=at_100[1] if at_100 else None,
        refused_feasible=tally.refused_feasible,
        placed=tally.placed,
        decisions=tally.decisions,
        decisions_per_s=tally.decisions / cpu_s,
        cpu_s=cpu_s,
        arrivals=tally.arrivals,
        unplaced=tally.unplaced,
        digest=tally.digest,
        curve=load.curve(),
    )
    if not trace.timed:
        return whole
    gpu, cpu = time.means()
    waits = np.array(tally.waits_s)
    return replace(
        whole,
        gpu_allocation_mean_pct=gpu if tally.gauge.gpu_capacity else None,
        cpu_allocation_mean_pct=cpu if tally.gauge.cpu_capacity else None,
        waiting_mean_s=float(waits.mean()) if waits.size else None,
        waiting_p99_s=float(np.quantile(waits, 0.99)) if waits.size else None,
        end_s=time.end_s,
        curve=time.curve() if tally.gauge.gpu_capacity else None,
    )
