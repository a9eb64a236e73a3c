"""State machine with queues: declared, changed and removed at random while tasks come, run and go."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from pilotage.kernel.policies import named
from pilotage.model.errors import InvalidInput
from pilotage.model.events import QueueDeclared, QueueRemoved, TaskPlaced, TaskSubmitted
from pilotage.model.queue import Queue
from pilotage.model.task import Task, TaskSpec
from tests.engine.dump import engine_of
from tests.engine.test_machine import Machine, case
from tests.engine.world import World
from tests.kernel.reference import POLICIES

NAMES = ("a", "b", "c", "d", "e")
_QUOTA = st.fixed_dictionaries({}, optional={"cpu": st.sampled_from((0, 500, 4000)), "gpu": st.just(1000)})
_LIMIT = st.fixed_dictionaries(
    {}, optional={"cpu": st.sampled_from((0, 400, 1000, 8000)), "tasks": st.integers(0, 3), "gpu": st.just(1500)}
)


@st.composite
def queues(draw: st.DrawFn, name: str, parents: tuple[str, ...]) -> Queue:
    quota, limit = draw(_QUOTA), draw(_LIMIT)
    return Queue(
        name=name,
        parent=draw(st.sampled_from(("", *parents))),
        priority=draw(st.sampled_from((0, 0, 0, 1))),
        weight=draw(st.sampled_from((1, 1, 2, 7))),
        quota={r: min(amount, limit.get(r, amount)) for r, amount in quota.items()},
        limit=limit,
    )


class Queued(Machine):
    def make(self, seed: int) -> World:
        return World(named("kubernetes"), POLICIES["kubernetes"], seed)

    def _fresh(self, data: st.DataObject) -> Task:
        task = super()._fresh(data)
        return _in_queue(task, data.draw(st.sampled_from(self.world.queues.leaves()), "queue"))

    def _busy(self) -> set[str]:
        """Queues with tasks of their own."""
        return {self.world.tasks[t].queue for t in (*self.world.waiting, *self.world.where)}

    @rule(data=st.data(), name=st.sampled_from(NAMES))
    def queue_is_declared(self, data: st.DataObject, name: str) -> None:
        declared = self.world.queues.declared
        above = [q for q in declared if name != q and name not in self.world.queues.path(q) and q not in self._busy()]
        self.world.apply(QueueDeclared(data.draw(queues(name, tuple(above)))))

    @rule(data=st.data(), name=st.sampled_from(NAMES), most=st.integers(0, 2))
    def a_run_comes_to_a_narrow_queue(self, data: st.DataObject, name: str, most: int) -> None:
        """Equal tasks that a limit holds back, and then lets through."""
        if name in self.world.queues.declared and name not in self.world.queues.leaves():
            return
        old = self.world.queues.declared.get(name) or Queue(name=name)
        self.world.apply(QueueDeclared(Queue(name=name, parent=old.parent, limit={"tasks": most})))
        for _ in range(4):
            self.serial += 1
            task = Task(id=f"t{self.serial}", spec=TaskSpec(), priority=data.draw(st.integers(0, 1)), queue=name)
            self.world.apply(TaskSubmitted(task))
        self.world.decide()
        self.world.check()
        self.world.apply(QueueDeclared(Queue(name=name, parent=old.parent, limit={"tasks": most + 2})))
        self.world.decide()

    @precondition(lambda self: self.world.queues.declared)
    @rule(data=st.data())
    def queue_is_removed(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.world.queues.declared)))
        if name in self.world.queues.leaves() and name not in self._busy():
            self.world.apply(QueueRemoved(name))
        else:
            self._refused(QueueRemoved(name), "queue.name")

    @rule(name=st.sampled_from(NAMES), at=st.integers(0, 9))
    def nonsense_about_queues_is_refused(self, name: str, at: int) -> None:
        world, spec = self.world, TaskSpec()
        inner = [q for q in world.queues.declared if q not in world.queues.leaves()]
        busy = sorted(self._busy() - {""})
        node = next(iter(world.cluster.places), "")
        nonsense = [
            (QueueDeclared(Queue(name=name, parent="unheard-of")), "queue.parent"),
            (QueueDeclared(Queue(name=name, parent=name)), "queue.parent"),
            (QueueRemoved("unheard-of"), "queue.name"),
            (QueueRemoved(""), "queue.name"),
            (TaskSubmitted(Task(id="odd", spec=spec, queue="unheard-of")), "queue"),
            *((TaskSubmitted(Task(id="odd", spec=spec, queue=q)), "queue") for q in inner[:1]),
            *((TaskPlaced(Task(id="odd", spec=spec, queue=q), node), "queue") for q in inner[:1] if node),
            *((QueueDeclared(Queue(name="below", parent=q)), "queue.parent") for q in busy[:1]),
            *((QueueDeclared(Queue(name=world.queues.path(q)[-1], parent=q)), "queue.parent") for q in busy[:1]),
        ]
        self._refused(*nonsense[at % len(nonsense)])

    def _refused(self, event, field: str) -> None:
        before = engine_of(self.world.engine)
        with pytest.raises(InvalidInput) as refusal:
            self.world.engine.apply(event, self.world.now)
        assert refusal.value.field == field
        assert engine_of(self.world.engine) == before


def _in_queue(task: Task, queue: str) -> Task:
    return Task(**{f: getattr(task, f) for f in Task.__struct_fields__ if f != "queue"}, queue=queue)


TestQueued = case(Queued)
