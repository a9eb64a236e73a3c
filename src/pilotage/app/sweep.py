"""A sweep: several policies times several seeds over one trace, on a pool of processes."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import lru_cache

from msgspec import Struct

from pilotage.app.policy_files import load_policy
from pilotage.app.pool import Progress, carry_out_all, check_size
from pilotage.app.records import RecordPlan, recording
from pilotage.engine.engine import CACHE_BYTES
from pilotage.engine.waiting import Backoff
from pilotage.model.errors import InvalidInput
from pilotage.sim.experiment import FILL_RATIO, FIRST_SEED, run
from pilotage.sim.result import Run
from pilotage.sim.traces.catalogue import Format, load_trace
from pilotage.sim.traces.reshape import reshaped
from pilotage.sim.traces.trace import Trace


class Plan(Struct, frozen=True, kw_only=True):
    """What to run: every policy under every seed from 42 up. ``workers`` None: one per CPU; 1: in this process.

    ``fill_ratio`` is asked for, and so bad input for a timed trace; None: ``usual_fill_ratio``, where it applies.
    ``nodes`` and ``form`` are those of `load_trace`, ``speed_up`` and ``repeat`` those of `reshaped`; with ``wait``
    False tasks of a timed trace that fit nowhere are dropped, and the run ends with the last arrival. ``detail`` asks
    for the heat map of the first seed's runs; ``record`` is where the run is recorded, which must be one.
    """

    trace: str
    policies: tuple[str, ...]
    seeds: int = 1
    fill_ratio: float | None = None
    usual_fill_ratio: float = FILL_RATIO
    form: Format | None = None
    nodes: str | None = None
    speed_up: float = 1.0
    repeat: int = 1
    wait: bool = True
    detail: bool = False
    workers: int | None = None
    cache_bytes: int = CACHE_BYTES
    backoff: Backoff = Backoff()
    record: RecordPlan | None = None

    def __post_init__(self) -> None:
        check_size(self.policies, self.seeds, self.workers)
        if self.record is not None and self.seeds * len(self.policies) > 1:
            got = f"{len(self.policies)} policies under {self.seeds} seeds each"
            raise InvalidInput("--record", f"one run is recorded at a time: name one policy and one seed, got {got}")


class _Job(Struct, frozen=True):
    plan: Plan
    policy: str
    seed: int

    def carry_out(self, progress: Callable[[float], None]) -> Run:
        plan = self.plan
        about = f"{plan.trace}, seed {self.seed}"
        with nullcontext() if plan.record is None else recording(plan.record, about, self.policy) as where:
            return run(
                trace_of(plan),
                load_policy(self.policy),  # anew: a user's file may keep something between decisions
                self.seed,
                fill_ratio=plan.usual_fill_ratio if plan.fill_ratio is None else plan.fill_ratio,
                backoff=plan.backoff,
                cache_bytes=plan.cache_bytes,
                wait=plan.wait,
                label=self.policy,
                detail=plan.detail and self.seed == FIRST_SEED,
                recording=where,
                progress=progress,
            )


def sweep(plan: Plan, progress: Progress = lambda done, runs: None) -> list[Run]:
    """Carry out ``plan`` and return its runs: by policy, then by seed, whichever finished first.

    Trace and policies are loaded here first, so bad input shows before a process is started. An interrupt ends the
    workers before it is passed on.
    """
    trace = trace_of(plan)
    if not (trace.timed or plan.wait):
        raise InvalidInput("--drop", f"{plan.trace} has no times: what fits nowhere is dropped anyway")
    if trace.timed and plan.fill_ratio is not None:
        raise InvalidInput("fill_ratio", f"{plan.trace} says when its tasks arrive: it can not be filled up")
    for text in plan.policies:
        load_policy(text)
    jobs = [_Job(plan, text, FIRST_SEED + i) for text in plan.policies for i in range(plan.seeds)]
    return carry_out_all(jobs, plan.workers, progress)


def trace_of(plan: Plan) -> Trace:
    """Return the trace that a plan plays; the same one for the same plan."""
    return _trace(plan.trace, plan.form, plan.nodes, plan.speed_up, plan.repeat)


@lru_cache(maxsize=1)
def _trace(trace: str, form: Format | None, nodes: str | None, speed_up: float, repeat: int) -> Trace:
    return reshaped(load_trace(trace, form=form, nodes=nodes), speed_up, repeat)
