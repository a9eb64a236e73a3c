"""Scores stay within what their scorers promise, also on the largest nodes that the model allows."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, note
from hypothesis import strategies as st

from pilotage.kernel import scorers
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.policies import named
from pilotage.model.amounts import MAX_AMOUNT, MAX_GPUS
from pilotage.model.events import NodeAdded, TaskSubmitted, WorkloadExpected
from pilotage.model.node import Node
from pilotage.model.task import Task, TaskSpec
from pilotage.model.workload import Workload
from tests.engine.world import World
from tests.kernel.ask import score, twin_of
from tests.kernel.reference import POLICIES

SCORERS = [
    scorers.least_allocated(cpu=100, memory=100, gpu=1),
    scorers.most_allocated("tasks"),
    scorers.balanced("cpu", "memory", "gpu"),
    scorers.requested_to_capacity([(0, 10), (100, 0)]),
    scorers.best_fit(),
    scorers.exponential_fit(),
    scorers.exponential_fit(spread=True),
    scorers.dominant_share(),
    scorers.gpu_packing(),
    scorers.gpu_clustering(),
    scorers.fgd(),
    scorers.fewest_taints(),
    scorers.preferred_affinity(),
]

extremes = st.sampled_from((0, 1, 2**31, 2**32 + 1, MAX_AMOUNT - 1, MAX_AMOUNT))


@st.composite
def extreme_nodes(draw) -> Node:
    gpus = draw(st.sampled_from((0, 1, 8, 127, 128, 200, MAX_GPUS)))
    return Node(name="n", capacity={"cpu": draw(extremes), "memory": draw(extremes)}, gpus=gpus)


@st.composite
def extreme_specs(draw) -> TaskSpec:
    gpus = draw(st.sampled_from((0, 1, 2, 128, MAX_GPUS)))
    share = draw(st.sampled_from((1, 999, 1000))) if gpus == 1 else 1000
    return TaskSpec(demand={"cpu": draw(extremes), "memory": draw(extremes)}, gpus=gpus, gpu_share=share)


@given(extreme_nodes(), extreme_specs(), st.lists(extreme_specs(), max_size=3))
def test_scores_fit_the_bits_that_their_scorers_declare(node, spec, held) -> None:
    placed = [(each, tuple(range(each.gpus))) for each in held if each.gpus <= node.gpus]
    for resource in ("cpu", "memory"):
        assume(sum(each.demand[resource] for each in (spec, *held)) <= MAX_AMOUNT)
    workload = Workload(((TaskSpec(gpus=1, gpu_share=300), 2**31 - 8), (TaskSpec(gpus=MAX_GPUS), 8)))
    columns = twin_of(node, placed, workload).columns
    for plugin in SCORERS:
        fragment = plugin.fragment(Task(id="t", spec=spec))
        if fragment is None:
            continue
        note(f"{plugin!r}")
        raw = plugin.score(fragment, Nodes.all(columns)).tolist()
        assert raw == [plugin.score_row(fragment, columns, 0)]
        bounds = np.iinfo(f"i{plugin.bits // 8}")
        assert bounds.min <= raw[0] <= bounds.max


@pytest.mark.parametrize("name", ["gpu-packing", "gpu-clustering", "fgd", "bestfit", "kubernetes"])
def test_large_nodes_are_decided_as_the_reference_decides(name) -> None:
    world = World(named(name), POLICIES[name])
    world.apply(WorkloadExpected(Workload(((TaskSpec(gpus=1, gpu_share=300), 3), (TaskSpec(gpus=200), 1)))))
    for gpus in (8, 127, 128, 200, 500):
        world.apply(NodeAdded(Node(name=f"n{gpus}", capacity={"cpu": MAX_AMOUNT, "memory": MAX_AMOUNT}, gpus=gpus)))
    for i, (gpus, share) in enumerate(((2, 1000), (1, 500), (150, 1000), (1, 500), (1, 1000), (400, 1000), (0, 1000))):
        spec = TaskSpec(demand={"cpu": 2**40}, gpus=gpus, gpu_share=share)
        world.apply(TaskSubmitted(Task(id=f"t{i}", spec=spec)))
        world.decide()
    world.check()
    assert len(world.where) >= 6


amounts = st.integers(0, 128_000)


@given(amounts, amounts, st.integers(0, 8), st.integers(0, 8))
def test_float_scores_are_the_floor_of_the_exact_number(cpu, asked, taken, wanted) -> None:
    node = Node(name="n", capacity={"cpu": cpu}, gpus=8)
    placed = [(TaskSpec(gpus=taken), tuple(range(taken)))]
    spec = TaskSpec(demand={"cpu": asked}, gpus=wanted)
    left = 8000 - 1000 * taken
    dot = Fraction(cpu * asked, 128_000**2) + Fraction(left * 1000 * wanted, 8000**2)
    fit = Fraction(cpu - asked, 256_000) + Fraction(left - 1000 * wanted, 16_000)
    for plugin, exact in ((scorers.dot_product(), 100 * (1 - dot / 2)), (scorers.best_fit(), 100 * (1 - fit))):
        found = score(plugin, spec, node, placed)
        # float64 may land on either side where the exact number is (all but) whole
        assert found in (
            math.floor(exact),
            math.floor(exact + Fraction(1, 10**9)),
            math.floor(exact - Fraction(1, 10**9)),
        )


@pytest.mark.parametrize("plugin", [scorers.dot_product(), scorers.dot_product({"memory": 1})])
def test_dot_product_of_absurd_amounts_stays_a_number(plugin) -> None:
    huge = {"cpu": MAX_AMOUNT, "memory": MAX_AMOUNT}
    assert -(2**63) < score(plugin, TaskSpec(demand=huge), Node(name="n", capacity=huge)) < 0
