"""The state: rows of nodes, placements, and transactions that leave nothing behind."""

import pytest

from pilotage.engine.state import Overcommitted, State
from pilotage.kernel.plugin import Group
from pilotage.kernel.plugins.gpu_clustering import GpuClustering
from pilotage.model.errors import InvalidInput
from pilotage.model.node import Node, Taint
from pilotage.model.task import HostPort, Task, TaskSpec
from pilotage.model.workload import Workload
from tests.engine.dump import state_of


def node(name: str, **facts) -> Node:
    return Node(**{"name": name, "capacity": {"cpu": 1000, "memory": 100}, "gpus": 2, **facts})


def task(name: str, **facts) -> Task:
    return Task(id=name, spec=TaskSpec(**facts))


def state_with(*names: str) -> State:
    state = State((GpuClustering(),))
    for name in names:
        state.add_node(node(name))
    return state


SHARED = {"gpus": 1, "gpu_share": 400, "demand": {"cpu": 10}, "ports": (HostPort(80),)}


# ---------------------------------------------------------------- nodes


def test_rows_are_given_in_the_order_of_joining() -> None:
    state = state_with("b", "a", "c")
    assert [state.row_of(name) for name in ("b", "a", "c")] == [0, 1, 2]
    assert state.columns.order[:3].tolist() == [0, 1, 2]
    assert state.in_order


def test_a_freed_row_is_used_again_with_a_new_generation_at_the_end_of_the_order() -> None:
    state = state_with("a", "b")
    state.remove_node("a")
    assert not state.columns.alive[0]
    assert state.add_node(node("c")) == 0
    assert state.generation == [2, 1]
    assert state.columns.order[:2].tolist() == [2, 1]
    assert not state.in_order
    assert state.columns.n == 2


def test_a_freed_row_is_blank() -> None:
    state = state_with()
    state.add_node(node("a", gpu_model="T4", labels={"k": "v"}, taints=(Taint("x"),), cordoned=True))
    state.place(task("t", **SHARED), 0, (1,))
    state.remove_node("a")
    columns = state.columns
    for column in (columns.capacity, columns.used, columns.gpu_free):
        assert not column.any()
    for column in (columns.gpu_count, columns.gpu_model, columns.taint_set, columns.cordoned, columns.labels["k"]):
        assert not column.any()
    assert columns.names[0] == ""
    assert not any(columns.ports.values())


def test_arrays_grow_past_what_was_allocated_and_keep_what_they_held() -> None:
    state = state_with("first")
    state.place(task("t", **SHARED), 0, (1,))
    before = state.columns.rows
    for i in range(3 * before):
        state.add_node(node(f"n{i}", labels={"k": str(i)}))
    columns = state.columns
    assert columns.rows >= 3 * before + 1
    assert columns.used[columns.resources["cpu"], 0] == 10
    assert columns.gpu_free[:, 0].tolist() == [1000, 600]
    assert columns.counts("gpu-class", 0)[0] == 1
    assert columns.label_values["k"].values[columns.labels["k"][5] - 1] == "4"
    state.remove("t")
    assert columns.gpu_free[:, 0].tolist() == [1000, 1000]


def test_new_resources_and_larger_nodes_grow_the_columns_too() -> None:
    state = state_with("a")
    row = state.add_node(node("b", capacity={"fpga": 3}, gpus=5))
    columns = state.columns
    assert columns.capacity[columns.resources["fpga"]].tolist()[:2] == [0, 3]
    assert columns.gpu_free[:, :2].tolist() == [[1000, 1000], [1000, 1000], [0, 1000], [0, 1000], [0, 1000]]
    state.place(task("t", demand={"fpga": 2}), row, ())
    assert columns.used[columns.resources["fpga"], row] == 2


def test_an_update_keeps_tasks_row_and_order() -> None:
    state = state_with("a", "b")
    state.place(task("t", **SHARED), 0, (0,))
    assert state.update_node(node("a", gpus=4, capacity={"cpu": 5})) == 0
    assert state.columns.order[:2].tolist() == [0, 1]
    assert state.columns.gpu_free[:, 0].tolist() == [600, 1000, 1000, 1000]
    assert state.columns.capacity[state.columns.resources["memory"], 0] == 0
    assert list(state.placements) == ["t"]


