"""A plugin that fails in the middle of a round: nothing is lost, nothing is done twice, and caches stay true."""

import numpy as np
import pytest

from pilotage import Policy, filters, node_filter, scorer, scorers
from pilotage.engine.engine import Engine
from pilotage.engine.state import Overcommitted
from pilotage.engine.validate import validate
from pilotage.kernel.normalise import MinMax
from pilotage.kernel.plugin import DeviceRule, PolicyFault, Scorer
from pilotage.model.events import NodeAdded, NodeRemoved, TaskFinished, TaskSubmitted
from pilotage.model.node import Node
from pilotage.model.task import Task, TaskSpec

SPEC = TaskSpec(demand={"cpu": 10})


def engine_under(policy: Policy, nodes: int = 3, **facts) -> Engine:
    engine = Engine(policy)
    for i in range(nodes):
        engine.apply(NodeAdded(Node(**{"name": f"n{i}", "capacity": {"cpu": 100 + i}, "gpus": 2, **facts})))
    return engine


def submit(engine: Engine, *names: str, spec: TaskSpec = SPEC) -> None:
    for name in names:
        engine.apply(TaskSubmitted(Task(id=name, spec=spec)))


class Fuse:
    """Fails while it is blown."""

    def __init__(self) -> None:
        self.blown = False

    def check(self) -> None:
        if self.blown:
            raise RuntimeError("fuse")


def test_what_was_decided_before_the_fault_is_returned_by_the_next_call() -> None:
    @scorer
    def picky(task, nodes):
        if task.id == "c" and bad:
            raise ValueError("no c")
        return nodes.free["cpu"]

    bad = [True]
    engine = engine_under(Policy(filters=filters.DEFAULT, scorers=[(picky, 1)]))
    submit(engine, *"abcd")
    with pytest.raises(PolicyFault, match=r"test_faults\.py:\d+: picky: .*no c"):
        engine.decide()
    validate(engine)
    assert set(engine.state.placements) == {"a", "b"}
    assert {w.task.id: w.place for w in engine.room} == {"c": "active", "d": "active"}
    with pytest.raises(PolicyFault):
        engine.decide()
    bad.clear()
    effects = engine.decide()
    assert [(type(e).__name__, e.task_id, e.decision.seq) for e in effects] == [
        ("Bind", name, i) for i, name in enumerate("abcd", start=1)
    ]
    assert engine.decide() == []
    validate(engine)


def test_finishing_the_poisonous_task_ends_the_trouble() -> None:
    @node_filter
    def picky(task, nodes):
        assert task.id != "b", "no b"
        return nodes.free["cpu"] > 0

    engine = engine_under(Policy(filters=[picky]))
    submit(engine, *"abc")
    with pytest.raises(PolicyFault):
        engine.decide()
    engine.apply(TaskFinished("b"))
    assert [effect.task_id for effect in engine.decide()] == ["a", "c"]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda n: np.zeros(n + 1), "one entry per node"),
        (lambda n: np.zeros((n, 1)), "one entry per node"),
        (lambda n: 1.0, "one entry per node"),
        (lambda n: None, "one entry per node"),
        (lambda n: [1.0] * n, "one entry per node"),
        (lambda n: np.array(["x"] * n), "must return numbers"),
        (lambda n: np.full(n, np.nan), "finite"),
        (lambda n: np.full(n, np.inf), "finite"),
        (lambda n: np.full(n, -np.inf), "finite"),
        (lambda n: np.full(n, 1e300), "1e"),
    ],
)
@pytest.mark.parametrize("declared", [{}, {"reads": ("cpu",), "depends": "row"}], ids=["global", "row"])
def test_a_scorer_that_breaks_its_contract_is_named_with_its_line(answer, says, declared) -> None:
    def bad(task, nodes):
        return answer(len(nodes))

    made = scorer(**declared)(bad)
    engine = engine_under(Policy(filters=filters.DEFAULT, scorers=[(made, 1)]))
    submit(engine, "t")
    with pytest.raises(PolicyFault) as fault:
        engine.decide()
    line = bad.__code__.co_firstlineno
    assert fault.value.field == f"{__file__}:{line}: bad"
    assert says in fault.value.reason
    assert [w.task.id for w in engine.room] == ["t"]


def test_a_filter_must_return_truth_values() -> None:
    made = node_filter(lambda task, nodes: np.ones(len(nodes)))
    engine = engine_under(Policy(filters=[made]))
    submit(engine, "t")
    with pytest.raises(PolicyFault, match="truth values"):
        engine.decide()


