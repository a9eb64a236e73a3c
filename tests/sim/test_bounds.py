"""Bounds: the known figures of the bundled traces, and never below what exhaustive search can place."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage import Node, TaskSpec
from pilotage.model.errors import InvalidInput
from pilotage.sim.bounds import bounds
from pilotage.sim.packing_lp import ConfigurationLp, aggregate_lp, node_classes
from pilotage.sim.traces.catalogue import load_trace
from tests.sim.files import NODES, TASKS, write


@pytest.mark.parametrize(
    ("trace", "configuration"),
    [
        ("openb", 96.89),
        ("openb:cpu200", 96.89),
        ("openb:gpushare40", 95.69),
        ("openb:gpuspec25", 96.86),
        ("openb:multigpu20", 97.30),
    ],
)
def test_the_bundled_traces_have_the_known_bounds(trace: str, configuration: float) -> None:
    (found,) = bounds(load_trace(trace))
    assert found.configuration_pct == pytest.approx(configuration, abs=0.02)
    assert found.configuration_pct <= found.aggregate_pct <= found.arrived_so_far_pct + 1e-6
    assert 99.8 < found.arrived_so_far_pct <= 100


def test_a_bound_grows_with_what_arrives_and_starts_as_all_of_it() -> None:
    found = bounds(load_trace("openb"), (50, 97, 100, 130))
    values = [one.configuration_pct for one in found]
    assert values == sorted(values)
    assert values[0] == pytest.approx(found[0].arrived_so_far_pct, abs=1e-6)
    assert values[1] < found[1].arrived_so_far_pct
    # Columns of one load serve the next: another order gives the same bounds.
    assert bounds(load_trace("openb"), (100,))[0].configuration_pct == pytest.approx(values[2], abs=0.002)


if TYPE_CHECKING:
    from pathlib import Path

SPECS = st.builds(
    lambda cpu, gpus, share, model: TaskSpec(
        demand={"cpu": cpu}, gpus=gpus, gpu_share=share if gpus == 1 else 1000, gpu_models=(model,) if model else ()
    ),
    st.sampled_from([0, 500, 1000, 4000]),
    st.sampled_from([1, 1, 1, 2]),
    st.integers(1, 1000),
    st.sampled_from(["", "", "A", "B"]),
)
NODES_DRAWN = st.lists(
    st.tuples(st.sampled_from("AB"), st.sampled_from([1000, 4000]), st.integers(1, 2)), min_size=1, max_size=2
)


@given(st.lists(SPECS, min_size=1, max_size=5), NODES_DRAWN)
def test_no_placement_passes_the_bounds(tasks: list[TaskSpec], drawn: list[tuple[str, int, int]]) -> None:
    nodes = [
        Node(name=f"n{i}", capacity={"cpu": cpu}, gpus=gpus, gpu_model=model)
        for i, (model, cpu, gpus) in enumerate(drawn)
    ]
    classes, specs = node_classes(nodes), list(dict.fromkeys(tasks))
    counts = [tasks.count(spec) for spec in specs]
    pooled = aggregate_lp(classes, specs)
    pooled.expect(counts)
    aggregate = pooled.solve()[0]
    configuration = ConfigurationLp(classes, specs).bound(counts)
    best = most_gpu(tuple(tasks), tuple((model, cpu, (1000,) * gpus) for model, cpu, gpus in drawn))
    assert best / 1000 <= configuration + 1e-6
    assert configuration <= aggregate + 1e-4


@cache
def most_gpu(tasks: tuple[TaskSpec, ...], nodes: tuple[tuple[str, int, tuple[int, ...]], ...]) -> int:
    """The most GPU share that some of the tasks can take together, by trying everything."""
    if not tasks:
        return 0
    spec, rest = tasks[0], tasks[1:]
    best = most_gpu(rest, nodes)
    for i, (model, cpu, gpus) in enumerate(nodes):
        fits = [g for g, left in enumerate(gpus) if left >= spec.gpu_share]
        if (
            spec.demand.get("cpu", 0) > cpu
            or len(fits) < spec.gpus
            or (spec.gpu_models and model not in spec.gpu_models)
        ):
            continue
        for choice in [fits] if spec.gpus > 1 else [[g] for g in fits]:
            left = tuple(free - (spec.gpu_share if g in choice[: spec.gpus] else 0) for g, free in enumerate(gpus))
            after = (*nodes[:i], (model, cpu - spec.demand.get("cpu", 0), left), *nodes[i + 1 :])
            best = max(best, spec.demand["gpu"] + most_gpu(rest, after))
    return best


def test_a_trace_with_times_or_without_gpus_has_no_such_bound(tmp_path: Path) -> None:
    timed = write(tmp_path, "timed.csv", TASKS + "a,1,0,5,,,,,,\n")
    still = write(tmp_path, "still.csv", "id,cpu_milli\na,1\n")
    nodes = write(tmp_path, "nodes.csv", NODES + "n,1000,,,,,,\n")
    with pytest.raises(InvalidInput, match=r"timed\.csv has times"):
        bounds(load_trace(timed, nodes=nodes))
    with pytest.raises(InvalidInput, match="has no GPUs"):
        bounds(load_trace(still, nodes=nodes))
