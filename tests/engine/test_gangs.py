"""Gangs: all or nothing, whatever comes, goes or fails in between."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pilotage import Node, Task, TaskSpec, node_filter, policies
from pilotage.engine.engine import Engine
from pilotage.engine.validate import validate
from pilotage.kernel.policy import Policy
from pilotage.model.effects import Bind, Evict, Reject
from pilotage.model.errors import InvalidInput
from pilotage.model.events import (
    BindConfirmed,
    BindFailed,
    EvictFailed,
    GangDeclared,
    GangRemoved,
    NodeAdded,
    NodeRemoved,
    TaskFinished,
    TaskPlaced,
    TaskSubmitted,
    TaskUngated,
)
from pilotage.model.gang import Gang
from tests.engine.dump import engine_of

ONE = TaskSpec(demand={"cpu": 1000})


def engine(nodes: int, cpu: int = 2000, policy: Policy | None = None) -> Engine:
    made = Engine(policy or policies.named("kubernetes"))
    for i in range(nodes):
        made.apply(NodeAdded(Node(name=f"n{i}", capacity={"cpu": cpu})))
    return made


def submit(to: Engine, gang: str, count: int, first: int = 0, subgroup: str = "", **facts) -> None:
    for i in range(first, first + count):
        task = Task(**{"id": f"{gang}{subgroup}-{i}", "spec": ONE, "gang": gang, "subgroup": subgroup, **facts})
        to.apply(TaskSubmitted(task))


def bound(effects) -> list[str]:
    return [effect.task_id for effect in effects if isinstance(effect, Bind)]


def test_nobody_is_placed_before_enough_are_there_and_then_all_are() -> None:
    e = engine(2)
    e.apply(GangDeclared(Gang(name="g", min_members=3)))
    submit(e, "g", 2)
    assert e.decide() == []
    submit(e, "g", 1, first=2)
    assert sorted(bound(e.decide())) == ["g-0", "g-1", "g-2"]
    validate(e)


def test_a_gang_that_does_not_fit_leaves_no_trace_and_says_whose_fault_it_is() -> None:
    e = engine(2)
    e.apply(GangDeclared(Gang(name="g", min_members=5)))
    submit(e, "g", 5)
    before = engine_of(e)
    effects = e.decide()
    assert [type(effect) for effect in effects] == [Reject] * 5
    own = [effect for effect in effects if effect.decision.rejections[0][0] == "capacity"]
    assert len(own) == 1
    others = {effect.decision.rejections for effect in effects if effect not in own}
    assert others == {(("gang", f"gang g: no node for {own[0].task_id}", 2),)}
    after = engine_of(e)
    assert after["placements"] == before["placements"] == []
    assert [value for key, value in after.items() if key.startswith("used")] == [
        value for key, value in before.items() if key.startswith("used")
    ]
    validate(e)


def test_it_is_tried_again_as_a_whole_when_a_node_comes() -> None:
    e = engine(2)
    e.apply(GangDeclared(Gang(name="g", min_members=5)))
    submit(e, "g", 5)
    e.decide()
    e.apply(NodeAdded(Node(name="new", capacity={"cpu": 2000})), 100.0)
    assert len(bound(e.decide(100.0))) == 5


def test_elastic_members_follow_one_by_one() -> None:
    e = engine(2)
    e.apply(GangDeclared(Gang(name="g", min_members=2)))
    submit(e, "g", 6)
    effects = e.decide()
    assert len(bound(effects)) == 4, "two nodes of two: the minimum and two more"
    assert sum(isinstance(effect, Reject) for effect in effects) == 2
    validate(e)


def test_every_subgroup_has_its_minimum_in_the_core() -> None:
    e = engine(2)
    e.apply(GangDeclared(Gang(name="g", min_members=3, subgroups={"leader": 1, "worker": 2})))
    submit(e, "g", 4, subgroup="worker")
    assert e.decide() == [], "four members, but no leader"
    submit(e, "g", 1, subgroup="leader")
    placed = bound(e.decide())
    assert "gleader-0" in placed
    assert len(placed) == 4


def test_members_may_come_before_their_gang_is_declared() -> None:
    e = engine(1)
    submit(e, "g", 2)
    assert e.decide() == []
    e.apply(GangDeclared(Gang(name="g", min_members=2)))
    assert len(bound(e.decide())) == 2


def test_a_gated_member_does_not_count_until_it_is_ungated() -> None:
    e = engine(1)
    e.apply(GangDeclared(Gang(name="g", min_members=2)))
    submit(e, "g", 1)
    submit(e, "g", 1, first=1, gates=("wait",))
    assert e.decide() == []
    e.apply(TaskUngated("g-1"))
    assert len(bound(e.decide())) == 2


def test_a_bind_that_fails_takes_the_gang_down_with_it() -> None:
    e = engine(2)
    e.apply(GangDeclared(Gang(name="g", min_members=3)))
    submit(e, "g", 3)
    names = bound(e.decide())
    e.apply(BindConfirmed(names[0]))
    e.apply(BindFailed(names[2], "no answer"), 1.0)
    evicted = [effect for effect in e.decide(1.0) if isinstance(effect, Evict)]
    assert sorted(effect.task_id for effect in evicted) == sorted(names[:2])
    validate(e)
    e.apply(EvictFailed(names[0], "no permission"), 1.0)
    for name in names[:2]:
        e.apply(TaskFinished(name), 2.0)
    assert e.decide(50.0) == [], "one member is left, three are asked for"
    submit(e, "g", 2, first=10)
    assert len(bound(e.decide(60.0))) == 3
    validate(e)


def test_members_that_ended_count_but_lost_ones_do_not() -> None:
    e = engine(3)
    e.apply(GangDeclared(Gang(name="g", min_members=3)))
    submit(e, "g", 3)
    placed = {effect.task_id: effect.node for effect in e.decide() if isinstance(effect, Bind)}
    gone = next(iter(placed))
    e.apply(TaskFinished(gone))
    assert e.decide() == [], "it ran to its end: the others go on"
    e.apply(NodeRemoved(next(node for task, node in placed.items() if task != gone)), 1.0)
    kinds = {type(effect).__name__ for effect in e.decide(1.0)}
    assert "Displaced" in kinds
    validate(e)


def test_a_gang_that_was_placed_from_outside_takes_in_more() -> None:
    e = engine(2)
    e.apply(GangDeclared(Gang(name="g", min_members=2)))
    e.apply(TaskPlaced(Task(id="old", spec=ONE, gang="g"), "n0"))
    submit(e, "g", 1)
    assert bound(e.decide()) == ["g-0"]


def test_a_plugin_that_fails_leaves_the_gang_waiting() -> None:
    faults = [True]

    @node_filter
    def moody(task, nodes):
        if faults and task.id.endswith("-2"):
            raise ValueError("not today")
        return nodes.free["cpu"] >= 0

    base = policies.named("kubernetes")
    e = engine(3, policy=Policy(filters=[*base.filters, moody], scorers=base.scorers))
    e.apply(GangDeclared(Gang(name="g", min_members=3)))
    submit(e, "g", 3)
    with pytest.raises(Exception, match="not today"):
        e.decide()
    assert not e.state.placements
    validate(e)
    faults.clear()
    assert len(bound(e.decide())) == 3


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Gang(name="", min_members=1), "gang.name"),
        (lambda: Gang(name="g", min_members=0), "gang.min_members"),
        (lambda: Gang(name="g", min_members=-1), "gang.min_members"),
        (lambda: Gang(name="g", min_members=10**9), "gang.min_members"),
        (lambda: Gang(name="g", min_members=2, subgroups={"a": 2, "b": 1}), "gang.min_members"),
        (lambda: Gang(name="g", min_members=2, subgroups={"a": -1}), "gang.subgroups.a"),
        (lambda: Task(id="t", spec=ONE, subgroup="a"), "subgroup"),
    ],
)
def test_gangs_that_make_no_sense(make, field) -> None:
    with pytest.raises(InvalidInput) as error:
        make()
    assert error.value.field == field


def test_what_can_not_be_said_of_gangs() -> None:
    e = engine(1)
    e.apply(GangDeclared(Gang(name="g", min_members=1, subgroups={"a": 1})))
    with pytest.raises(InvalidInput, match="subgroup"):
        submit(e, "g", 1, subgroup="b")
    submit(e, "g", 1, subgroup="a")
    with pytest.raises(InvalidInput, match="still has 1 tasks"):
        e.apply(GangRemoved("g"))
    with pytest.raises(InvalidInput, match="no gang"):
        e.apply(GangRemoved("nobody"))
    e.apply(TaskFinished("ga-0"))
    e.apply(GangRemoved("g"))
    validate(e)


class GangMachine(RuleBasedStateMachine):
    """Members, gangs and nodes come and go, binds fail, tasks end: a gang is never partly placed."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = engine(3, cpu=3000)
        self.now = 0.0
        self.made = 0
        self.assumed: list[str] = []
        self.told_to_go: set[str] = set()
        self.submitted: set[str] = set()

    @rule(name=st.sampled_from("abc"), members=st.integers(1, 5), leaders=st.integers(0, 2))
    def declare(self, name, members, leaders) -> None:
        gang = Gang(name=name, min_members=max(members, leaders), subgroups={"leader": leaders, "worker": 0})
        self.engine.apply(GangDeclared(gang), self.now)

    @rule(
        gang=st.sampled_from(["a", "b", "c", ""]),
        leader=st.booleans(),
        cpu=st.integers(1, 3),
        priority=st.integers(0, 2),
        gated=st.booleans(),
    )
    def submit(self, gang, leader, cpu, priority, gated) -> None:
        self.made += 1
        self.engine.apply(
            TaskSubmitted(
                Task(
                    id=f"t{self.made}",
                    spec=TaskSpec(demand={"cpu": 500 * cpu}),
                    priority=priority,
                    gang=gang,
                    subgroup=("leader" if leader else "worker") if gang else "",
                    gates=("g",) if gated and self.made % 3 == 0 else (),
                )
            ),
            self.now,
        )
        self.submitted.add(f"t{self.made}")

    @rule(pause=st.sampled_from([0.0, 1.0, 20.0]), budget=st.none() | st.integers(1, 3))
    def decide(self, pause, budget) -> None:
        self.now += pause
        for effect in self.engine.decide(self.now, budget):
            if isinstance(effect, Bind):
                self.assumed.append(effect.task_id)
            elif isinstance(effect, Evict):
                self.told_to_go.add(effect.task_id)

    @precondition(lambda self: self.assumed)
    @rule(data=st.data(), fails=st.booleans())
    def answer(self, data, fails) -> None:
        task_id = data.draw(st.sampled_from(self.assumed))
        self.assumed.remove(task_id)
        placement = self.engine.state.placements.get(task_id)
        if placement is None or placement.bound:
            return
        self.engine.apply(BindFailed(task_id, "refused") if fails else BindConfirmed(task_id), self.now)
        if fails:
            self.told_to_go.discard(task_id)

    @precondition(lambda self: self.submitted)
    @rule(data=st.data())
    def finish(self, data) -> None:
        task_id = data.draw(st.sampled_from(sorted(self.submitted)))
        self.submitted.discard(task_id)
        self.told_to_go.discard(task_id)
        self.engine.apply(TaskFinished(task_id), self.now)

    @precondition(lambda self: self.submitted)
    @rule(data=st.data())
    def ungate(self, data) -> None:
        task_id = data.draw(st.sampled_from(sorted(self.submitted)))
        waiting = self.engine.room.get(task_id)
        if waiting is not None and waiting.task.gates:
            self.engine.apply(TaskUngated(task_id), self.now)

    @rule(number=st.integers(0, 3))
    def node_comes_or_goes(self, number) -> None:
        name = f"n{number}"
        if name in self.engine.state.nodes:
            self.engine.apply(NodeRemoved(name), self.now)
        else:
            self.engine.apply(NodeAdded(Node(name=name, capacity={"cpu": 3000})), self.now)

    @invariant()
    def all_is_well(self) -> None:
        validate(self.engine)
        for task_id in self.submitted:
            assert (task_id in self.engine.room) != (task_id in self.engine.state.placements), f"{task_id} is lost"

    @invariant()
    def it_can_be_written_down(self) -> None:
        other = Engine(policies.named("kubernetes"))
        other.restore(self.engine.checkpoint())
        assert other.gangs.members == self.engine.gangs.members
        assert other.gangs.declared == self.engine.gangs.declared


GangMachine.TestCase.settings = settings(stateful_step_count=30)
TestGangMachine = GangMachine.TestCase
