"""Filters, case by case: the rules of kube-scheduler, and of GPUs."""

import pytest

from pilotage.kernel import filters
from pilotage.model.expression import Expression, Operator
from pilotage.model.node import Node, Taint, TaintEffect
from pilotage.model.task import HostPort, TaskSpec, Term, Toleration
from tests.kernel.ask import admits, reasons, twin_of

NO_SCHEDULE, NO_EXECUTE, PREFER = TaintEffect.NO_SCHEDULE, TaintEffect.NO_EXECUTE, TaintEffect.PREFER_NO_SCHEDULE


def node(**facts) -> Node:
    return Node(**{"name": "n", "capacity": {"cpu": 4000, "memory": 100}, **facts})


def busy(cpu: int = 0, memory: int = 0, **more: int) -> list:
    return [(TaskSpec(demand={"cpu": cpu, "memory": memory, **more}), ())]


@pytest.mark.parametrize(
    ("demand", "capacity", "placed", "fits"),
    [
        ({"cpu": 4000}, {"cpu": 4000}, [], True),
        ({"cpu": 4001}, {"cpu": 4000}, [], False),
        ({"cpu": 1}, {"cpu": 4000}, busy(3999), True),
        ({"cpu": 2}, {"cpu": 4000}, busy(3999), False),
        ({"cpu": 0}, {"cpu": 0}, [], True),
        ({"cpu": 1}, {"cpu": 0}, [], False),
        ({"cpu": 1}, {"memory": 5}, [], False),
        ({"cpu": 0, "memory": 1}, {"cpu": 10, "memory": 1}, busy(20, 0), True),
        ({"cpu": 1, "memory": 1}, {"cpu": 10, "memory": 1}, busy(20, 0), False),
        ({"fpga": 1}, {"fpga": 1}, [], True),
        ({"fpga": 1}, {"cpu": 1}, [], False),
        ({"fpga": 0}, {"cpu": 1}, [], True),
        ({}, {"tasks": 1}, [], True),
        ({}, {"tasks": 1}, busy(), False),
        ({}, {"tasks": 0}, [], False),
        ({"memory": 2**53}, {"memory": 2**53}, [], True),
        ({"memory": 2**53}, {"memory": 2**53}, busy(0, 1), False),
    ],
)
def test_capacity(demand, capacity, placed, fits) -> None:
    assert admits(filters.capacity, TaskSpec(demand=demand), node(capacity=capacity), placed) == fits


def test_capacity_says_every_amount_that_lacks() -> None:
    spec = TaskSpec(demand={"cpu": 5000, "memory": 101, "fpga": 1, "disk": 0})
    lacking = reasons(filters.capacity, spec, node(capacity={"cpu": 4000, "memory": 100, "tasks": 0}))
    assert lacking == dict.fromkeys(
        ("Insufficient cpu", "Insufficient memory", "Insufficient fpga", "Too many tasks"), 1
    )


def test_capacity_leaves_gpus_to_the_filter_of_gpus() -> None:
    assert admits(filters.capacity, TaskSpec(gpus=1), node())
    assert not admits(filters.gpu_fit, TaskSpec(gpus=1), node())


@pytest.mark.parametrize(
    ("asked", "name", "admitted"), [("", "n", True), ("n", "n", True), ("m", "n", False), ("N", "n", False)]
)
def test_node_name(asked, name, admitted) -> None:
    assert admits(filters.node_name, TaskSpec(node_name=asked), node(name=name)) == admitted


@pytest.mark.parametrize(
    ("toleration", "admitted"),
    [
        (None, False),
        (Toleration("node.kubernetes.io/unschedulable", exists=True), True),
        (Toleration("node.kubernetes.io/unschedulable"), True),
        (Toleration("node.kubernetes.io/unschedulable", effect=NO_SCHEDULE), True),
        (Toleration("node.kubernetes.io/unschedulable", effect=NO_EXECUTE), False),
        (Toleration("node.kubernetes.io/unschedulable", value="x"), False),
        (Toleration("node.kubernetes.io/unschedulable", value="x", exists=True), True),
        (Toleration(exists=True), True),
        (Toleration("other", exists=True), False),
    ],
)
def test_cordon(toleration, admitted) -> None:
    spec = TaskSpec(tolerations=(toleration,) if toleration else ())
    assert admits(filters.cordon, spec, node(cordoned=True)) == admitted
    assert admits(filters.cordon, spec, node())