def test_removing_a_node_gives_back_its_tasks_in_the_order_of_placing() -> None:
    state = state_with("a", "b")
    for name in ("z", "y", "x"):
        state.place(task(name), 0, ())
    state.place(task("other"), 1, ())
    assert [placement.task.id for placement in state.remove_node("a")] == ["z", "y", "x"]
    assert list(state.placements) == ["other"]


@pytest.mark.parametrize(
    ("act", "field"),
    [
        (lambda s: s.add_node(node("a")), "node.name"),
        (lambda s: s.update_node(node("nobody")), "node"),
        (lambda s: s.remove_node("nobody"), "node"),
        (lambda s: s.place(task("t"), 0, ()), "task_id"),
        (lambda s: s.remove("nobody"), "task_id"),
        (lambda s: s.confirm("nobody"), "task_id"),
    ],
)
def test_what_can_not_be_is_refused_and_changes_nothing(act, field) -> None:
    state = state_with("a")
    state.place(task("t", **SHARED), 0, (0,))
    before = (state_of(state), state.version)
    with pytest.raises(InvalidInput) as refusal:
        act(state)
    assert refusal.value.field == field
    assert (state_of(state), state.version) == before


# ---------------------------------------------------------------- placements


def test_assumed_then_bound_then_gone() -> None:
    state = state_with("a")
    blank = state_of(state)
    state.place(task("t", **SHARED), 0, (1,))
    assert not state.placements["t"].bound
    state.confirm("t")
    state.confirm("t")
    assert state.placements["t"].bound
    gone = state.remove("t")
    assert (gone.task.id, gone.row, gone.gpus, gone.bound) == ("t", 0, (1,), True)
    assert state_of(state) == blank


@pytest.mark.parametrize(
    ("wanted", "gpus"),
    [
        ({"demand": {"cpu": 991}}, ()),
        ({"demand": {"memory": 101}}, ()),
        ({"demand": {"fpga": 1}}, ()),
        ({"gpus": 1, "gpu_share": 601}, (0,)),
        ({"gpus": 1}, ()),
        ({"gpus": 1}, (0, 1)),
        ({"gpus": 2}, (1, 1)),
        ({"gpus": 1, "gpu_share": 100}, (1, 1)),
        ({"gpus": 1}, (2,)),
        ({"gpus": 1}, (-1,)),
        ({"gpus": 1}, (99,)),
        ({}, (1,)),
    ],
)
def test_a_placement_of_ours_never_overcommits(wanted, gpus) -> None:
    state = state_with("a")
    state.add_node(node("b", gpus=3))
    state.place(task("t", **SHARED), 0, (0,))
    before = (state_of(state), state.version)
    with pytest.raises(Overcommitted):
        state.place(task("u", **wanted), 0, gpus)
    assert (state_of(state), state.version) == before


def test_a_placement_from_outside_counts_whatever_the_node_holds() -> None:
    state = state_with("a")
    state.place(task("t", demand={"cpu": 5000}, gpus=1), 0, (0,), bound=True, known=True)
    state.place(task("u", gpus=1, gpu_share=100), 0, (0,), bound=True, known=True)
    assert state.columns.used[state.columns.resources["cpu"], 0] == 5000
    assert state.columns.gpu_free[:, 0].tolist() == [-100, 1000]


