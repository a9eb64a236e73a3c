"""The mix of tasks, learned from what arrives."""

import itertools

import numpy as np
import pytest

from pilotage.engine.engine import Engine
from pilotage.engine.mix import ENOUGH, HALF_WINDOW, LOOK_EVERY, MixLearner
from pilotage.kernel.policies import named
from pilotage.kernel.policies.pilotage import pilotage_learned
from pilotage.model.events import NodeAdded, TaskFinished, TaskPlaced, TaskSubmitted, WorkloadExpected
from pilotage.model.node import Node
from pilotage.model.task import Task, TaskSpec
from pilotage.model.workload import Workload, head_workload

SHARES = [TaskSpec(demand={"cpu": 1000}, gpus=1, gpu_share=share) for share in range(50, 1000, 50)]
OTHERS = [TaskSpec(demand={"cpu": 9000, "memory": 7}, gpus=2, gpu_models=("T4",)), TaskSpec(demand={"cpu": 5})]


def drawn(specs: list[TaskSpec], many: int, seed: int) -> list[TaskSpec]:
    return [specs[i] for i in np.random.default_rng(seed).integers(len(specs), size=many)]


def learned(learner: MixLearner, specs: list[TaskSpec]) -> list[tuple[int, Workload]]:
    """When (arrivals seen) another mix was to be expected, and which."""
    return [(learner.seen, mix) for spec in specs if (mix := learner.note(spec)) is not None]


def test_there_is_no_mix_until_enough_have_arrived_and_then_it_is_theirs() -> None:
    specs = drawn(SHARES, ENOUGH, seed=1)
    learner = MixLearner()
    assert learned(learner, specs[:-1]) == []
    assert learned(learner, specs[-1:]) == [(ENOUGH, head_workload(specs))]


def test_a_steady_mix_is_derived_again_only_as_the_sample_doubles() -> None:
    when = [seen for seen, _ in learned(MixLearner(), drawn(SHARES, 100_000, seed=2))]
    assert when[0] == ENOUGH
    assert len(when) == 5
    assert all(2 <= later / sooner < 2.1 for sooner, later in itertools.pairwise(when))


def test_a_mix_that_drifts_is_followed_and_what_was_before_is_forgotten() -> None:
    learner = MixLearner()
    learned(learner, drawn(SHARES, 20_000, seed=3))
    changes = learned(learner, drawn(OTHERS, 2 * HALF_WINDOW + LOOK_EVERY, seed=4))
    # A tenth of the window must be new before that is no chance; it then takes a look to be seen.
    assert changes[0][0] - 20_000 < 0.1 * 2 * HALF_WINDOW + 2 * LOOK_EVERY
    last = {spec for spec, _ in changes[-1][1].parts}
    assert {(spec.demand["cpu"], spec.gpus, spec.gpu_models) for spec in last} == {(9000, 2, ("T4",)), (5, 0, ())}


def test_what_is_kept_does_not_grow_with_what_arrives() -> None:
    learner = MixLearner()
    for cpu in range(5 * HALF_WINDOW):
        learner.note(TaskSpec(demand={"cpu": cpu}))
    assert len(learner._older) + len(learner._newer) <= 2 * HALF_WINDOW + LOOK_EVERY


def engine_of(policy: str) -> Engine:
    engine = Engine(named(policy))
    engine.apply(NodeAdded(Node(name="n", capacity={"cpu": 10**9}, gpus=8)))
    return engine


def arrive(engine: Engine, specs: list[TaskSpec], prefix: str = "t") -> None:
    for i, spec in enumerate(specs):
        engine.apply(TaskSubmitted(Task(id=f"{prefix}{i}", spec=spec)))


TOLD = Workload(((SHARES[0], 1),))


@pytest.mark.parametrize("policy", ["pilotage", "pilotage-learned", "fgd"])
def test_an_engine_that_nobody_tells_learns(policy: str) -> None:
    engine, specs = engine_of(policy), drawn(SHARES, ENOUGH, seed=5)
    arrive(engine, specs[:-1])
    assert engine.state.columns.workload is None
    engine.decide()  # and it decides meanwhile
    arrive(engine, specs[-1:], prefix="last")
    assert engine.state.columns.workload == head_workload(specs)


def test_who_is_told_listens_unless_the_policy_always_learns() -> None:
    specs = drawn(SHARES, ENOUGH, seed=6)
    for policy, mix in (("pilotage", TOLD), ("pilotage-learned", head_workload(specs))):
        engine = engine_of(policy)
        engine.apply(WorkloadExpected(TOLD))
        arrive(engine, specs)
        assert engine.state.columns.workload == mix


def test_a_policy_that_looks_at_no_mix_is_not_bothered_with_one() -> None:
    engine = engine_of("bestfit")
    arrive(engine, drawn(SHARES, ENOUGH, seed=7))
    assert engine.state.columns.workload is None


def test_tasks_that_run_already_count_once() -> None:
    engine = engine_of("pilotage")
    for i in range(ENOUGH - 1):
        engine.apply(TaskPlaced(Task(id=f"t{i}", spec=OTHERS[1]), "n"))
    # One that was submitted to us and then placed by somebody else is no second arrival.
    engine.apply(TaskSubmitted(Task(id="both", spec=OTHERS[1])))
    assert engine.state.columns.workload is not None
    again = engine_of("pilotage")
    for i in range(ENOUGH // 2):
        again.apply(TaskSubmitted(Task(id=f"t{i}", spec=OTHERS[1])))
        again.apply(TaskPlaced(Task(id=f"t{i}", spec=OTHERS[1]), "n"))
        again.apply(TaskFinished(f"t{i}"))
    assert again.state.columns.workload is None


def test_tasks_that_leave_are_learned_too_and_kept_in_a_checkpoint() -> None:
    learner, specs = MixLearner(), drawn(SHARES, ENOUGH + 2 * LOOK_EVERY, seed=8)
    (first,) = learned(learner, specs[:ENOUGH])
    assert not first[1].leaves
    learner.left()
    again = MixLearner()
    again.restore(learner.checkpoint())
    changes = learned(learner, specs[ENOUGH:])
    assert [mix.leaves for _, mix in changes] == [True]
    assert learned(again, specs[ENOUGH:]) == changes


def test_an_engine_sees_tasks_leave() -> None:
    engine = engine_of("pilotage-learned")
    arrive(engine, [OTHERS[1]] * (ENOUGH - 1))
    engine.decide()
    engine.apply(TaskFinished("t0"))
    arrive(engine, [OTHERS[1]], prefix="last")
    workload = engine.state.columns.workload
    assert workload is not None
    assert workload.leaves


def test_a_policy_says_that_it_learns() -> None:
    assert named("pilotage").digest != named("pilotage-learned").digest
    assert "mix=learned" in repr(pilotage_learned())
