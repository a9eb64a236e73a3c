"""State machines with preemption: crowded nodes, important tasks, victims that go, stay or vanish with their node."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from pilotage.kernel.policies import named
from pilotage.model.events import EvictFailed, NodeAdded, TaskFinished, TaskPlaced, TaskSubmitted
from pilotage.model.node import Node
from pilotage.model.task import HostPort, Task, TaskSpec
from tests.engine.test_machine import Machine, case
from tests.engine.test_queue_machine import Queued
from tests.engine.user_policy import USER_RULES, user_policy
from tests.engine.world import World
from tests.kernel.reference import POLICIES

SPECS = (
    TaskSpec(demand={"cpu": 1000}),
    TaskSpec(demand={"cpu": 2000, "memory": 500}),
    TaskSpec(demand={"cpu": 500, "memory": 900}),
    TaskSpec(gpus=1, gpu_share=500, demand={"cpu": 100}),
    TaskSpec(gpus=2, demand={"memory": 100}),
    TaskSpec(ports=(HostPort(80),), demand={"cpu": 300}),
)


class Preempting(Machine):
    def make(self, seed: int) -> World:
        return World(named("kubernetes").preempting(), POLICIES["kubernetes"], seed)

    @rule(data=st.data(), spec=st.sampled_from(SPECS), running=st.lists(st.sampled_from(SPECS), max_size=6))
    def an_important_task_comes_to_crowded_nodes(self, data: st.DataObject, spec: TaskSpec, running: list) -> None:
        world = self.world
        self.serial += 1
        names = [f"crowded-{self.serial}-{i}" for i in range(data.draw(st.integers(1, 3)))]
        for name in names:
            world.apply(NodeAdded(Node(name=name, capacity={"cpu": 4000, "memory": 2000, "tasks": 4}, gpus=2)))
        for one in running:
            self.serial += 1
            queue = data.draw(st.sampled_from(world.queues.leaves()))
            task = Task(id=f"t{self.serial}", spec=one, priority=data.draw(st.integers(-1, 3)), queue=queue)
            gpus = tuple(data.draw(st.permutations((0, 1))))[: one.gpus]
            world.apply(TaskPlaced(task, data.draw(st.sampled_from(names)), gpus))
        for priority in data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=3)):
            self.serial += 1
            world.apply(TaskSubmitted(Task(id=f"t{self.serial}", spec=spec, priority=priority)))
        world.decide()

    @precondition(lambda self: self.world.going)
    @rule(data=st.data(), ends=st.sampled_from(("goes", "goes", "goes", "stays")))
    def victim_is_told(self, data: st.DataObject, ends: str) -> None:
        victim = data.draw(st.sampled_from(sorted(self.world.going)))
        self.world.apply(TaskFinished(victim) if ends == "goes" else EvictFailed(victim, "protected"))

    @precondition(lambda self: self.world.claims)
    @rule(data=st.data())
    def all_victims_of_one_go(self, data: st.DataObject) -> None:
        claim = self.world.claims[data.draw(st.sampled_from(sorted(self.world.claims)))]
        for victim in sorted(claim.waits_for):
            self.world.apply(TaskFinished(victim))
        self.world.decide()

    @precondition(lambda self: self.world.claims)
    @rule(data=st.data())
    def whoever_waits_for_room_is_cancelled(self, data: st.DataObject) -> None:
        self.world.apply(TaskFinished(data.draw(st.sampled_from(sorted(self.world.claims)))))


class PreemptingBeyondRows(Preempting):
    """A filter looks beyond the row, so candidates are tried one by one on the state itself."""

    def make(self, seed: int) -> World:
        return World(user_policy().preempting(), USER_RULES, seed)


class PreemptingInQueues(Preempting, Queued):
    def make(self, seed: int) -> World:
        return World(named("bestfit").preempting(), POLICIES["bestfit"], seed)


TestPreempting = case(Preempting)
TestPreemptingBeyondRows = case(PreemptingBeyondRows)
TestPreemptingInQueues = case(PreemptingInQueues)