def test_every_change_tells_the_groups_that_it_touched() -> None:
    state = state_with("a", "b")
    plain, shared = task("plain", demand={"cpu": 1}), task("shared", **SHARED)
    table = [
        (lambda: state.place(plain, 0, ()), {Group.AMOUNTS}),
        (lambda: state.remove("plain"), {Group.AMOUNTS}),
        (lambda: state.place(shared, 0, (0,)), {Group.AMOUNTS, Group.DEVICES, Group.PORTS}),
        (lambda: state.remove("shared"), {Group.AMOUNTS, Group.DEVICES, Group.PORTS}),
        (lambda: state.update_node(node("a", gpus=1)), {Group.AMOUNTS, Group.DEVICES, Group.NODE, Group.PORTS}),
        (lambda: state.remove_node("a"), {*Group} - {Group.WORKLOAD}),
        (lambda: state.add_node(node("a")), {*Group} - {Group.WORKLOAD}),
        (lambda: state.expect(Workload(((plain.spec, 1),))), {Group.WORKLOAD}),
        (lambda: state.confirm("x"), set()),
    ]
    state.place(task("x"), 1, ())
    for act, groups in table:
        positions = {group: [state.log.ends[group]] for group in Group}
        act()
        news = {group: state.log.since((group,), positions[group]) for group in Group}
        told = {group for group, changed in news.items() if changed is None or changed.rows}
        assert told == groups


# ---------------------------------------------------------------- transactions


class Undone(Exception):  # noqa: N818 - it is no error
    """Ends a transaction."""


def undone(state: State, act) -> None:
    with pytest.raises(Undone):
        _act_and_undo(state, act)


def _act_and_undo(state: State, act) -> None:
    with state.transaction():
        act()
        raise Undone


def busy_state() -> State:
    state = state_with("a", "b")
    for name, row, gpus in (("t", 0, (0,)), ("u", 0, (1,)), ("v", 1, (1,))):
        state.place(task(name, **SHARED), row, gpus, known=True)
    state.confirm("u")
    return state


def juggle(state: State) -> None:
    state.remove("t")
    state.place(task("new", gpus=1, gpu_share=1000, demand={"cpu": 7}), 0, (0,))
    state.place(task("t", demand={"cpu": 3}), 1, ())
    state.remove("new")
    state.remove("u")
    state.remove("v")
    state.place(task("v", **SHARED), 1, (0,))


def test_rollback_restores_every_column_bit_for_bit() -> None:
    state = busy_state()
    before = state_of(state)
    undone(state, lambda: juggle(state))
    assert state_of(state) == before
    assert state.columns.counts("gpu-class", 0)[:2].tolist() == [2, 1]
    assert [p.task.id for p in state.remove_node("a")] == ["t", "u"], "the order of placing is restored as well"


def test_rollback_tells_of_the_rows_again_and_the_version_rises() -> None:
    state = busy_state()
    version = state.version
    seen: list[int] = []
    position = [state.log.ends[Group.AMOUNTS]]

    def act() -> None:
        juggle(state)
        assert set(state.log.since((Group.AMOUNTS,), position).rows) == {0, 1}
        seen.append(state.version)

    undone(state, act)
    assert set(state.log.since((Group.AMOUNTS,), position).rows) == {0, 1}
    assert version < seen[0] < state.version


def test_what_a_transaction_does_stays_if_it_ends_well() -> None:
    state, same = busy_state(), busy_state()
    with state.transaction():
        juggle(state)
    juggle(same)
    assert state_of(state) == state_of(same)


def test_an_inner_transaction_is_undone_alone() -> None:
    state = busy_state()
    with state.transaction():
        state.remove("t")
        middle = state_of(state)
        undone(state, lambda: state.remove("u"))
        assert state_of(state) == middle
    assert sorted(state.placements) == ["u", "v"]


def test_an_outer_transaction_undoes_what_an_inner_one_kept() -> None:
    state = busy_state()
    before = state_of(state)

    def act() -> None:
        state.remove("u")
        with state.transaction():
            juggle_rest()

    def juggle_rest() -> None:
        state.remove("t")
        state.place(task("w"), 1, ())

    undone(state, act)
    assert state_of(state) == before


def test_nodes_and_expectations_stay_still_inside_a_transaction() -> None:
    state = busy_state()
    for act in (
        lambda: state.add_node(node("c")),
        lambda: state.update_node(node("a")),
        lambda: state.remove_node("a"),
        lambda: state.expect(Workload(((TaskSpec(), 1),))),
    ):
        before = state_of(state)
        with state.transaction(), pytest.raises(RuntimeError):
            act()
        assert state_of(state) == before
    state.add_node(node("c"))
    assert "c" in state.nodes
