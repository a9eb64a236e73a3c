"""Scorers, case by case, with the expected numbers worked out by hand from the published formulas."""

import pytest

from pilotage.kernel import scorers
from pilotage.kernel.plugins.balanced import Balanced
from pilotage.model.errors import InvalidInput
from pilotage.model.expression import Expression, Operator
from pilotage.model.node import Node, Taint, TaintEffect
from pilotage.model.task import Preference, TaskSpec, Term, Toleration
from tests.kernel.ask import score, twin_of

EMPTY = TaskSpec()


def node(**capacity: int) -> Node:
    return Node(name="n", capacity=capacity)


def asks(**demand: int) -> TaskSpec:
    return TaskSpec(demand=demand)


@pytest.mark.parametrize(
    ("demand", "capacity", "used", "least", "most"),
    [
        ({}, {"cpu": 4000, "memory": 10_000}, {}, 100, 0),
        # cpu (4000 - 3000) x 100 / 4000 = 25, memory 50: 75 / 2 = 37; most 75 and 50: 125 / 2 = 62
        ({"cpu": 3000, "memory": 5000}, {"cpu": 4000, "memory": 10_000}, {}, 37, 62),
        # 200 / 300 = 66 and 0 / 100 = 0: 66 / 2 = 33; most 100 / 300 = 33 and 100: 133 / 2 = 66
        ({"cpu": 100, "memory": 60}, {"cpu": 300, "memory": 100}, {"memory": 40}, 33, 66),
        # more asked for than there is: 0 for least, 100 for most
        ({"cpu": 500, "memory": 0}, {"cpu": 400, "memory": 100}, {}, 50, 50),
        # used beyond the capacity already
        ({"cpu": 0, "memory": 1}, {"cpu": 400, "memory": 100}, {"cpu": 900}, 49, 50),
        # capacity 0 does not count at all
        ({"cpu": 100, "memory": 0}, {"cpu": 400}, {}, 75, 25),
        ({"cpu": 100, "memory": 0}, {}, {}, 0, 0),
        # each part is cut before the mean: 1/3 -> 66 (33), 2/3 -> 33 (66): 99 / 2 = 49
        ({"cpu": 1, "memory": 2}, {"cpu": 3, "memory": 3}, {}, 49, 49),
        # a hundred times the largest amount still is no overflow
        ({"cpu": 0, "memory": 1}, {"cpu": 2**53, "memory": 2**53}, {}, 99, 0),
    ],
)
def test_least_and_most_allocated(demand, capacity, used, least, most) -> None:
    placed = [(asks(**used), ())]
    assert score(scorers.least_allocated(), asks(**demand), node(**capacity), placed) == least
    assert score(scorers.most_allocated(), asks(**demand), node(**capacity), placed) == most


