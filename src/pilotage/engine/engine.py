"""The engine: events change the state, `decide` turns waiting tasks into effects.

`apply` and `decide` are the only two ways in. Both take the time as an argument; equal calls in equal order give
equal effects, byte for byte.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from pilotage.engine.claims import Claims, StakeCheckpoint
from pilotage.engine.cycle import Cycle
from pilotage.engine.gang_cycle import GangCycle
from pilotage.engine.gangs import Gangs, GangsCheckpoint
from pilotage.engine.kinds import Kinds
from pilotage.engine.mix import MixCheckpoint, MixLearner
from pilotage.engine.preemption import Preemption
from pilotage.engine.state import State, StateCheckpoint
from pilotage.engine.story import Story
from pilotage.engine.task_table import TaskTable
from pilotage.engine.waiting import Backoff, RoomCheckpoint, Waiting, WaitingRoom
from pilotage.kernel.policy import Policy
from pilotage.model.effects import Bind, Decision, Displaced, Effect, Evict, Nominated, Reject
from pilotage.model.errors import InvalidInput
from pilotage.model.events import (
    BindConfirmed,
    BindFailed,
    Cure,
    Event,
    EvictFailed,
    GangDeclared,
    GangRemoved,
    NodeAdded,
    NodeRemoved,
    NodeUpdated,
    QueueDeclared,
    QueueRemoved,
    TaskFinished,
    TaskPlaced,
    TaskSubmitted,
    TaskUngated,
    WorkloadExpected,
)
from pilotage.model.node import Node
from pilotage.model.task import Task
from pilotage.model.workload import Workload

CACHE_BYTES = 256 * 2**20


class Checkpoint(Struct, frozen=True, kw_only=True):
    """All of an engine that later decisions rest on, as plain values. What is remembered to be fast is not in it.

    ``mix`` is None where the mix of tasks is told. ``attempts``: rejections and failures of tasks that are assumed.
    ``effects``: those that the next `decide` hands over.
    """

    seq: int
    decided_at: float
    effects: tuple[Effect, ...]
    attempts: tuple[tuple[str, int], ...]
    mix: MixCheckpoint | None
    room: RoomCheckpoint
    state: StateCheckpoint
    claims: tuple[StakeCheckpoint, ...] = ()
    gangs: GangsCheckpoint = GangsCheckpoint((), ())


class Engine:
    """One scheduler: a policy, the state of a cluster, and the tasks that wait for a place.

    ``seed`` keys every random choice. ``retry=False`` drops a task for good when no node will do (the openb
    protocol); otherwise it waits for a cure. ``cache_bytes`` bounds what is remembered between decisions.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        seed: int = 0,
        retry: bool = True,
        backoff: Backoff | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self.policy = policy
        self.seed = seed
        self.retry = retry
        scorers = tuple(scorer for scorer, _ in policy.scorers)
        table = TaskTable() if policy.preempt else None
        self.state = State((*policy.filters, *scorers), table)
        self.room = WaitingRoom(policy.order, backoff or Backoff(), self.state.queues)
        self.kinds = Kinds(policy, self.state.columns, cache_bytes)
        self.preemption = None if table is None else Preemption(policy, self.state, table, seed)
        self.claims = None if table is None else Claims(self.state, table, self.room)
        self.cycle = Cycle(policy, self.state, self.kinds, seed)
        self.gangs = Gangs()
        self.gang_cycle = GangCycle(self.gangs, self.room, self.state, self.cycle)
        self.story = Story()
        self._tell = self.story.tell
        self._plugins = (*policy.filters, *scorers, policy.devices)
        self._decided_at = -1.0
        self._effects: list[Effect] = []
        self._mix = MixLearner() if any("workload" in plugin.reads for plugin in self._plugins) else None
        """Learns the mix of tasks until somebody tells it (a policy of ``mix="learned"`` does not listen)."""
        self._attempts: dict[str, int] = {}
        """Rejections and failures of the tasks that are assumed, for the backoff should their bind fail."""
        self._handlers: dict[type[Any], Callable[[Any, float], None]] = {
            NodeAdded: self._node_added,
            NodeUpdated: self._node_updated,
            NodeRemoved: self._node_removed,
            TaskSubmitted: self._task_submitted,
            TaskUngated: self._task_ungated,
            TaskPlaced: self._task_placed,
            TaskFinished: self._task_finished,
            BindConfirmed: self._bind_confirmed,
            BindFailed: self._bind_failed,
            WorkloadExpected: self._workload_expected,
            QueueDeclared: self._queue_declared,
            QueueRemoved: self._queue_removed,
            EvictFailed: self._evict_failed,
            GangDeclared: self._gang_declared,
            GangRemoved: self._gang_removed,
        }

    # -- events --------------------------------------------------------------------------------------------------

    def apply(self, event: Event, now: float = 0.0) -> None:
        """Take note of what happened. Raises `InvalidInput`, with nothing changed, for what can not be."""
        self._handlers[type(event)](event, now)
        if self.claims is not None and self.claims.stakes:
            self.claims.follow(event, now)
        if self.state.queues.fallen:
            self.room.queues_moved(now)

    def _node_added(self, event: NodeAdded, now: float) -> None:
        self.state.add_node(event.node)
        self._tell(now, event.node.name, "node added")
        self.room.cured(Cure.NODE_ADDED, now)

    def _node_updated(self, event: NodeUpdated, now: float) -> None:
        self.state.row_of(event.node.name)
        before = self.state.nodes[event.node.name]
        self.state.update_node(event.node)
        self._tell(now, event.node.name, "node updated")
        cure = _cure_of(before, event.node)
        if cure:
            self.room.cured(cure, now)

    def _node_removed(self, event: NodeRemoved, now: float) -> None:
        lost = self.state.remove_node(event.name)
        self._tell(now, event.name, "node removed", f"{len(lost)} tasks lose their place")
        for placement in lost:
            self._displace(placement.task.id, event.name, "node removed", now)
            self.room.retry(placement.task, 0, now)
        self._members_lost([placement.task for placement in lost], f"node {event.name} is gone", now)

    def _task_submitted(self, event: TaskSubmitted, now: float) -> None:
        task = event.task
        if task.id in self.room or task.id in self.state.placements:
            raise InvalidInput("task_id", f"a task called {task.id!r} is known already")
        if task.queue:
            self.state.queues.check_task(task)
        if task.gang:
            self.gangs.check(task)
        self.room.submit(task)
        if task.gang and not task.gates:
            self.gangs.waits(task)
        self._tell(now, task.id, "submitted")
        self._learn(task, now)

    def _task_ungated(self, event: TaskUngated, now: float) -> None:
        waiting = self.room.get(event.task_id)
        if waiting is None:
            raise InvalidInput("task_id", f"no task {event.task_id!r} waits")
        self.room.ungate(event.task_id)
        if waiting.task.gang:
            self.gangs.waits(waiting.task)
        self._tell(now, event.task_id, "ungated")

    def _task_placed(self, event: TaskPlaced, now: float) -> None:
        task, row = event.task, self.state.row_of(event.node)
        if task.id in self.state.placements:
            raise InvalidInput("task_id", f"task {task.id!r} is on a node already")
        self.state.queues.check_task(task)
        self.gangs.check(task)
        if len(event.gpus) != task.gpus or len(set(event.gpus)) != task.gpus:
            raise InvalidInput("gpus", f"task {task.id!r} asks for {task.gpus} GPUs, its place names {event.gpus}")
        gpu_count = int(self.state.columns.gpu_count[row])
        if any(not 0 <= gpu < gpu_count for gpu in event.gpus):
            raise InvalidInput("gpus", f"node {event.node!r} has GPUs 0 to {gpu_count - 1}, got {event.gpus}")
        self.state.place(task, row, event.gpus, bound=True, known=True)
        new = not self.room.discard(task.id)
        if task.gang:
            self.gangs.placed(task, outside=True)
            for member in self.gangs.let_go(task.gang):
                self.room.ungate(member)
        self._tell(now, task.id, "placed", event.node)
        if new:
            self._learn(task, now)
        self.room.cured(Cure.TASK_CAME, now)

    def _task_finished(self, event: TaskFinished, now: float) -> None:
        task_id = event.task_id
        if task_id in self.state.placements:
            task = self.state.remove(task_id).task
            self._attempts.pop(task_id, None)
            if self._mix is not None:
                self._mix.left()
            self.room.cured(Cure.TASK_LEFT, now)
        elif task_id in self.room:
            task = self.room.take(task_id).task
        else:
            raise InvalidInput("task_id", f"no task is called {task_id!r}")
        if task.gang:
            self.gangs.ended(task)
        self._tell(now, task_id, "finished")

    def _bind_confirmed(self, event: BindConfirmed, now: float) -> None:
        self.state.confirm(event.task_id)
        self._attempts.pop(event.task_id, None)
        self._tell(now, event.task_id, "bind confirmed")

    def _bind_failed(self, event: BindFailed, now: float) -> None:
        placement = self.state.placements.get(event.task_id)
        if placement is None or placement.bound:
            what = "is on no node" if placement is None else "is bound already"
            raise InvalidInput("task_id", f"task {event.task_id!r} {what}")
        self.state.remove(event.task_id)
        attempts = self._attempts.pop(event.task_id, 0) + 1
        self.room.retry(placement.task, attempts, now)
        self._tell(now, event.task_id, "bind failed", event.reason)
        self._members_lost([placement.task], f"task {event.task_id} could not be bound", now)
        self.room.cured(Cure.TASK_LEFT, now)

    def _workload_expected(self, event: WorkloadExpected, now: float) -> None:
        if self.policy.mix == "told":
            self._mix = None
            self._expect(event.workload, "expected", now)

    def _learn(self, task: Task, now: float) -> None:
        """Count an arrival towards the mix, where it is learned."""
        workload = None if self._mix is None else self._mix.note(task.spec)
        if workload is not None and workload != self.state.columns.workload:
            self._expect(workload, "learned", now)

    def _expect(self, workload: Workload, how: str, now: float) -> None:
        self.state.expect(workload)
        self._tell(now, "workload", how, f"{len(workload.parts)} specs")
        self.room.cured(Cure.WORKLOAD, now)

    def _queue_declared(self, event: QueueDeclared, now: float) -> None:
        self.state.declare_queue(event.queue, self.room.queues_in_use())
        self._tell(now, event.queue.name, "queue declared")
        self.room.queues_arranged(now)

    def _queue_removed(self, event: QueueRemoved, now: float) -> None:
        self.state.remove_queue(event.name, self.room.queues_in_use())
        self._tell(now, event.name, "queue removed")
        self.room.queues_arranged(now)

    def _evict_failed(self, event: EvictFailed, now: float) -> None:
        placement = self.state.placements.get(event.task_id)
        going = self.claims is not None and placement is not None and placement.going
        if placement is None or not (going or self.gangs.leaving(placement.task)):
            raise InvalidInput("task_id", f"task {event.task_id!r} was not to be evicted")
        self._tell(now, event.task_id, "stays", event.reason)
        if self.claims is not None and going:
            self.claims.stays(placement, now)

    def _gang_declared(self, event: GangDeclared, now: float) -> None:
        for task_id in self.gangs.declare(event.gang):
            self.room.ungate(task_id)
        self._tell(now, event.gang.name, "gang declared")

    def _gang_removed(self, event: GangRemoved, now: float) -> None:
        self.gangs.remove(event.name)
        self._tell(now, event.name, "gang removed")

    def _members_lost(self, tasks: list[Task], reason: str, now: float) -> None:
        """Note that tasks lost their place against their will; a gang below its minimum is told to leave as a whole."""
        members = [task for task in tasks if task.gang]
        for task in members:
            self.gangs.lost(task, waits=task.id in self.room)
        for name in dict.fromkeys(task.gang for task in members):
            if self.gangs.stands(name):
                continue
            for task in self.gangs.break_up(name):
                placement = self.state.placements[task.id]
                node = self.state.columns.names[placement.row]
                self._effects.append(Evict(task.id, node, name, f"gang below its minimum: {reason}"))
                self._tell(now, task.id, "evicted", f"gang {name} is below its minimum")

    # -- decisions -----------------------------------------------------------------------------------------------

    def decide(self, now: float = 0.0, budget: int | None = None) -> list[Effect]:
        """Decide on the tasks that can be decided now, at most ``budget`` of them, and return the effects.

        A plugin that fails stops the round: its task is put back, what was decided before is returned by the next
        call, and the error is raised.
        """
        room = self.room
        if now > self._decided_at:
            self._decided_at = now
            room.cured(Cure.TIME, now)
        room.release(now)
        left = budget
        while room.active and left != 0:
            left = None if left is None else left - 1
            waiting = room.pop()
            try:
                self._decide_one(waiting, now)
            except BaseException:
                room.put_back(waiting)
                raise
        effects, self._effects = self._effects, []
        return effects

    def _decide_one(self, waiting: Waiting, now: float) -> None:
        task = waiting.task
        if task.gang and not self.gangs.stands(task.gang):
            self._decide_gang(waiting, now)
            return
        decision, cures = self.cycle.decide(task, self.story.cause + 1, now)
        self.story.cause += 1
        if decision.node:
            self._bind(waiting, decision, now)
        else:
            self._reject(waiting, decision, cures, now)
            if self.retry:
                self._make_room(task, cures, now)

    def _bind(self, waiting: Waiting, decision: Decision, now: float) -> None:
        task = waiting.task
        if waiting.attempts:
            self._attempts[task.id] = waiting.attempts
        if task.gang:
            self.gangs.placed(task)
        self._effects.append(Bind(task.id, decision.node, decision.gpus, decision))
        self._tell(now, task.id, "assumed", decision.node)
        self.room.cured(Cure.TASK_CAME, now)
        if self.claims is not None:
            self.claims.drop(task.id, now)

    def _reject(self, waiting: Waiting, decision: Decision, cures: Cure, now: float) -> None:
        task = waiting.task
        self._effects.append(Reject(task.id, not self.retry, decision))
        self._tell(now, task.id, "rejected" if self.retry else "dropped", decision.rejections)
        if self.retry:
            self.room.reject(waiting, cures, now)
        elif task.gang:
            self.gangs.ended(task)

    def _decide_gang(self, first: Waiting, now: float) -> None:
        """Try the core of a gang, if enough members are there; its other members then follow one by one."""
        lacking = self.gangs.lacking(first.task)
        if lacking:
            self.room.hold(first)
            self.gangs.hold(first.task)
            self._tell(now, first.task.id, "held", lacking)
            return
        verdict = self.gang_cycle.decide(first, self.story.cause, now)
        self.story.cause += len(verdict.core)
        for member, decision in zip(verdict.core, verdict.decisions, strict=True):
            if verdict.placed:
                self._bind(member, decision, now)
            else:
                self._reject(member, decision, verdict.cures, now)
        if verdict.placed:
            for task_id in self.gangs.let_go(first.task.gang):
                self.room.ungate(task_id)

    def _make_room(self, task: Task, cures: Cure, now: float) -> None:
        """Look for less important tasks that could leave for ``task``, which has just been rejected."""
        if self.claims is None or self.preemption is None or self.claims.waits(task.id):
            return
        self.claims.drop(task.id, now)
        room = None if cures == Cure.QUEUE else self.preemption.search(task, now)
        if room is None:
            return
        node = self.state.columns.names[room.row]
        self.claims.stake(task, room, now)
        leaving = tuple(placement.task.id for placement in (*room.victims, *room.going))
        self._effects.append(Nominated(task.id, node, leaving))
        self._tell(now, task.id, "nominated", node)
        for victim in room.victims:
            self._effects.append(Evict(victim.task.id, node, task.id, "preempted"))
            self._tell(now, victim.task.id, "evicted", f"for {task.id}")
        self._members_lost([victim.task for victim in room.victims], f"preempted by {task.id}", now)

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def checkpoint(self) -> Checkpoint:
        """Return all that `restore` needs to make an engine that decides the same from here on."""
        return Checkpoint(
            seq=self.story.cause,
            decided_at=self._decided_at,
            effects=tuple(self._effects),
            attempts=tuple(self._attempts.items()),
            mix=None if self._mix is None else self._mix.checkpoint(),
            room=self.room.checkpoint(),
            state=self.state.checkpoint(),
            claims=() if self.claims is None else self.claims.checkpoint(),
            gangs=self.gangs.checkpoint(),
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Fill this engine, which must be new, from a checkpoint. Its policy may be another one."""
        self.story.cause = checkpoint.seq
        self._decided_at = checkpoint.decided_at
        self._effects = list(checkpoint.effects)
        self._attempts = dict(checkpoint.attempts)
        if self._mix is not None and checkpoint.mix is not None:
            self._mix.restore(checkpoint.mix)
        elif checkpoint.state.workload is not None:
            self._mix = None
        self.state.restore(checkpoint.state)
        self.room.restore(checkpoint.room)
        self.gangs.restore(checkpoint.gangs)
        if self.claims is not None:
            self.claims.restore(checkpoint.claims)

    def _displace(self, task_id: str, node: str, reason: str, now: float) -> None:
        self._effects.append(Displaced(task_id, node, reason))
        self._attempts.pop(task_id, None)
        self._tell(now, task_id, "displaced", node)


def _cure_of(before: Node, after: Node) -> Cure:
    """Return which kinds of cure lie between two forms of a node."""
    cure = Cure(0)
    if before.labels != after.labels:
        cure |= Cure.LABELS
    if before.taints != after.taints:
        cure |= Cure.TAINTS
    if before.cordoned != after.cordoned:
        cure |= Cure.CORDON
    if (before.capacity, before.gpus, before.gpu_model) != (after.capacity, after.gpus, after.gpu_model):
        cure |= Cure.CAPACITY
    return cure
