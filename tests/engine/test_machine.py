"""State machines: random events against an engine and the naive reference, everything compared after every step."""

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pilotage import Policy, filters, scorers
from pilotage.engine.kinds import Kinds
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.policies import named
from pilotage.model.effects import Bind, Nominated
from pilotage.model.errors import InvalidInput
from pilotage.model.events import (
    BindConfirmed,
    BindFailed,
    NodeAdded,
    NodeRemoved,
    NodeUpdated,
    TaskFinished,
    TaskPlaced,
    TaskSubmitted,
    TaskUngated,
    WorkloadExpected,
)
from pilotage.model.node import Node
from pilotage.model.task import Task, TaskSpec
from pilotage.model.workload import Workload
from pilotage.testing.strategies import NODE_NAMES, nodes, specs, tasks, workloads
from tests.engine.dump import engine_of, state_of
from tests.engine.records import through_bytes
from tests.engine.user_policy import USER_RULES, user_policy
from tests.engine.world import World
from tests.kernel import reference
from tests.kernel.reference import POLICIES, Place, Rules


class Undone(Exception):  # noqa: N818 - it is no error
    """Ends a transaction."""


class Machine(RuleBasedStateMachine):
    """Everything that may happen to an engine. Subclasses say under which policy."""

    world: World
    pool: list[TaskSpec]

    def make(self, seed: int) -> World:
        raise NotImplementedError

    @initialize(
        seed=st.integers(0, 2**63), workload=workloads(), pool=st.lists(specs(), min_size=1, max_size=4), first=nodes()
    )
    def start(self, seed: int, workload: Workload, pool: list[TaskSpec], first: Node) -> None:
        self.world, self.pool, self.serial = self.make(seed), pool, 0
        self.world.apply(WorkloadExpected(workload))
        self.world.apply(NodeAdded(first))

    # -- nodes

    def _known(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(list(self.world.cluster.places)), "node")

    @precondition(lambda self: len(self.world.cluster.places) < len(NODE_NAMES))
    @rule(data=st.data())
    def node_joins(self, data: st.DataObject) -> None:
        names = [name for name in NODE_NAMES if name not in self.world.cluster.places]
        self.world.apply(NodeAdded(data.draw(nodes(names=st.sampled_from(names)))))

    @precondition(lambda self: len(self.world.cluster.places) <= len(NODE_NAMES))
    @rule(data=st.data())
    def crowd_joins(self, data: st.DataObject) -> None:
        """More nodes than there were rows allocated."""
        one = data.draw(nodes(max_gpus=2))
        facts = {f: getattr(one, f) for f in Node.__struct_fields__ if f != "name"}
        self.serial += 1
        for i in range(12):
            self.world.apply(NodeAdded(Node(name=f"crowd-{self.serial}-{i}", **facts)))

    @precondition(lambda self: self.world.cluster.places)
    @rule(data=st.data())
    def node_is_replaced_in_place(self, data: st.DataObject) -> None:
        self.world.apply(NodeUpdated(data.draw(nodes(names=st.just(self._known(data))))))

    @precondition(lambda self: self.world.cluster.places)
    @rule(data=st.data(), fact=st.sampled_from(("capacity", "gpus", "labels", "taints", "cordoned")))
    def node_changes_one_fact(self, data: st.DataObject, fact: str) -> None:
        old = self.world.cluster.places[self._known(data)].node
        new = data.draw(nodes(names=st.just(old.name)))
        facts = {name: getattr(old, name) for name in ("gpus", "gpu_model", "labels", "taints", "cordoned")}
        facts["capacity"] = {name: amount for name, amount in old.capacity.items() if name != "gpu"}
        if fact == "capacity":
            facts[fact] = {name: amount for name, amount in new.capacity.items() if name != "gpu"}
        else:
            facts[fact] = getattr(new, fact)
        self.world.apply(NodeUpdated(Node(name=old.name, **facts)))

    @precondition(lambda self: len(self.world.cluster.places) + 3 <= len(NODE_NAMES))
    @rule(
        data=st.data(), spec=st.sampled_from((TaskSpec(), TaskSpec(demand={"cpu": 1}), TaskSpec(gpus=1, gpu_share=100)))
    )
    def node_is_replaced_by_its_equal(self, data: st.DataObject, spec: TaskSpec) -> None:
        """Equal nodes make ties; a row that is used again moves to the end of the order."""
        first, *others = [name for name in NODE_NAMES if name not in self.world.cluster.places][:3]
        if not self.world.cluster.places:
            self.world.apply(NodeAdded(data.draw(nodes(names=st.just(first)))))
        old = self._known(data)
        facts = {f: getattr(self.world.cluster.places[old].node, f) for f in Node.__struct_fields__ if f != "name"}
        for name in others:
            self.world.apply(NodeAdded(Node(name=name, **facts)))
        for leaves in (None, old):
            if leaves:
                self.world.apply(NodeRemoved(leaves))
                self.world.apply(NodeAdded(Node(name=leaves, **facts)))
            self.serial += 1
            task = Task(id=f"t{self.serial}", spec=spec, priority=5)
            self.world.apply(TaskSubmitted(task))
            self.world.decide()
            self.world.apply(TaskFinished(task.id))

    @precondition(lambda self: self.world.cluster.places)
    @rule(data=st.data())
    def node_leaves(self, data: st.DataObject) -> None:
        self.world.apply(NodeRemoved(self._known(data)))

    # -- tasks

    def _fresh(self, data: st.DataObject) -> Task:
        self.serial += 1
        spec = st.sampled_from(self.pool) | specs()
        return data.draw(tasks(ids=st.just(f"t{self.serial}"), spec=spec))

    @rule(data=st.data(), copies=st.integers(1, 4))
    def tasks_arrive(self, data: st.DataObject, copies: int) -> None:
        task = self._fresh(data)
        self.world.apply(TaskSubmitted(task))
        for _ in range(copies - 1):
            self.serial += 1
            self.world.apply(TaskSubmitted(Task(id=f"t{self.serial}", spec=task.spec, priority=task.priority)))

    @precondition(lambda self: self.world.cluster.places)
    @rule(data=st.data(), waits=st.booleans())
    def task_is_found_running(self, data: st.DataObject, waits: bool) -> None:
        task, name = self._fresh(data), self._known(data)
        gpus = data.draw(st.permutations(range(self.world.cluster.places[name].node.gpus)))
        if len(gpus) >= task.gpus:
            if waits:
                self.world.apply(TaskSubmitted(task))
            self.world.apply(TaskPlaced(task, name, tuple(gpus[: task.gpus])))

    @precondition(lambda self: self.world.waiting or self.world.where)
    @rule(data=st.data())
    def task_finishes(self, data: st.DataObject) -> None:
        self.world.apply(TaskFinished(data.draw(st.sampled_from([*self.world.waiting, *self.world.where]))))

    @precondition(lambda self: self.world.waiting)
    @rule(data=st.data())
    def task_is_ungated(self, data: st.DataObject) -> None:
        gated = [t for t, entry in self.world.waiting.items() if entry.place == "gated"]
        self.world.apply(TaskUngated(data.draw(st.sampled_from(gated or list(self.world.waiting)))))

    # -- binds

    @precondition(lambda self: self.world.where)
    @rule(data=st.data())
    def bind_is_confirmed(self, data: st.DataObject) -> None:
        self.world.apply(BindConfirmed(data.draw(st.sampled_from(list(self.world.where)))))

    @precondition(lambda self: self.world.where.keys() - self.world.bound)
    @rule(data=st.data())
    def bind_fails(self, data: st.DataObject) -> None:
        assumed = [task_id for task_id in self.world.where if task_id not in self.world.bound]
        self.world.apply(BindFailed(data.draw(st.sampled_from(assumed)), "refused"))

    # -- decisions

    @rule(budget=st.none() | st.integers(0, 5), passed=st.sampled_from((0.0, 0.0, 0.4, 1.0, 2.5, 20.0)))
    def decide(self, budget: int | None, passed: float) -> None:
        self.world.now += passed
        self.world.decide(budget)

    @rule()
    def long_after_nothing_is_left_to_decide(self) -> None:
        some_bind = True
        while some_bind:
            self.world.now += 1000.0
            some_bind = any(isinstance(effect, Bind | Nominated) for effect in self.world.decide())
        assert all(entry.place in ("unschedulable", "gated") for entry in self.world.waiting.values())

    @rule(workload=workloads())
    def another_workload_is_expected(self, workload: Workload) -> None:
        self.world.apply(WorkloadExpected(workload))

    # -- what must change nothing

    @precondition(lambda self: self.world.cluster.places)
    @rule(data=st.data(), steps=st.integers(1, 4))
    def transaction_is_rolled_back(self, data: st.DataObject, steps: int) -> None:
        """Inside, caches are made to see what never was; afterwards nothing may be left of it."""
        engine, before = self.world.engine, state_of(self.world.engine.state)
        with suppress(Undone), engine.state.transaction():
            for _ in range(steps):
                self._speculate(data)
            raise Undone
        assert state_of(engine.state) == before

    def _speculate(self, data: st.DataObject) -> None:
        engine, state = self.world.engine, self.world.engine.state
        what = data.draw(st.sampled_from(("place", "remove", "look", "nest")))
        task = self._fresh(data)
        if what == "remove" and state.placements:
            state.remove(data.draw(st.sampled_from(sorted(state.placements))))
        elif what == "nest":
            with suppress(Undone), state.transaction():
                self._speculate(data)
                if data.draw(st.booleans()):
                    raise Undone
        else:
            choice = engine.cycle.choose(task, self.world.now)
            held = state.queues.declared and state.queues.over_limit(task.queue, task.demand)
            if what == "place" and choice.row >= 0 and not held:
                place = Place(state.nodes[state.columns.names[choice.row]])
                place.tasks = {t: (p.task.spec, p.gpus) for t, p in state.placements.items() if p.row == choice.row}
                gpus = self.world.rules.devices(task, place, self.world.cluster) if task.gpus else ()
                state.place(task, choice.row, gpus)

    @rule()
    def engine_goes_on_from_its_checkpoint(self) -> None:
        """From here on the machine runs on an engine made from bytes; the caches of the old one are gone."""
        before = engine_of(self.world.engine)
        self.world.engine = through_bytes(self.world.engine)
        after = engine_of(self.world.engine)
        differs = {k: (after[k], v) for k, v in before.items() if k != "story" and after[k] != v}
        assert not differs, differs

    @rule(data=st.data(), what=st.integers(0, 9))
    def nonsense_is_refused(self, data: st.DataObject, what: int) -> None:
        world = self.world
        node, task = data.draw(nodes(names=st.just("unheard-of"))), self._fresh(data)
        placed = next(iter(world.where), None)
        known = [world.tasks[t] for t in (*world.waiting, *world.where)]
        nonsense = [
            NodeUpdated(node),
            NodeRemoved("unheard-of"),
            TaskPlaced(task, "unheard-of"),
            TaskFinished("unheard-of"),
            TaskUngated("unheard-of"),
            BindConfirmed("unheard-of"),
            BindFailed("unheard-of", ""),
            *(NodeAdded(place.node) for place in list(world.cluster.places.values())[:1]),
            *(TaskSubmitted(known_task) for known_task in known[:1]),
            *(BindFailed(task_id, "") for task_id in sorted(world.bound)[:1]),
            *([TaskPlaced(world.tasks[placed], world.where[placed])] if placed else []),
            *([TaskUngated(placed)] if placed else []),
        ]
        before = engine_of(world.engine)
        with pytest.raises(InvalidInput):
            world.engine.apply(nonsense[what % len(nonsense)], world.now)
        assert engine_of(world.engine) == before

    # -- what always holds

    @rule()
    def remembered_answers_equal_fresh_ones(self) -> None:
        check_memory(self.world.engine.kinds, self.world.engine.state)

    @invariant()
    def engine_and_reference_agree(self) -> None:
        if hasattr(self, "world"):
            self.world.check()


