"""One run: a request trace, a pool, a policy and a seed, played to the end and measured."""

from collections.abc import Callable
from hashlib import sha256
from time import process_time

import numpy as np
from msgspec import Struct

from pilotage.model.errors import InvalidInput
from pilotage.sim.routing.faults import Fault, Slow, Stale
from pilotage.sim.routing.instances import Server
from pilotage.sim.routing.policies import POLICIES, Knowledge, Setting
from pilotage.sim.routing.router import StrategyRouter
from pilotage.sim.routing.workload import ArrivalProcess, Split, draw
from pilotage.sim.routing.world import World

FIRST_SEED = 0
"""Seeds of the experiment that this one repeats are 0 to 4."""

MAX_LOAD = 2.0
MAX_HANDOVER_S = 60.0

QUANTILES: tuple[float, ...] = (*(i / 100 for i in range(100)), *(0.99 + i / 1000 for i in range(1, 11)))
"""Levels of ``latency_quantiles_s``: the whole distribution in steps of 1 %, its last percent in steps of 0.1 %."""


class RoutingRun(Struct, frozen=True, kw_only=True):
    """What one policy did with one trace under one seed. Latencies: arrival to completion, seconds.

    ``share``: part of the counted requests per instance. ``cpu_s``: CPU seconds of the whole run, ``decision_us`` the
    microseconds of it per time that the policy was asked. ``digest``: SHA-256 over which instance served each request.
    """

    trace: str
    policy: str
    seed: int
    load: float
    mean_s: float
    p50_s: float
    p99_s: float
    p999_s: float
    max_s: float
    tasks: int
    arrival_process: str
    predictor: str
    fault: str
    handover_s: float
    share: dict[str, float]
    cpu_s: float
    decision_us: float
    digest: str
    latency_quantiles_s: tuple[float, ...]


class Conditions(Struct, frozen=True, kw_only=True):
    """What holds for every run of a comparison."""

    pool: tuple[Server, ...]
    load: float = 0.8
    process: ArrivalProcess = "poisson"
    knowledge: Knowledge = "bins"
    fault: Fault | None = None
    fault_text: str = ""
    handover_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.load <= MAX_LOAD:
            raise InvalidInput("--load", f"must be above 0 and at most {MAX_LOAD:g}, got {self.load:g}")
        if not 0 <= self.handover_s <= MAX_HANDOVER_S:
            raise InvalidInput("--handover", f"must be 0 to {MAX_HANDOVER_S:g} seconds, got {self.handover_s:g}")
        if self.handover_s and isinstance(self.fault, Stale):
            raise InvalidInput("--handover", "does not go with --fault stale: those instances say nothing in between")
        if isinstance(self.fault, Slow) and all(server.name != self.fault.server for server in self.pool):
            names = ", ".join(server.name for server in self.pool[:20])
            raise InvalidInput("--fault", f"no instance is called {self.fault.server!r:.60}; there are: {names}")


def run(
    split: Split,
    policy: str,
    seed: int,
    conditions: Conditions,
    progress: Callable[[float], None] = lambda part: None,
) -> RoutingRun:
    """Play the served part of a trace under ``policy``; the seed gives requests, arrivals, noise and random choices."""
    pool = conditions.pool
    workload = draw(split.served, pool, conditions.load, conditions.process, np.random.Generator(np.random.PCG64(seed)))
    knowledge: Knowledge = "oracle" if policy == "oracle" else conditions.knowledge
    setting = Setting(split, workload, pool, knowledge, conditions.fault, seed)
    router = StrategyRouter(POLICIES[policy](setting), pool, setting.metadata())
    world = World(workload, pool, conditions.fault, conditions.handover_s)
    began = process_time()
    world.play(router, progress)
    cpu_s = process_time() - began
    counted = world.latency_s[workload.not_counted :]
    served_by = world.served_by[workload.not_counted :]
    return RoutingRun(
        trace=split.served.name,
        policy=policy,
        seed=seed,
        load=conditions.load,
        mean_s=float(counted.mean()),
        p50_s=float(np.median(counted)),
        p99_s=float(np.quantile(counted, 0.99)),
        p999_s=float(np.quantile(counted, 0.999)),
        max_s=float(counted.max()),
        tasks=len(counted),
        arrival_process=conditions.process,
        predictor=knowledge,
        fault=conditions.fault_text,
        handover_s=conditions.handover_s,
        share={server.name: float((served_by == at).mean()) for at, server in enumerate(pool)},
        cpu_s=cpu_s,
        decision_us=cpu_s / router.decisions * 1e6,
        digest=sha256(world.served_by.tobytes()).hexdigest(),
        latency_quantiles_s=tuple(np.quantile(counted, QUANTILES).tolist()),
    )
