"""Scenario files, run: each policy under each seed, on a pool of processes, with the commit that they ran on."""

import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from msgspec import Struct

from pilotage import __version__
from pilotage.app.policy_files import PREEMPT, load_policy
from pilotage.app.pool import Progress, carry_out_all, check_size
from pilotage.app.records import RecordPlan, recording
from pilotage.engine.engine import CACHE_BYTES, Engine
from pilotage.engine.recorder import RecordingEngine
from pilotage.engine.waiting import Backoff
from pilotage.model.errors import InvalidInput
from pilotage.sim.experiment import FIRST_SEED
from pilotage.sim.scenario import load_scenario
from pilotage.sim.scenario_run import ScenarioRun, ScenarioWorld


class ScenarioPlan(Struct, frozen=True, kw_only=True):
    """A scenario file, the policies to run it under, and the seeds from ``first_seed`` up."""

    path: str
    policies: tuple[str, ...]
    seeds: int = 1
    first_seed: int = FIRST_SEED
    workers: int | None = None
    cache_bytes: int = CACHE_BYTES
    backoff: Backoff = Backoff()
    record: RecordPlan | None = None

    def __post_init__(self) -> None:
        check_size(self.policies, self.seeds, self.workers)
        if self.record is not None and self.seeds * len(self.policies) > 1:
            raise InvalidInput("--record", "one run is recorded at a time: name one policy and one seed")


class _Job(Struct, frozen=True):
    plan: ScenarioPlan
    policy: str
    seed: int

    def carry_out(self, progress: Callable[[float], None]) -> ScenarioRun:
        plan = self.plan
        scenario = load_scenario(Path(plan.path))
        text = f"{self.policy.removesuffix(PREEMPT)}{PREEMPT}" if scenario.preempt else self.policy
        policy = load_policy(text)
        about = f"{plan.path}, seed {self.seed}"
        with nullcontext() if plan.record is None else recording(plan.record, about, text) as where:
            if where is None:
                engine = Engine(policy, seed=self.seed, backoff=plan.backoff, cache_bytes=plan.cache_bytes)
            else:
                engine = RecordingEngine(
                    policy, where, seed=self.seed, backoff=plan.backoff, cache_bytes=plan.cache_bytes
                )
            run = ScenarioWorld(engine, scenario, self.seed).play()
            if isinstance(engine, RecordingEngine):
                engine.close()
        progress(1.0)
        return run


def run_scenario(plan: ScenarioPlan, progress: Progress = lambda done, runs: None) -> list[ScenarioRun]:
    """Run a scenario file; results by policy, then by seed. Bad input shows before a process is started."""
    load_scenario(Path(plan.path))
    for text in plan.policies:
        load_policy(text)
    jobs = [_Job(plan, text, plan.first_seed + i) for text in plan.policies for i in range(plan.seeds)]
    return carry_out_all(jobs, plan.workers, progress)


def commit() -> str:
    """Return the version that runs, with the commit of its source where it runs from a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return __version__
    found = done.stdout.strip()
    return f"{__version__} ({found})" if done.returncode == 0 and found else __version__
