"""Nodes are visited one of each zone in turn, from where the last decision stopped, and only until there are enough."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.engine.engine import Engine
from pilotage.engine.rotation import REGION_LABEL, Rotation, zone_of
from pilotage.kernel import filters, scorers
from pilotage.kernel.plugins.affinity import PinnedNodes
from pilotage.kernel.policy import Policy
from pilotage.kernel.sampling import Sampling
from pilotage.model.errors import InvalidInput
from pilotage.model.events import NodeAdded, NodeRemoved, TaskSubmitted
from pilotage.model.node import ZONE_LABEL, Node
from pilotage.model.task import Task, TaskSpec, Term


def node(name: str, zone: str = "", cpu: int = 1000) -> Node:
    return Node(name=name, capacity={"cpu": cpu, "memory": 100}, labels={ZONE_LABEL: zone} if zone else {})


def naive(zones: dict[str, list[int]]) -> list[int]:
    """One of each zone in turn."""
    order = []
    for i in range(max(map(len, zones.values()), default=0)):
        order += [rows[i] for rows in zones.values() if i < len(rows)]
    return order


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["", "a", "b", "c", "gone"])), max_size=40))
def test_the_order_is_one_of_each_zone_in_turn(moves: list[tuple[int, str]]) -> None:
    rotation, zones, order = Rotation(), {}, []
    for row, zone in moves:
        before = next((z for z, rows in zones.items() if row in rows), None)
        if zone == "gone":
            rotation.drop(row)
        else:
            rotation.write(row, node(f"n{row}", zone))
        if before is not None and before != zone:
            zones[before].remove(row)
            if not zones[before]:
                del zones[before]
        if zone != "gone" and before != zone:
            zones.setdefault(zone, []).append(row)
        if zone == "gone" or before is None:
            order = naive(zones)
            rotation.settle()
        assert rotation.order.tolist() == order
        assert len(rotation) == len(order)


def test_what_only_looks_does_not_settle_the_order() -> None:
    rotation = Rotation()
    for row, zone in enumerate("aab"):
        rotation.write(row, node(f"n{row}", zone))
    assert rotation.order.tolist() == [0, 2, 1]
    rotation.write(0, node("n0", "c"))
    assert rotation.order.tolist() == [1, 2, 0], "no decision was made on the order before"
    rotation.settle()
    rotation.write(1, node("n1", "c"))
    assert rotation.order.tolist() == [1, 2, 0], "one was"
    rotation.drop(2)
    assert rotation.order.tolist() == [0, 1]


def test_the_order_in_force_survives_a_checkpoint() -> None:
    rotation, again, settled = Rotation(), Rotation(), Rotation()
    nodes = [node(f"n{row}", zone) for row, zone in enumerate("aab")]
    for row, each in enumerate(nodes):
        rotation.write(row, each)
    again.restore(rotation.checkpoint(), nodes)
    rotation.settle()
    nodes[0] = node("n0", "b")
    for each in (rotation, again):
        each.write(0, nodes[0])
    assert rotation.order.tolist() == [0, 2, 1], "a decision had settled it"
    assert again.order.tolist() == [1, 2, 0], "nothing had"
    settled.restore(rotation.checkpoint(), nodes)
    assert settled.order.tolist() == [0, 2, 1]
    settled.drop(2)
    assert settled.order.tolist() == [1, 0]


def test_old_zone_labels_win_over_new_ones() -> None:
    beta = "failure-domain.beta.kubernetes.io/"
    labels = {ZONE_LABEL: "new", f"{beta}zone": "old", REGION_LABEL: "r"}
    assert zone_of(labels) == ("r", "old")
    assert zone_of({f"{beta}region": ""} | labels) == ("", "old")
    assert zone_of({}) == ("", "")


@pytest.mark.parametrize(
    ("nodes", "percentage", "wanted"),
    [(10, 0, 10), (99, 1, 99), (100, 0, 100), (1000, 0, 420), (6000, 0, 300), (1000, 40, 400), (20_000, 0, 1000)],
)
def test_the_number_of_nodes_wanted_is_that_of_the_releases_table(nodes: int, percentage: int, wanted: int) -> None:
    assert Sampling(percentage).wanted(nodes) == wanted


def test_a_percentage_is_from_0_to_100() -> None:
    with pytest.raises(InvalidInput, match="percentage"):
        Sampling(101)


def engine(count: int, percentage: int, *, scored: bool = True) -> Engine:
    policy = Policy(
        filters=[PinnedNodes(), *filters.DEFAULT],
        scorers=[(scorers.least_allocated(), 1)] if scored else [],
        tie="heap",
        sampling=Sampling(percentage),
    )
    made = Engine(policy)
    for i in range(count):
        made.apply(NodeAdded(node(f"n{i}", "abc"[i % 3] if i < 30 else "")))
    return made


def decide(made: Engine, name: str, **spec: object) -> tuple[str, int]:
    made.apply(TaskSubmitted(Task(id=name, spec=TaskSpec(**{"demand": {"cpu": 600}, **spec}))))
    (effect,) = made.decide()
    return effect.decision.node, effect.decision.feasible


def test_each_decision_goes_on_where_the_last_one_stopped() -> None:
    made = engine(300, 40)
    names = [made.state.columns.names[row] for row in made.state.rotation.order]
    taken, start = set(), 0
    for i in range(8):  # a node takes one task: it is visited again, but feasible no more
        visit = names[start:] + names[:start]
        free = [name for name in visit if name not in taken]
        chosen, feasible = decide(made, f"t{i}")
        assert feasible == 120
        assert chosen == free[0], "all are equal, so the first is the root of the heap"
        taken.add(chosen)
        start = (start + visit.index(free[120])) % 300
        assert made.state.rotation.start == start


def test_all_nodes_are_looked_at_below_a_hundred_and_the_start_stays() -> None:
    made = engine(60, 5)
    for i in range(3):
        assert decide(made, f"t{i}")[1] == 60 - i
        assert made.state.rotation.start == 0


def test_without_scorers_the_first_feasible_node_will_do() -> None:
    made = engine(150, 0, scored=False)
    order = [made.state.columns.names[row] for row in made.state.rotation.order]
    assert [decide(made, f"t{i}") for i in range(4)] == [(name, 1) for name in order[:4]]


def test_pinned_nodes_are_all_that_is_looked_at() -> None:
    made = engine(200, 0)
    pinned = (Term(names=("n7", "n9", "nobody")),)
    assert decide(made, "t", node_affinity=pinned)[1] == 2
    assert made.state.rotation.start == 2
    made.apply(TaskSubmitted(Task(id="late", spec=TaskSpec(demand={"cpu": 9999}, node_affinity=pinned))))
    (effect,) = made.decide()
    assert {reason: n for _, reason, n in effect.decision.rejections} == {
        "node(s) didn't satisfy plugin(s) [NodeAffinity]": 198,
        "Insufficient cpu": 2,
    }


def test_a_cluster_that_shrinks_below_a_hundred_nodes_is_scored_whole() -> None:
    made = engine(130, 0)
    assert decide(made, "t0")[1] == 100
    for i in range(40, 80):
        made.apply(NodeRemoved(f"n{i}"))
    assert decide(made, "t1")[1] >= 89
    assert decide(made, "t2")[1] >= 88