def test_a_row_scorer_is_never_asked_about_a_row_without_a_node() -> None:
    seen: set[str] = set()

    @scorer(reads=("cpu", "names"), depends="row")
    def share_left(task, nodes):
        seen.update(nodes.names)
        return nodes.free["cpu"] / nodes.capacity["cpu"]

    engine = engine_under(Policy(filters=filters.DEFAULT, scorers=[(share_left, 1)]))
    for name in ("n0", "n1"):
        engine.apply(NodeRemoved(name))
        submit(engine, f"t-{name}")
        assert engine.decide()[-1].node in engine.state.nodes
    assert seen == {"n1", "n2"}


class Fused(Scorer):
    """A user's scorer class whose parts can fail."""

    name = "fused"
    reads = ("cpu",)

    def __init__(self, fuse: Fuse, normaliser: MinMax) -> None:
        self.fuse = fuse
        self.normaliser = normaliser

    def fragment(self, task: Task) -> int:
        return 0

    def score(self, fragment, nodes):
        self.fuse.check()
        return nodes.free["cpu"]


class FusedNormaliser(MinMax):
    def __init__(self, fuse: Fuse) -> None:
        object.__setattr__(self, "fuse", fuse)

    def apply(self, raw, low, high):
        self.fuse.check()
        return super().apply(raw, low, high)


@pytest.mark.parametrize("part", ["score", "normaliser"])
@pytest.mark.parametrize("finished", [1, 12], ids=["one row changed", "many rows changed"])
def test_after_a_fault_while_catching_up_nothing_stale_is_believed(part, finished) -> None:
    fuses = {"score": Fuse(), "normaliser": Fuse()}
    fused = Fused(fuses["score"], FusedNormaliser(fuses["normaliser"]))
    engine = engine_under(Policy(filters=filters.DEFAULT, scorers=[(fused, 1)]), nodes=40, capacity={"cpu": 100})
    submit(engine, *(f"t{i}" for i in range(60)))
    assert len(engine.decide()) == 60
    submit(engine, "next", "one-more")
    leaving = list(engine.state.placements)[:finished]
    for task_id in leaving:
        engine.apply(TaskFinished(task_id))
    fuses[part].blown = True
    with pytest.raises(RuntimeError, match="fuse"):
        engine.decide()
    fuses[part].blown = False
    first, second = engine.decide()
    validate(engine)
    fresh = Engine(engine.policy)
    for name, row in engine.state.columns.row_of.items():
        taken = sum(10 for effect in (first, second) if effect.node == name)
        left = int(engine.state.columns.capacity[0, row] - engine.state.columns.used[0, row])
        fresh.apply(NodeAdded(Node(name=name, capacity={"cpu": left + taken})))
    submit(fresh, "next", "one-more")
    assert [effect.node for effect in fresh.decide()] == [first.node, second.node]


class Greedy(DeviceRule):
    """Hands out what it was told to."""

    name = "greedy"

    def __init__(self, gpus: tuple[int, ...]) -> None:
        self.gpus = gpus

    def choose(self, task, columns, row, seed):
        return self.gpus


@pytest.mark.parametrize("gpus", [(), (0, 0), (0, 1), (2,), (-1,), (7,)])
def test_a_device_rule_can_not_hand_out_what_is_not_there(gpus) -> None:
    engine = engine_under(Policy(filters=filters.DEFAULT, devices=Greedy(gpus)))
    engine.apply(NodeAdded(Node(name="large", capacity={}, gpus=5)))
    submit(engine, "t", spec=TaskSpec(gpus=1, gpu_share=400, demand={"cpu": 1}))
    with pytest.raises(Overcommitted, match="'t'"):
        engine.decide()
    validate(engine)
    assert [w.place for w in engine.room] == ["active"]
    assert not engine.state.columns.used.any()


class Everything(filters.Filter):
    """Says yes to all, a liar under the name of a capacity filter."""

    name = "everything"
    reads = ("cpu",)

    def fragment(self, task):
        return 0

    def mask(self, fragment, nodes):
        return np.ones(len(nodes), np.bool_)


def test_the_capacity_filters_are_there_named_or_not() -> None:
    engine = engine_under(Policy(filters=[Everything()], scorers=[(scorers.random(), 1)]), nodes=1)
    submit(engine, "t", spec=TaskSpec(demand={"cpu": 101}))
    submit(engine, "u", spec=TaskSpec(gpus=3))
    assert [type(effect).__name__ for effect in engine.decide()] == ["Reject", "Reject"]
