"""A sweep of routing policies: several times several seeds over one trace of requests, in processes."""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from msgspec import Struct

from pilotage.app.pool import Progress, carry_out_all, check_size
from pilotage.model.errors import InvalidInput
from pilotage.sim.routing.experiment import FIRST_SEED, Conditions, RoutingRun, run
from pilotage.sim.routing.faults import to_fault
from pilotage.sim.routing.instances import to_pool
from pilotage.sim.routing.policies import PREDICTORS, check_policy
from pilotage.sim.routing.workload import ARRIVAL_PROCESSES, Split, split
from pilotage.sim.traces.azure_llm import BUNDLED, load_requests


class Plan(Struct, frozen=True, kw_only=True):
    """What to run: every policy under every seed from 0 up. Texts are those of the command line."""

    trace: str
    policies: tuple[str, ...]
    seeds: int = 1
    workers: int | None = None
    instances: str = "het8"
    load: float = 0.8
    arrival_process: str = "poisson"
    predictor: str = "bins"
    fault: str = ""
    handover_s: float = 0.0

    def __post_init__(self) -> None:
        check_size(self.policies, self.seeds, self.workers)

    def conditions(self) -> Conditions:
        """Return what the texts mean; raises `InvalidInput` naming the flag."""
        return Conditions(
            pool=to_pool(self.instances),
            load=self.load,
            process=_one_of("--arrival-process", self.arrival_process, ARRIVAL_PROCESSES),
            knowledge=_one_of("--predictor", self.predictor, PREDICTORS),
            fault=to_fault(self.fault) if self.fault else None,
            fault_text=self.fault,
            handover_s=self.handover_s,
        )


class _Job(Struct, frozen=True):
    plan: Plan
    policy: str
    seed: int

    def carry_out(self, progress: Callable[[float], None]) -> RoutingRun:
        return run(_split(self.plan.trace), self.policy, self.seed, self.plan.conditions(), progress)


def sweep(plan: Plan, progress: Progress = lambda done, runs: None) -> list[RoutingRun]:
    """Carry out ``plan`` and return its runs: by policy, then by seed. Bad input shows before a process is started."""
    for name in plan.policies:
        check_policy(name)
    plan.conditions()
    if plan.trace.startswith("azure-llm:") and plan.trace not in BUNDLED:
        raise InvalidInput("TRACE", f"no trace is called {plan.trace!r:.60}; known: {', '.join(BUNDLED)}, or a path")
    _split(plan.trace)
    jobs = [_Job(plan, name, FIRST_SEED + i) for name in plan.policies for i in range(plan.seeds)]
    return carry_out_all(jobs, plan.workers, progress)


@lru_cache(maxsize=1)
def _split(trace: str) -> Split:
    return split(load_requests(trace))


Word = TypeVar("Word", bound=str)


def _one_of(flag: str, text: str, words: tuple[Word, ...]) -> Word:
    for word in words:
        if text == word:
            return word
    raise InvalidInput(flag, f"must be one of {', '.join(words)}, got {text!r:.60}")
