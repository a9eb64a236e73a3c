"""Equal input gives equal bytes: in one process, in another, on a processor without vector instructions."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from numpy._core import _multiarray_umath as cpu

from pilotage.engine.engine import Engine
from pilotage.kernel.policies import NAMED, named
from pilotage.model.events import NodeAdded, TaskSubmitted
from pilotage.model.node import Node
from pilotage.model.task import Task, TaskSpec
from pilotage.testing.strategies import events
from tests.engine.digest import digests
from tests.engine.dump import engine_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def here() -> dict[str, str]:
    return digests()


def elsewhere(**environment: str) -> dict[str, str]:
    """The digests as another process finds them."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.digest"],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split() for line in done.stdout.splitlines())


def test_the_policies_differ(here) -> None:
    assert len(set(here.values())) == len(here) == len(NAMED) + 1


def test_without_vector_instructions_the_bytes_are_the_same(here) -> None:
    switchable = [name for name in cpu.__cpu_dispatch__ if cpu.__cpu_features__[name]]
    without = elsewhere(NPY_DISABLE_CPU_FEATURES=" ".join(switchable))
    assert without == here, f"numpy {np.__version__} without {switchable}"


@pytest.mark.parametrize("hash_seed", ["1", "4242"])
def test_under_another_hash_seed_the_bytes_are_the_same(here, hash_seed) -> None:
    assert elsewhere(PYTHONHASHSEED=hash_seed) == here


@given(events())
def test_equal_histories_make_equal_engines(history) -> None:
    engines = [Engine(named("kubernetes"), seed=5) for _ in range(2)]
    outcomes = []
    for engine in engines:
        seen = []
        for now, event in enumerate(history):
            engine.apply(event, float(now))
            if now % 3 == 2:
                seen += engine.decide(float(now))
        outcomes.append((seen + engine.decide(1e6), engine_of(engine)))
    assert outcomes[0] == outcomes[1]


def test_another_seed_makes_another_random_choice() -> None:
    history = [NodeAdded(Node(name=f"n{i}", capacity={})) for i in range(30)]
    history += [TaskSubmitted(Task(id=f"t{i}", spec=TaskSpec())) for i in range(10)]

    def tried(seed: int) -> tuple[str, ...]:
        engine = Engine(named("random"), seed=seed)
        for event in history:
            engine.apply(event)
        return tuple(effect.node for effect in engine.decide())

    assert tried(1) == tried(1)
    assert len({tried(seed) for seed in range(5)}) == 5