@pytest.mark.parametrize(
    ("taint", "toleration", "admitted"),
    [
        (Taint("k", "v"), Toleration("k", "v"), True),
        (Taint("k", "v"), Toleration("k", "w"), False),
        (Taint("k", "v"), Toleration("k"), False),
        (Taint("k", ""), Toleration("k"), True),
        (Taint("k", "v"), Toleration("k", "w", exists=True), True),
        (Taint("k", "v"), Toleration("", "v"), True),
        (Taint("k", "v"), Toleration("", "", exists=True), True),
        (Taint("k", "v"), Toleration("j", "v"), False),
        (Taint("k", "v"), Toleration("k", "v", effect=NO_SCHEDULE), True),
        (Taint("k", "v"), Toleration("k", "v", effect=NO_EXECUTE), False),
        (Taint("k", "v", NO_EXECUTE), Toleration("k", "v", effect=NO_EXECUTE), True),
        (Taint("k", "v", NO_EXECUTE), Toleration("k", "v"), True),
        (Taint("k", "v", NO_EXECUTE), Toleration("k", "v", effect=PREFER), False),
        (Taint("k", "v", PREFER), Toleration("other"), True),
    ],
)
def test_taints(taint, toleration, admitted) -> None:
    assert admits(filters.taints, TaskSpec(tolerations=(toleration,)), node(taints=(taint,))) == admitted


def test_every_hard_taint_must_be_tolerated() -> None:
    tainted = node(taints=(Taint("a"), Taint("b", effect=PREFER), Taint("c", effect=NO_EXECUTE)))
    assert not admits(filters.taints, TaskSpec(), tainted)
    assert not admits(filters.taints, TaskSpec(tolerations=(Toleration("a"),)), tainted)
    assert admits(filters.taints, TaskSpec(tolerations=(Toleration("a"), Toleration("c"))), tainted)


E = Expression


@pytest.mark.parametrize(
    ("expression", "value", "matches"),
    [
        (E("k", Operator.IN, ("a", "b")), "b", True),
        (E("k", Operator.IN, ("a", "b")), "c", False),
        (E("k", Operator.IN, ("",)), "", True),
        (E("k", Operator.IN, ("",)), None, False),
        (E("k", Operator.NOT_IN, ("a",)), "a", False),
        (E("k", Operator.NOT_IN, ("a",)), "b", True),
        (E("k", Operator.NOT_IN, ("a",)), None, True),
        (E("k", Operator.EXISTS), "", True),
        (E("k", Operator.EXISTS), None, False),
        (E("k", Operator.DOES_NOT_EXIST), None, True),
        (E("k", Operator.DOES_NOT_EXIST), "", False),
        (E("k", Operator.GT, ("3",)), "4", True),
        (E("k", Operator.GT, ("3",)), "3", False),
        (E("k", Operator.LT, ("3",)), "2", True),
        (E("k", Operator.LT, ("3",)), "3", False),
        (E("k", Operator.GT, ("9",)), "10", True),
        (E("k", Operator.LT, ("-1",)), "-2", True),
        (E("k", Operator.GT, ("-2",)), "+7", True),
        (E("k", Operator.GT, ("3",)), "4.0", False),
        (E("k", Operator.GT, ("3",)), " 4", False),
        (E("k", Operator.GT, ("3",)), "1_000", False),
        (E("k", Operator.GT, ("3",)), "0x10", False),
        (E("k", Operator.GT, ("3",)), "\u0664", False),
        (E("k", Operator.GT, ("3",)), "", False),
        (E("k", Operator.GT, ("3",)), None, False),
        (E("k", Operator.LT, ("3",)), None, False),
        (E("k", Operator.GT, ("many",)), "4", False),
        (E("k", Operator.LT, ("many",)), "4", False),
        (E("k", Operator.GT, ("9223372036854775806",)), "9223372036854775807", True),
        (E("k", Operator.GT, ("3",)), "9223372036854775808", False),
        (E("k", Operator.LT, ("3",)), "-9223372036854775808", True),
        (E("k", Operator.LT, ("3",)), "-9223372036854775809", False),
        (E("k", Operator.GT, ("3",)), "0000000000000000000000004", True),
    ],
)
def test_label_expressions(expression, value, matches) -> None:
    spec = TaskSpec(node_affinity=(Term((expression,)),))
    labels = {} if value is None else {"k": value}
    assert admits(filters.node_affinity, spec, node(labels=labels)) == matches
    assert admits(filters.node_affinity, spec, node(labels={**labels, "other": "4"})) == matches


IN_A, IN_B = E("k", Operator.IN, ("a",)), E("k", Operator.IN, ("b",))