@pytest.mark.parametrize("capacity", [2**46 - 1, 2**46 - 3, 2**46, 2**46 + 1, 3, 97, 101])
def test_a_part_just_below_a_whole_hundredth_is_not_rounded_up(capacity) -> None:
    for hundredth in range(1, 101):
        for part in {-(-hundredth * capacity // 100) - 1, hundredth * capacity // 100}:
            got = score(scorers.most_allocated("cpu"), asks(cpu=part), node(cpu=capacity))
            assert got == part * 100 // capacity, part


def test_allocated_by_weight() -> None:
    # cpu 75 x 3, memory 50 x 1: 275 / 4 = 68
    assert score(scorers.least_allocated(cpu=3, memory=1), asks(cpu=1, memory=5), node(cpu=4, memory=10)) == 68


@pytest.mark.parametrize(
    ("demand", "expected"),
    [
        ({"cpu": 1, "fpga": 1}, (75 * 1 + 50 * 2) // 3),  # fpga counts only for who asks for it
        ({"cpu": 1, "fpga": 0}, 75),
        ({"cpu": 1}, 75),
    ],
)
def test_other_resources_weigh_only_for_tasks_that_ask_for_them(demand, expected) -> None:
    assert score(scorers.least_allocated(cpu=1, fpga=2), asks(**demand), node(cpu=4, fpga=2)) == expected


def test_a_task_that_asks_for_none_of_them_is_not_scored() -> None:
    assert score(scorers.most_allocated("gpu"), asks(cpu=1), Node(name="n", capacity={}, gpus=1)) is None
    assert score(scorers.most_allocated("gpu"), TaskSpec(gpus=1), Node(name="n", capacity={}, gpus=4)) == 25


@pytest.mark.parametrize(
    ("capacity", "used", "expected"),
    [
        # the release's own table: 3000m and 5000 bytes on an empty node
        ({"cpu": 4000, "memory": 10_000}, {}, 68),
        ({"cpu": 6000, "memory": 10_000}, {}, 75),
        # 3/8 and 1/2 before, 6/8 and 1 after: 93 and 87
        ({"cpu": 8000, "memory": 10_000}, {"cpu": 3000, "memory": 5000}, 72),
        # three resources, from even (100) to 1, 1/2, 0 (deviation 0.408248: 59)
        ({"cpu": 3000, "memory": 10_000, "ephemeral-storage": 9}, {}, 54),
    ],
)
def test_balance_changed(capacity, used, expected) -> None:
    scorer = Balanced(tuple(capacity), change=True)
    task = asks(cpu=3000, memory=5000)
    assert score(scorer, task, node(**capacity), [(asks(**used), ())]) == expected


@pytest.mark.parametrize(
    ("resources", "demand", "capacity", "used", "expected"),
    [
        # fractions 3/4 and 1/2: half their difference is 1/8
        (("cpu", "memory"), {"cpu": 3000, "memory": 5000}, {"cpu": 4000, "memory": 10_000}, {}, 87),
        (("cpu", "memory"), {"cpu": 1, "memory": 1}, {"cpu": 4, "memory": 4}, {"cpu": 1, "memory": 1}, 100),
        (("cpu", "memory"), {"cpu": 4, "memory": 0}, {"cpu": 4, "memory": 4}, {}, 50),
        # a fraction is at most 1: 1 and 0
        (("cpu", "memory"), {"cpu": 9, "memory": 0}, {"cpu": 4, "memory": 4}, {}, 50),
        # one resource left: no deviation
        (("cpu", "memory"), {"cpu": 3, "memory": 0}, {"cpu": 4}, {}, 100),
        (("cpu", "memory"), {"cpu": 3, "memory": 0}, {}, {}, 100),
        (("cpu",), {"cpu": 3}, {"cpu": 4}, {}, 100),
        # 1, 0, 1/2: mean 1/2, variance (1/4 + 1/4) / 3 = 1/6, deviation 0.408248
        (("cpu", "memory", "fpga"), {"cpu": 4, "fpga": 1}, {"cpu": 4, "memory": 4, "fpga": 2}, {}, 59),
        # the third has no capacity: the rule of two, 1 and 1/2
        (("cpu", "fpga", "memory"), {"cpu": 4, "memory": 2}, {"cpu": 4, "memory": 4}, {}, 75),
        # 0.1, 0, 0.4, 0.9: deviation 0.35; one float64 addition after the other (compensated: 64)
        (("cpu", "memory", "a", "b"), {"cpu": 1, "a": 4, "b": 9}, {"cpu": 10, "memory": 10, "a": 10, "b": 10}, {}, 65),
        # 1, 1, and nothing of the others asked for: they do not count
        (("cpu", "memory", "a", "b"), {"cpu": 1, "memory": 1}, {"cpu": 1, "memory": 1, "a": 1, "b": 1}, {}, 100),
    ],
)
def test_balanced(resources, demand, capacity, used, expected) -> None:
    assert score(scorers.balanced(*resources), asks(**demand), node(**capacity), [(asks(**used), ())]) == expected


def test_a_task_that_asks_for_nothing_is_not_balanced() -> None:
    assert score(scorers.balanced(), asks(cpu=0, fpga=3), node(cpu=4, memory=4)) is None
    assert score(scorers.balanced(), asks(cpu=0, memory=1), node(cpu=4, memory=4)) is not None


def shaped(points, used: int, capacity: int = 100, demand: int = 0) -> float | None:
    plugin = scorers.requested_to_capacity(points, "cpu")
    return score(plugin, asks(cpu=demand), node(cpu=capacity), [(asks(cpu=used), ())])


RISING, FALLING = [(0, 0), (100, 10)], [(0, 10), (100, 0)]


@pytest.mark.parametrize(
    ("points", "used", "expected"),
    [
        (RISING, 0, 0),
        (RISING, 37, 37),
        (RISING, 100, 100),
        (RISING, 250, 100),  # asked beyond capacity counts as 100 percent
        (FALLING, 0, 100),
        (FALLING, 37, 63),
        (FALLING, 100, 0),
        # falling by 100 over 3: 100 + (0 - 100) x 1 / 3 = 100 - 33, cut toward zero (not 100 - 34)
        ([(0, 10), (3, 0)], 1, 67),
        ([(0, 10), (3, 0)], 2, 34),
        ([(0, 0), (3, 10)], 1, 33),
        ([(0, 0), (3, 10)], 2, 66),
        # before the first and behind the last point
        ([(20, 4), (60, 9)], 0, 40),
        ([(20, 4), (60, 9)], 20, 40),
        ([(20, 4), (60, 9)], 40, 65),
        ([(20, 4), (60, 9)], 90, 90),
        ([(50, 7)], 10, 70),
        ([(50, 7)], 100, 70),
    ],
)
def test_shape(points, used, expected) -> None:
    assert shaped(points, used) == expected


def test_shape_cuts_utilisation_before_the_line() -> None:
    assert shaped(RISING, used=2, capacity=3) == 66
    assert shaped(RISING, used=1, capacity=3, demand=1) == 66


def test_shape_scores_of_zero_leave_the_weights() -> None:
    plugin = scorers.requested_to_capacity(RISING, cpu=1, memory=3)
    spec, full = asks(cpu=50, memory=0), node(cpu=100, memory=100)
    assert score(plugin, spec, full) == 50  # memory is at 0: it does not weigh
    assert score(plugin, asks(cpu=0, memory=0), full) == 0
    assert score(plugin, asks(cpu=50, memory=0), node(memory=100)) == 0  # cpu has no capacity


def test_shape_rounds_the_mean_half_away_from_zero() -> None:
    plugin = scorers.requested_to_capacity(RISING, "cpu", "memory")
    assert score(plugin, asks(cpu=50, memory=51), node(cpu=100, memory=100)) == 51  # 50.5
    assert score(plugin, asks(cpu=50, memory=50), node(cpu=100, memory=100)) == 50
    thirds = scorers.requested_to_capacity(RISING, cpu=2, memory=1)
    assert score(thirds, asks(cpu=50, memory=51), node(cpu=100, memory=100)) == 50  # 50.33
    assert score(thirds, asks(cpu=51, memory=50), node(cpu=100, memory=100)) == 51  # 50.67


@pytest.mark.parametrize(
    "points", [[], [(10, 1), (10, 2)], [(20, 1), (10, 2)], [(0, 11)], [(0, -1)], [(-1, 1)], [(101, 1)]]
)
def test_shapes_that_are_none(points) -> None:
    with pytest.raises(InvalidInput) as refusal:
        scorers.requested_to_capacity(points)
    assert refusal.value.field == "shape.points"


GPU_NODE = Node(name="n", capacity={"cpu": 128_000}, gpus=8)


@pytest.mark.parametrize(
    ("spec", "placed", "expected"),
    [
        (EMPTY, [], 100),
        # 128000 x 64000 / 128000^2 = 1/2; 8000 x 4000 / 8000^2 = 1/2: 100 x (1 - 1/2)
        (TaskSpec(demand={"cpu": 64_000}, gpus=4), [], 50),
        (TaskSpec(demand={"cpu": 128_000}, gpus=8), [], 0),
        # half the CPU left: 64000 x 64000 / 128000^2 = 1/4, and no GPU: 100 x (1 - 1/8) = 87.5
        (TaskSpec(demand={"cpu": 64_000}), [(asks(cpu=64_000), ())], 87),
        (TaskSpec(gpus=1, gpu_share=500), [(TaskSpec(gpus=4), (0, 1, 2, 3))], 98),  # 1 - 4000 x 500 / 64e6 / 2
    ],
)
def test_dot_product(spec, placed, expected) -> None:
    assert score(scorers.dot_product(), spec, GPU_NODE, placed) == expected


@pytest.mark.parametrize(
    ("spec", "placed", "expected"),
    [
        (EMPTY, [], 0),  # 1 - 1/2 - 1/2
        (TaskSpec(demand={"cpu": 64_000}, gpus=4), [], 50),
        (TaskSpec(demand={"cpu": 128_000}, gpus=8), [], 100),
        (TaskSpec(demand={"cpu": 1000}), [(asks(cpu=63_000), ())], 25),
        (TaskSpec(gpus=1, gpu_share=100), [], 0),  # 0.625, cut
        (TaskSpec(demand={"cpu": 192_000}), [], 75),  # less than nothing left raises it: 1 + 1/4 - 1/2
    ],
)
def test_best_fit(spec, placed, expected) -> None:
    assert score(scorers.best_fit(), spec, GPU_NODE, placed) == expected


def test_best_fit_is_cut_downward_below_zero() -> None:
    large = Node(name="n", capacity={"cpu": 128_001}, gpus=8)
    assert score(scorers.best_fit(), EMPTY, large) == -1


SHARE, ONE, TWO = TaskSpec(gpus=1, gpu_share=300), TaskSpec(gpus=1), TaskSpec(gpus=2)


@pytest.mark.parametrize(
    ("spec", "gpus", "placed", "expected"),
    [
        (EMPTY, 4, [], None),
        (SHARE, 4, [], 29),  # all free: max(33 - 4, 4)
        (SHARE, 2, [], 31),
        (ONE, 20, [], 20),  # max(13, 20)
        (TWO, 4, [], 29),
        (SHARE, 4, [(SHARE, (1,))], 93),  # 700 left are 70 percent: 100 - 7
        (SHARE, 4, [(SHARE, (1,)), (TaskSpec(gpus=1, gpu_share=555), (2,))], 96),  # the tightest: 44.5 percent
        (SHARE, 4, [(TaskSpec(gpus=1, gpu_share=701), (0,))], 49),  # does not fit there: opens one
        (SHARE, 4, [(TaskSpec(gpus=1, gpu_share=1), (0,))], 91),  # 99.9 percent: 100 - 9
        (ONE, 4, [(SHARE, (0,))], 49),
        (TWO, 4, [(SHARE, (0,))], 48),
        (TaskSpec(gpus=30), 40, [(SHARE, (0,))], 33),
        (ONE, 4, [(ONE, (0,))], 49),
        (SHARE, 4, [(ONE, (0,))], 49),
    ],
)
def test_gpu_packing(spec, gpus, placed, expected) -> None:
    assert score(scorers.gpu_packing(), spec, Node(name="n", capacity={}, gpus=gpus), placed) == expected


@pytest.mark.parametrize(
    ("spec", "placed", "expected"),
    [
        (EMPTY, [], None),
        (SHARE, [], 12 + 25),  # 25 x 4000 / 8000 = 12.5
        (SHARE, [(asks(cpu=1), ())], 12 + 25),
        (SHARE, [(SHARE, (0,))], 13 + 75),  # 4300 of 8000: 13.4
        (SHARE, [(TaskSpec(gpus=1, gpu_share=999), (0,))], 15 + 75),  # any share is one class
        (SHARE, [(ONE, (0,))], 15 + 0),
        (ONE, [(SHARE, (0,))], 13 + 0),
        (ONE, [(ONE, (0,)), (TWO, (1, 2))], 21 + 50),  # 7000 of 8000
        (TWO, [(ONE, (0,)), (ONE, (1,))], 18 + 0),
        (TWO, [(TWO, (0, 1)), (asks(cpu=1), ())], 18 + 75),
    ],
)
def test_gpu_clustering(spec, placed, expected) -> None:
    assert score(scorers.gpu_clustering(), spec, Node(name="n", capacity={}, gpus=4), placed) == expected


def test_gpu_clustering_forgets_who_left() -> None:
    twin = twin_of(Node(name="n", capacity={}, gpus=4), [(ONE, (0,)), (TWO, (1, 2))])
    plugin, columns = scorers.gpu_clustering(), twin.columns
    columns.add_task(0, TWO, columns.demand_of(TWO), (1, 2), -1)
    assert plugin.score_row(1, columns, 0) == 15 + 75
    columns.add_task(0, ONE, columns.demand_of(ONE), (0,), -1)
    assert plugin.score_row(1, columns, 0) == 12 + 25


PREFER = TaintEffect.PREFER_NO_SCHEDULE


@pytest.mark.parametrize(
    ("tolerations", "unwelcome"),
    [
        ((), 2),
        ((Toleration("a"),), 1),
        ((Toleration("a", effect=PREFER),), 1),
        ((Toleration("a", effect=TaintEffect.NO_SCHEDULE),), 2),  # tolerates another effect only
        ((Toleration(exists=True),), 0),
        ((Toleration(exists=True, effect=TaintEffect.NO_EXECUTE),), 2),
    ],
)
def test_fewest_taints(tolerations, unwelcome) -> None:
    taints = (
        Taint("a", effect=PREFER),
        Taint("b", effect=PREFER),
        Taint("c"),
        Taint("d", effect=TaintEffect.NO_EXECUTE),
    )
    tainted = Node(name="n", capacity={}, taints=taints)
    assert score(scorers.fewest_taints(), TaskSpec(tolerations=tolerations), tainted) == unwelcome


def prefers(weight: int, *values: str) -> Preference:
    return Preference(weight, Term((Expression("k", Operator.IN, values),) if values else ()))


@pytest.mark.parametrize(
    ("preferences", "expected"),
    [
        ((), None),
        ((prefers(0, "a"),), None),
        ((prefers(5),), None),  # an empty term is skipped
        ((prefers(5, "a"),), 5),
        ((prefers(5, "b"),), 0),
        ((prefers(5, "a"), prefers(100, "a", "b"), prefers(7, "c"), prefers(0, "a"), prefers(3)), 105),
    ],
)
def test_preferred_affinity(preferences, expected) -> None:
    labelled = Node(name="n", capacity={}, labels={"k": "a"})
    assert score(scorers.preferred_affinity(), TaskSpec(preferences=preferences), labelled) == expected


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: scorers.least_allocated(cpu=0), "least_allocated.cpu"),
        (lambda: scorers.least_allocated(cpu=101), "least_allocated.cpu"),
        (lambda: scorers.most_allocated(cpu=-1), "most_allocated.cpu"),
        (lambda: scorers.most_allocated(memory=1.5), "most_allocated.memory"),
        (lambda: scorers.most_allocated(memory=True), "most_allocated.memory"),
        (lambda: scorers.best_fit({}), "best_fit"),
        (lambda: scorers.best_fit({"cpu": 0}), "best_fit.cpu"),
        (lambda: scorers.dot_product({"cpu": 2**53 + 1}), "dot_product.cpu"),
    ],
)
def test_weights_and_norms_that_make_no_sense(make, field) -> None:
    with pytest.raises(InvalidInput) as refusal:
        make()
    assert refusal.value.field == field
