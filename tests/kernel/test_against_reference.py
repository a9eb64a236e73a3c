"""Every plugin, asked about random clusters, answers as the reference does: for arrays, for rows, for any subset."""

import numpy as np
from hypothesis import given, note
from hypothesis import strategies as st

from pilotage.kernel import filters, scorers
from pilotage.kernel.columns import Columns
from pilotage.kernel.fragmentation import cluster_fragmentation
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import DeviceRule, Filter, Scorer
from pilotage.kernel.plugins.devices import RandomGpus, Tightest
from pilotage.kernel.plugins.fgd import FragmentationDevices
from pilotage.model.task import Task
from pilotage.testing.strategies import tasks
from tests.kernel import reference
from tests.kernel.clusters import Twin, twins

FILTERS: list[tuple[Filter, reference.FilterRule]] = [(f, reference.FILTERS[f.name]) for f in filters.DEFAULT]

RISING, FALLING, BENT = [(0, 0), (100, 10)], [(0, 10), (100, 0)], [(20, 3), (50, 10), (60, 10), (93, 1)]

SCORERS: list[tuple[Scorer, reference.ScoreRule]] = [
    (scorers.least_allocated(), reference.allocated({"cpu": 1, "memory": 1})),
    (scorers.least_allocated(cpu=3, fpga=7), reference.allocated({"cpu": 3, "fpga": 7})),
    (scorers.least_allocated("fpga", "nothing"), reference.allocated({"fpga": 1, "nothing": 1})),
    (scorers.most_allocated(memory=2, gpu=5), reference.allocated({"memory": 2, "gpu": 5}, most=True)),
    (scorers.balanced(), reference.balanced(["cpu", "memory"])),
    (scorers.balanced("cpu"), reference.balanced(["cpu"])),
    (scorers.balanced("cpu", "memory", "fpga"), reference.balanced(["cpu", "memory", "fpga"])),
    (
        scorers.balanced("memory", "gpu", "cpu", "tasks", "nothing"),
        reference.balanced(["memory", "gpu", "cpu", "tasks", "nothing"]),
    ),
    (scorers.requested_to_capacity(RISING), reference.shape(RISING, {"cpu": 1, "memory": 1})),
    (scorers.requested_to_capacity(FALLING, cpu=3, memory=2), reference.shape(FALLING, {"cpu": 3, "memory": 2})),
    (scorers.requested_to_capacity(BENT, cpu=1, gpu=4), reference.shape(BENT, {"cpu": 1, "gpu": 4})),
    (scorers.exponential_fit(), reference.exponential_fit(spread=False)),
    (scorers.exponential_fit(spread=True), reference.exponential_fit(spread=True)),
    (scorers.dominant_share(), reference.dominant_share),
    (scorers.dot_product(), reference.dot_product),
    (scorers.best_fit(), reference.best_fit),
    (scorers.best_fit({"memory": 3, "gpu": 7}), reference.best_fit_of({"memory": 3, "gpu": 7})),
    (scorers.dot_product({"cpu": 333, "nothing": 1}), reference.dot_product_of({"cpu": 333, "nothing": 1})),
    (scorers.gpu_packing(), reference.gpu_packing),
    (scorers.gpu_clustering(), reference.gpu_clustering),
    (scorers.fewest_taints(), reference.fewest_taints),
    (scorers.image_locality(), reference.image_locality),
    (scorers.preferred_affinity(), reference.preferred_affinity),
    (scorers.random(), reference.random_score),
]


def rows_of(twin: Twin) -> list[int]:
    return [twin.columns.row_of[name] for name in twin.cluster.places]


def view(columns: Columns, rows: list[int], seed: int = 0) -> Nodes:
    return Nodes(columns, np.array(rows, np.int64), seed=seed)


