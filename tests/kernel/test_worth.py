"""Worth of GPU remainders and stranded GPU: the oracle values, and the single-row form against the array form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pilotage import Node, Task, TaskSpec, devices, scorers
from pilotage.engine.state import State
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.worth import HEADROOM, Worth, stranded, stranded_of_one, worth_table
from pilotage.sim.traces.catalogue import load_trace

USUAL = {220: 83, 230: 250, 320: 333, 460: 500, 550: 667, 690: 750, 780: 917, 810: 1000}
SHARED = {230: 250, 460: 500, 550: 750, 780: 1000}


@pytest.mark.parametrize(
    ("trace", "steps", "cpu_per_gpu"),
    [
        ("openb", USUAL, 10_910),
        ("openb:cpu200", USUAL, 10_937),
        ("openb:gpushare40", SHARED, 10_856),
        ("openb:gpuspec25", USUAL, None),
        ("openb:multigpu20", USUAL, 10_720),
    ],
)
def test_the_bundled_traces_have_the_known_worths(trace: str, steps: dict[int, int], cpu_per_gpu: int | None) -> None:
    worth = Worth(load_trace(trace).workload)
    table = worth.worth.tolist()
    assert {r: table[r] for r in range(1, 1001) if table[r] != table[r - 1]} == steps
    if cpu_per_gpu is not None:
        assert round(worth.cpu_per_gpu) == cpu_per_gpu


@pytest.mark.parametrize(
    ("demand", "steps"),
    [
        ({}, {1000: 1000}),
        ({500: 3}, {500: 500, 1000: 1000}),
        ({510: 3}, {510: 1000}),  # two of them never share a GPU: one costs a whole one
        ({300: 1}, {300: 333, 600: 667, 900: 1000}),
        ({600: 1, 400: 1}, {400: 0, 600: 1000}),  # 600 + 400 fill a GPU together, so only their sum is fixed
        ({1: 5}, {10: 10}),
    ],
)
def test_small_mixes_by_hand(demand: dict[int, int], steps: dict[int, int]) -> None:
    table = worth_table(demand)
    assert table[0] == 0
    assert table[1000] == 1000
    assert table == sorted(table)
    if demand == {600: 1, 400: 1}:
        assert table[400] + table[600] == 1000
    elif demand == {1: 5}:
        assert table == [10 * (r // 10) for r in range(1001)]
    else:
        assert {r: table[r] for r in range(1, 1001) if table[r] != table[r - 1]} == steps


@given(st.dictionaries(st.integers(1, 999), st.integers(1, 10_000), max_size=12))
def test_no_pattern_of_shares_is_worth_more_than_a_gpu(demand: dict[int, int]) -> None:
    table = worth_table(demand)
    assert table == sorted(table)
    for first in demand:
        for second in demand:
            if first + second <= 1000:
                # Rounded each to a thousandth, two parts may pass their sum by one.
                assert table[first] + table[second] <= table[min(1000, _up(first) + _up(second))] + 1 or (
                    _up(first) + _up(second) > 1000
                )


def _up(share: int) -> int:
    return -(-share // 10) * 10


@given(st.integers(0, 10**6), st.integers(0, 8_000), st.just(0.0) | st.floats(0.001, 50_000))
def test_stranding_is_the_same_for_one_node_and_for_many(cpu: int, gpu: int, limit: float) -> None:
    many = stranded(np.array([cpu, 0]), np.array([gpu, gpu]), np.array([limit, limit]))
    assert many[0] == stranded_of_one(cpu, gpu, limit)
    assert 0 <= many[0] <= many[1] <= gpu


def test_stranding_by_hand() -> None:
    assert stranded_of_one(8_000, 1000, 8_000.0) == 0.0  # the CPU suffices
    assert stranded_of_one(0, 3000, 8_000.0) == 3000.0  # none is left
    assert stranded_of_one(4_000, 1000, 8_000.0) == 125.0  # half of it: 1000 x (1/2)^3
    assert stranded_of_one(0, 0, 8_000.0) == 0.0


@st.composite
def clusters(draw: st.DrawFn) -> tuple[State, TaskSpec]:
    state = State()
    for i in range(draw(st.integers(1, 5))):
        gpus = draw(st.sampled_from([0, 1, 2, 8]))
        cpu = draw(st.integers(0, 128_000))
        state.add_node(Node(name=f"n{i}", capacity={"cpu": cpu, "tasks": 99}, gpus=gpus))
        for j in range(draw(st.integers(0, 3)) if gpus else 0):
            spec = TaskSpec(demand={"cpu": draw(st.integers(0, 40_000))}, gpus=1, gpu_share=draw(st.integers(1, 1000)))
            state.place(Task(id=f"t{i}-{j}", spec=spec), i, (draw(st.integers(0, gpus - 1)),), known=True)
    if draw(st.booleans()):
        state.expect(replace(load_trace("openb").workload, leaves=draw(st.booleans())))
    gpus = draw(st.sampled_from([0, 1, 1, 2]))
    share = draw(st.integers(1, 1000)) if gpus == 1 else 1000
    return state, TaskSpec(demand={"cpu": draw(st.integers(0, 40_000))}, gpus=gpus, gpu_share=share)


@given(clusters())
def test_one_row_scores_as_all_rows(drawn: tuple[State, TaskSpec]) -> None:
    state, spec = drawn
    columns, scorer = state.columns, scorers.worth_and_stranding()
    fragment = scorer.fragment(Task(id="new", spec=spec))
    together = scorer.score(fragment, Nodes.all(columns)).tolist()
    assert [scorer.score_row(fragment, columns, row) for row in range(columns.n)] == together


def test_the_gpu_that_loses_the_least_worth_is_taken() -> None:
    state = State()
    state.add_node(Node(name="n", capacity={"cpu": 64_000}, gpus=3))
    state.expect(load_trace("openb").workload)
    for gpu, taken in ((0, 540), (1, 190)):
        spec = TaskSpec(gpus=1, gpu_share=taken)
        state.place(Task(id=f"old-{gpu}", spec=spec), 0, (gpu,))
    # Left: 460, 810, 1000. A 230 takes 500 -> 250, 1000 -> 667 (580 left) or 1000 -> 750 (770 left).
    new = Task(id="new", spec=TaskSpec(gpus=1, gpu_share=230))
    assert devices.least_worth.choose(new, state.columns, 0, seed=0) == (0,)
    two = Task(id="two", spec=TaskSpec(gpus=1))
    assert devices.least_worth.choose(two, state.columns, 0, seed=0) == (2,)


def test_a_whole_gpu_is_broken_last_where_tasks_leave() -> None:
    usual = load_trace("openb").workload
    for leaves, gpu, cost in ((False, 0, 250), (True, 1, 250)):
        state = State()
        state.add_node(Node(name="n", capacity={"cpu": 64_000}, gpus=2))
        state.expect(replace(usual, leaves=leaves))
        state.place(Task(id="old", spec=TaskSpec(gpus=1, gpu_share=540)), 0, (1,))
        # A 230 takes 500 -> 250 from the 460 that are left, and 1000 -> 750 from the whole GPU: the same.
        new = Task(id="new", spec=TaskSpec(gpus=1, gpu_share=230))
        assert devices.least_worth.choose(new, state.columns, 0, seed=0) == (gpu,)
        scorer = scorers.worth_and_stranding()
        assert scorer.score_row(scorer.fragment(new), state.columns, 0) == -cost // 50
        state.add_node(Node(name="untouched", capacity={"cpu": 64_000}, gpus=2))
        assert scorer.score_row(scorer.fragment(new), state.columns, 1) == -(cost + 100 * leaves) // 50


def test_without_a_mix_a_remainder_is_worth_itself() -> None:
    worth = Worth(None)
    assert worth.worth.tolist() == list(range(1001))
    # Any node's own ratio bounds the CPU per GPU then: half of 0.9 x 8 cores beside one GPU strands an eighth of it.
    limits = worth.limits(HEADROOM * np.array([8_000]) / np.array([1]))
    assert stranded(np.array([3_600]), np.array([1000]), limits).tolist() == [125.0]