@pytest.mark.parametrize(
    ("affinity", "matches"),
    [
        (None, True),
        ((), False),
        ((Term(()),), False),
        ((Term(()), Term((IN_A,))), True),
        ((Term((IN_A,)), Term((IN_B,))), True),
        ((Term((IN_A, IN_B)),), False),
        ((Term((IN_B,)),), False),
    ],
)
def test_terms_are_alternatives_and_their_expressions_are_not(affinity, matches) -> None:
    assert admits(filters.node_affinity, TaskSpec(node_affinity=affinity), node(labels={"k": "a"})) == matches


@pytest.mark.parametrize(
    ("selector", "matches"),
    [({}, True), ({"k": "a"}, True), ({"k": "a", "l": ""}, True), ({"k": "b"}, False), ({"k": "a", "m": ""}, False)],
)
def test_node_selector_wants_every_label(selector, matches) -> None:
    labelled = node(labels={"k": "a", "l": ""})
    assert admits(filters.node_affinity, TaskSpec(node_selector=selector), labelled) == matches
    both = TaskSpec(node_selector=selector, node_affinity=(Term((IN_B,)),))
    assert not admits(filters.node_affinity, both, labelled)


P = HostPort


@pytest.mark.parametrize(
    ("wanted", "taken", "free"),
    [
        (P(80), P(80), False),
        (P(80), P(81), True),
        (P(80), P(80, "UDP"), True),
        (P(80, address="10.0.0.1"), P(80), False),
        (P(80), P(80, address="10.0.0.1"), False),
        (P(80, address="10.0.0.1"), P(80, address="10.0.0.1"), False),
        (P(80, address="10.0.0.1"), P(80, address="10.0.0.2"), True),
        (P(80, "UDP", "10.0.0.1"), P(80, "TCP", "10.0.0.1"), True),
    ],
)
def test_ports(wanted, taken, free) -> None:
    assert admits(filters.ports, TaskSpec(ports=(wanted,)), node(), [(TaskSpec(ports=(taken,)), ())]) == free


def test_a_port_is_free_again_when_its_last_user_has_left() -> None:
    spec = TaskSpec(ports=(P(80),))
    twin = twin_of(node(), [(spec, ()), (spec, ())])
    columns, demand = twin.columns, twin.columns.demand_of(spec)
    answers = []
    for _ in range(2):
        answers.append(filters.ports.mask_row(spec.ports, columns, 0))
        columns.add_task(0, spec, demand, (), -1)
    assert [*answers, filters.ports.mask_row(spec.ports, columns, 0)] == [False, False, True]


def gpu_task(gpus: int, share: int = 1000, *models: str) -> TaskSpec:
    return TaskSpec(gpus=gpus, gpu_share=share, gpu_models=models)


@pytest.mark.parametrize(
    ("spec", "placed", "why"),
    [
        (gpu_task(2), [], {}),
        (gpu_task(3), [], {"Insufficient gpu": 1}),
        (gpu_task(1, 400), [(gpu_task(1, 600), (0,)), (gpu_task(1, 601), (1,))], {}),
        (gpu_task(1, 400), [(gpu_task(1, 601), (0,)), (gpu_task(1, 601), (1,))], {"Insufficient gpu": 1}),
        (gpu_task(2), [(gpu_task(1, 1), (1,))], {"Insufficient gpu": 1}),
        (gpu_task(1, 1000, "T4"), [], {}),
        (gpu_task(1, 1000, "A10", "T4"), [], {}),
        (gpu_task(1, 1000, "A10"), [], {"GPU model not allowed": 1}),
        (gpu_task(9, 1000, "A10"), [], {"GPU model not allowed": 1}),
    ],
)
def test_gpus(spec, placed, why) -> None:
    server = node(gpus=2, gpu_model="T4")
    assert admits(filters.gpu_fit, spec, server, placed) == (not why)
    if why:
        assert reasons(filters.gpu_fit, spec, server, placed) == why


def test_a_gpu_that_went_away_counts_no_more_and_the_rest_stays_in_use() -> None:
    twin = twin_of(node(gpus=3), [(gpu_task(1, 700), (1,)), (gpu_task(1), (2,))])
    twin.update(node(gpus=1))
    assert twin.columns.gpu_free[:, 0].tolist() == [1000, -700, -1000]
    answers = [filters.gpu_fit.mask_row((count, 1000, ()), twin.columns, 0) for count in (1, 2)]
    twin.update(node(gpus=3))
    assert twin.columns.gpu_free[:, 0].tolist() == [1000, 300, 0]
    assert answers == [True, False]
