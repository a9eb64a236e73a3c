"""Values that can not be used are refused with the name of their field."""

from collections.abc import Callable
from typing import Any

import pytest

from pilotage.engine.waiting import Backoff
from pilotage.model.errors import InvalidInput
from pilotage.model.expression import Expression, Operator
from pilotage.model.node import Node
from pilotage.model.queue import Queue
from pilotage.model.task import HostPort, Preference, Task, TaskSpec, Term
from pilotage.model.workload import MAX_WEIGHT, Workload, head_workload

NAN = float("nan")
BAD_AMOUNTS = (-1, True, False, 1.0, NAN, float("inf"), "4", None, 2**53 + 1, 10**30)


def field_of(make: Callable[[], Any]) -> str:
    with pytest.raises(InvalidInput) as refusal:
        make()
    assert str(refusal.value) == f"{refusal.value.field}: {refusal.value.reason}"
    return refusal.value.field


@pytest.mark.parametrize("amount", BAD_AMOUNTS)
def test_amounts_are_whole_numbers_that_fit(amount) -> None:
    assert field_of(lambda: Node(name="n", capacity={"cpu": 1, "memory": amount})) == "capacity.memory"
    assert field_of(lambda: TaskSpec(demand={"fpga": amount})) == "demand.fpga"
    assert field_of(lambda: Node(name="n", capacity={}, gpus=amount)) == "gpus"
    assert field_of(lambda: TaskSpec(gpus=amount)) == "gpus"
    assert field_of(lambda: TaskSpec(gpus=1, gpu_share=amount)) == "gpu_share"


@pytest.mark.parametrize("amount", [0, 1, 2**53])
def test_the_smallest_and_the_largest_amount_are_good(amount) -> None:
    assert Node(name="n", capacity={"cpu": amount}).capacity["cpu"] == amount
    assert TaskSpec(demand={"cpu": amount}).demand["cpu"] == amount


def plain(**facts) -> Node:
    return Node(**{"name": "n", "capacity": {}, **facts})


def task(**facts) -> Task:
    return Task(**{"id": "t", "spec": TaskSpec(), **facts})


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: plain(name=""), "name"),
        (lambda: plain(name="x" * 513), "name"),
        (lambda: plain(name=7), "name"),
        (lambda: plain(name=None), "name"),
        (lambda: plain(capacity={"": 1}), "capacity resource"),
        (lambda: plain(capacity={3: 1}), "capacity resource"),
        (lambda: plain(capacity={"gpu": 1000}), "capacity.gpu"),
        (lambda: plain(gpus=2, capacity={"gpu": 1000}), "capacity.gpu"),
        (lambda: plain(gpus=1025), "gpus"),
        (lambda: plain(labels={"": "x"}), "labels key"),
        (lambda: plain(labels={"k": 5}), "labels.k"),
        (lambda: plain(labels={"k": None}), "labels.k"),
        (lambda: plain(labels={"k": "x" * 513}), "labels.k"),
        (lambda: plain(taints="team"), "taints"),
        (lambda: plain(taints=("team",)), "taints"),
        (lambda: TaskSpec(gpus=2, gpu_share=500), "gpu_share"),
        (lambda: TaskSpec(gpus=1, gpu_share=1001), "gpu_share"),
        (lambda: TaskSpec(gpus=1025), "gpus"),
        (lambda: TaskSpec(gpu_models=("T4",)), "gpu_models"),
        (lambda: TaskSpec(gpus=1, gpu_models="V100"), "gpu_models"),
        (lambda: TaskSpec(gpus=1, demand={"gpu": 500}), "demand.gpu"),
        (lambda: TaskSpec(demand={"tasks": 2}), "demand.tasks"),
        (lambda: TaskSpec(node_selector={"k": 1}), "node_selector.k"),
        (lambda: TaskSpec(tolerations=("x",)), "tolerations"),
        (lambda: TaskSpec(ports=(80,)), "ports"),
        (lambda: TaskSpec(ports=HostPort(80)), "ports"),
        (lambda: TaskSpec(node_affinity=Term(())), "node_affinity"),
        (lambda: TaskSpec(preferences=(Term(()),)), "preferences"),
        (lambda: HostPort(0), "ports.port"),
        (lambda: HostPort(65536), "ports.port"),
        (lambda: Preference(-1, Term(())), "preference.weight"),
        (lambda: Preference(101, Term(())), "preference.weight"),
        (lambda: Expression("k", Operator.IN), "affinity.k"),
        (lambda: Expression("k", Operator.NOT_IN, ()), "affinity.k"),
        (lambda: Expression("k", Operator.EXISTS, ("a",)), "affinity.k"),
        (lambda: Expression("k", Operator.GT, ("1", "2")), "affinity.k"),
        (lambda: Expression("k", Operator.LT), "affinity.k"),
        (lambda: Expression("k", Operator.IN, "abc"), "affinity.k"),
        (lambda: Term((Operator.IN,)), "term.expressions"),
        (lambda: task(id=""), "id"),
        (lambda: task(priority=2**31), "priority"),
        (lambda: task(priority=-(2**31) - 1), "priority"),
        (lambda: task(priority=NAN), "priority"),
        (lambda: task(arrival_s=-0.1), "arrival_s"),
        (lambda: task(arrival_s=NAN), "arrival_s"),
        (lambda: task(arrival_s=float("inf")), "arrival_s"),
        (lambda: task(labels={"k": 1}), "labels.k"),
        (lambda: task(gates="wait"), "gates"),
        (lambda: Workload(()), "workload"),
        (lambda: Workload(((TaskSpec(), 0),)), "workload[0].weight"),
        (lambda: Workload(((TaskSpec(), 1), (TaskSpec(), -1))), "workload[1].weight"),
        (lambda: Workload(((TaskSpec(), MAX_WEIGHT), (TaskSpec(), 1))), "workload"),
        (lambda: Backoff(-1.0, 10.0), "backoff"),
        (lambda: Backoff(5.0, 1.0), "backoff"),
        (lambda: Backoff(NAN, 1.0), "backoff"),
        (lambda: Backoff(1.0, float("inf")), "backoff"),
    ],
)
def test_the_error_names_the_field(make, field) -> None:
    assert field_of(make) == field