def check_memory(kinds: Kinds, state: Any) -> None:
    """Every mask and score that is kept equals a fresh one, on every row that holds a node."""
    alive = np.flatnonzero(state.columns.alive)
    for memo in (*kinds._filter_memos.kept.values(), *kinds._score_memos.kept.values()):
        memo.refresh(state)
        if not alive.size:
            continue
        fresh = memo.answer(Nodes(state.columns, alive))
        assert memo.values[alive].tolist() == fresh.tolist(), f"{memo.plugin!r} for {memo.fragment!r}"


class Kubernetes(Machine):
    def make(self, seed: int) -> World:
        return World(named("kubernetes"), POLICIES["kubernetes"], seed)


class Fgd(Machine):
    def make(self, seed: int) -> World:
        return World(named("fgd"), POLICIES["fgd"], seed)


class BestFit(Machine):
    def make(self, seed: int) -> World:
        return World(named("bestfit"), POLICIES["bestfit"], seed)


class Random(Machine):
    def make(self, seed: int) -> World:
        return World(named("random"), POLICIES["random"], seed)


class GpuClustering(Machine):
    def make(self, seed: int) -> World:
        return World(named("gpu-clustering"), POLICIES["gpu-clustering"], seed, cache_bytes=2000)


class Sharp(Machine):
    """Every scorer is normalised, and so fine that each placement moves the bounds."""

    def make(self, seed: int) -> World:
        norms = {"cpu": 300, "memory": 2**19, "tasks": 2**20}
        policy = Policy(
            filters=filters.DEFAULT,
            scorers=[(scorers.fewest_taints(), 2), (scorers.best_fit(norms), 1), (scorers.preferred_affinity(), 3)],
            tie="heap",
        )
        rules = Rules(
            scorers=[
                (reference.fewest_taints, reference.by_maximum_reversed, 2),
                (reference.best_fit_of(norms), reference.min_max, 1),
                (reference.preferred_affinity, reference.by_maximum, 3),
            ],
            tie="heap",
        )
        return World(policy, rules, seed)


class User(Machine):
    def make(self, seed: int) -> World:
        return World(user_policy(), USER_RULES, seed)


FEWER = settings(max_examples=max(1, settings.default.max_examples // 4))


def case(machine: type[Machine]) -> type:
    machine.TestCase.settings = FEWER
    return machine.TestCase


TestKubernetes = case(Kubernetes)
TestFgd = case(Fgd)
TestBestFit = case(BestFit)
TestRandom = case(Random)
TestGpuClustering = case(GpuClustering)
TestSharp = case(Sharp)
TestUser = case(User)