@given(twins(), tasks(), st.randoms(use_true_random=False))
def test_filters_refuse_what_the_reference_refuses(twin: Twin, task: Task, shuffler) -> None:
    rows = rows_of(twin)
    subset = shuffler.sample(rows, k=shuffler.randint(0, len(rows)))
    for plugin, rule in FILTERS:
        note(f"filter {plugin!r}")
        reasons = {twin.columns.row_of[name]: rule(task, place) for name, place in twin.cluster.places.items()}
        fragment = plugin.fragment(task)
        if fragment is None:
            assert not any(reasons.values()), "nothing to say, but the reference refuses"
            continue
        everything = plugin.mask(fragment, Nodes.all(twin.columns))
        assert everything.dtype == np.bool_
        assert everything.shape == (twin.columns.n,)
        assert {row: bool(everything[row]) for row in rows} == {row: not r for row, r in reasons.items()}
        assert [bool(plugin.mask_row(fragment, twin.columns, row)) for row in rows] == [
            bool(everything[r]) for r in rows
        ]
        assert plugin.mask(fragment, view(twin.columns, subset)).tolist() == [bool(everything[r]) for r in subset]
        refused = [row for row in subset if reasons[row]]
        counts: dict[str, int] = {}
        for reason in (reason for row in refused for reason in reasons[row]):
            counts[reason] = counts.get(reason, 0) + 1
        if refused:
            assert plugin.why(fragment, view(twin.columns, refused)) == counts


@given(twins(), tasks(), st.randoms(use_true_random=False))
def test_scorers_give_what_the_reference_gives(twin: Twin, task: Task, shuffler) -> None:
    rows, seed = rows_of(twin), twin.cluster.seed
    subset = shuffler.sample(rows, k=shuffler.randint(0, len(rows)))
    for plugin, rule in SCORERS:
        note(f"scorer {plugin!r}")
        expected = {
            twin.columns.row_of[name]: rule(task, place, twin.cluster) for name, place in twin.cluster.places.items()
        }
        fragment = plugin.fragment(task)
        if fragment is None:
            assert not any(expected.values()), "not scored, but the reference scores"
            continue
        everything = plugin.score(fragment, Nodes(twin.columns, slice(0, twin.columns.n), seed=seed))
        assert everything.shape == (twin.columns.n,)
        assert everything.dtype == np.int64
        assert {row: everything.item(row) for row in rows} == expected
        assert plugin.score(fragment, view(twin.columns, subset, seed)).tolist() == [expected[row] for row in subset]
        if plugin.depends == "row":
            assert [plugin.score_row(fragment, twin.columns, row) for row in rows] == [expected[row] for row in rows]


@given(twins(), tasks(), st.randoms(use_true_random=False))
def test_fgd_scores_what_the_definition_says(twin: Twin, task: Task, shuffler) -> None:
    plugin, rows = scorers.fgd(), rows_of(twin)
    fragment = plugin.fragment(task)
    expected = {}
    for name, place in twin.cluster.places.items():
        fitting = [r for r in place.remainders() if r >= task.gpu_share]
        cpu = task.demand.get("cpu", 0)
        able = (cpu == 0 or place.free("cpu") >= cpu) and len(fitting) >= task.gpus
        expected[twin.columns.row_of[name]] = reference.fgd(task, place, twin.cluster) if able else 0
    everything = plugin.score(fragment, Nodes.all(twin.columns))
    assert {row: everything.item(row) for row in rows} == expected
    subset = shuffler.sample(rows, k=shuffler.randint(0, len(rows)))
    assert plugin.score(fragment, view(twin.columns, subset)).tolist() == [expected[row] for row in subset]
    assert [plugin.score_row(fragment, twin.columns, row) for row in rows] == [expected[row] for row in rows]


@given(twins())
def test_fragmentation_is_the_definition_times_the_total_weight(twin: Twin) -> None:
    workload = twin.cluster.workload
    measured = cluster_fragmentation(Nodes.all(twin.columns), workload)
    for name, place in twin.cluster.places.items():
        exact = reference.fragmentation(place.node, place.free("cpu"), place.remainders(), workload) * workload.total
        assert exact.denominator == 1
        assert measured.item(twin.columns.row_of[name]) == exact


DEVICES: list[tuple[DeviceRule, reference.DeviceChoice]] = [
    (Tightest(), reference.tightest),
    (RandomGpus(), reference.random_gpus),
    (FragmentationDevices(), reference.least_fragmenting),
]


@given(twins(), tasks())
def test_device_rules_take_the_gpus_that_the_reference_takes(twin: Twin, task: Task) -> None:
    for name, place in twin.cluster.places.items():
        if not task.gpus or reference.gpu_fit(task, place):
            continue
        for rule, expected in DEVICES:
            note(f"device rule {rule!r} on {name}")
            chosen = rule.choose(task, twin.columns, twin.columns.row_of[name], twin.cluster.seed)
            assert chosen == expected(task, place, twin.cluster)
            assert all(type(gpu) is int for gpu in chosen)