def test_what_is_left_out_has_a_meaning() -> None:
    node, spec = Node(name="n", capacity={"cpu": 1}, gpus=2), TaskSpec(gpus=1, gpu_share=250)
    assert node.capacity == {"cpu": 1, "gpu": 2000, "tasks": 2**53}
    assert spec.demand == {"gpu": 250, "tasks": 1}
    assert TaskSpec(gpu_share=7).gpu_share == 1000, "without a GPU the share means nothing"


def test_equal_specs_are_equal_however_they_were_written() -> None:
    one = TaskSpec(
        demand={"memory": 2, "cpu": 1}, gpus=1, gpu_models=["T4", "A10", "T4"], ports=[HostPort(2), HostPort(1)]
    )
    other = TaskSpec(
        demand={"cpu": 1, "memory": 2, "tasks": 1, "gpu": 1000},
        gpus=1,
        gpu_models=("A10", "T4"),
        ports=(HostPort(1), HostPort(2)),
    )
    assert one == other
    assert hash(one) == hash(other)


def test_the_head_of_a_workload_is_cut_once_it_covers_enough() -> None:
    small, large, rare = (TaskSpec(demand={"cpu": cpu, "memory": 5}) for cpu in (1, 2, 3))
    head = head_workload([rare, *[small] * 60, *[large] * 39], keep=0.95)
    forgotten = [TaskSpec(demand={"cpu": cpu}) for cpu in (1, 2)]
    assert head == Workload(((forgotten[0], 60), (forgotten[1], 39)))
    assert len(head_workload([rare, *[small] * 60, *[large] * 39], keep=1.0).parts) == 3
    tied = head_workload([large, small, small, large], keep=0.5)
    assert tied == Workload(((forgotten[1], 2),)), "ties: the first seen"


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"name": ""}, "queue.name"),
        ({"name": 5}, "queue.name"),
        ({"parent": None}, "queue.parent"),
        ({"parent": "x" * 513}, "queue.parent"),
        ({"priority": 2**31}, "queue.priority"),
        ({"priority": "high"}, "queue.priority"),
        ({"weight": 0}, "queue.weight"),
        ({"weight": -1}, "queue.weight"),
        ({"weight": 1.5}, "queue.weight"),
        ({"quota": {"cpu": -1}}, "queue.quota.cpu"),
        ({"limit": {"gpu": "all"}}, "queue.limit.gpu"),
        ({"quota": {"cpu": 2}, "limit": {"memory": 0, "cpu": 1}}, "queue.limit.cpu"),
    ],
)
def test_queues(facts, field) -> None:
    assert field_of(lambda: Queue(**{"name": "q", **facts})) == field


def test_a_limit_may_equal_its_quota() -> None:
    assert Queue(name="q", quota={"cpu": 2}, limit={"cpu": 2}).limit["cpu"] == 2


def test_the_queue_of_a_task_is_a_name() -> None:
    assert field_of(lambda: task(queue=None)) == "queue"
    assert field_of(lambda: task(queue="x" * 513)) == "queue"
