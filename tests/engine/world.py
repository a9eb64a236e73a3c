"""An engine and the naive reference side by side: told the same events, they must do the same.

The reference of the waiting room is here: plain lists and a sort at every pop. `World.check` compares everything.
"""

from collections import deque
from dataclasses import dataclass, field, replace

from pilotage.engine.engine import Engine
from pilotage.engine.validate import validate
from pilotage.kernel.policy import Policy
from pilotage.model.effects import Bind, Displaced, Effect, Evict, Nominated, Reject
from pilotage.model.events import (
    BindConfirmed,
    BindFailed,
    Event,
    EvictFailed,
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
from tests.engine.preemption_reference import Claim, kept_for_others, search
from tests.engine.queue_reference import Queues
from tests.kernel.reference import Cluster, Place, Rules, decide

CURES = {
    "cordon": {"cordon"},
    "node-name": {"node added"},
    "taints": {"taints"},
    "node-affinity": {"labels"},
    "pool": {"labels"},
    "dedicated": {"labels"},
    "traits": {"labels"},
    "ports": {"task left"},
    "capacity": {"capacity", "task left"},
    "gpu-fit": {"capacity", "task left"},
    "kept": {"task left"},
}
ANYTHING = {"node added", "capacity", "labels", "taints", "cordon", "task left", "task came", "workload"}
"""What may cure a user's filter that does not look at the clock."""


@dataclass
class Entry:
    """A waiting task as the reference sees it."""

    task: Task
    seq: int
    place: str
    attempts: int = 0
    rejected_at: float = 0.0
    due: float = 0.0
    cures: set[str] = field(default_factory=set)


class World:
    """Apply events and decide; every effect is compared with what the reference would do."""

    def __init__(self, policy: Policy, rules: Rules, seed: int = 0, **options: object) -> None:
        self.engine = Engine(policy, seed=seed, **options)
        self.claims: dict[str, Claim] = {}
        self.going: set[str] = set()
        self.placed: dict[str, int] = {}
        self.first: list[str] = []
        if policy.preempt:
            before = {name: rule for name, rule in rules.filters.items() if name not in rules.timed}
            rules = replace(rules, filters={**before, "kept": self._kept, **rules.filters})
        self.rules = rules
        self.cluster = Cluster(seed=seed)
        self.where: dict[str, str] = {}
        self.bound: set[str] = set()
        self.attempts: dict[str, int] = {}
        self.waiting: dict[str, Entry] = {}
        self.displaced: list[tuple[str, str]] = []
        self.tasks: dict[str, Task] = {}
        self.queues = Queues()
        self.fallen: set[str] = set()
        self.over: set[str] = set()
        self.now = self._decided_at = 0.0
        self._submitted = 0
        self._decided = 0

    # -- events --------------------------------------------------------------------------------------------------

    def apply(self, event: Event) -> None:
        self.engine.apply(event, self.now)
        match event:
            case NodeAdded(node=node):
                self.cluster.places[node.name] = Place(node)
                self._wake({"node added"})
            case NodeUpdated(node=node):
                place = self.cluster.places[node.name]
                cures = differences(place.node, node)
                place.node = node
                self._wake(cures)
            case NodeRemoved(name=name):
                for task_id in self.cluster.places.pop(name).tasks:
                    self.displaced.append((task_id, name))
                    self._requeue(task_id, 0)
            case TaskSubmitted(task=task):
                self.tasks[task.id] = task
                self._enter(task, "gated" if task.gates else "active")
            case TaskUngated(task_id=task_id):
                if self.waiting[task_id].place == "gated":
                    self.waiting[task_id].place = "active"
            case TaskPlaced(task=task, node=node, gpus=gpus):
                entry = self.waiting.pop(task.id, None)
                self.tasks[task.id] = task
                self._put(task, node, gpus, bound=True)
                if entry is not None and entry.place == "active":
                    self._follow(entry.task)
                self._wake({"task came"})
            case TaskFinished(task_id=task_id):
                self.over.add(task_id)
                entry = self.waiting.pop(task_id, None)
                if entry is None:
                    self._take(task_id)
                    self._wake({"task left"})
                elif entry.place == "active":
                    self._follow(entry.task)
            case BindConfirmed(task_id=task_id):
                self.bound.add(task_id)
                self.attempts.pop(task_id, None)
            case BindFailed(task_id=task_id):
                attempts = self.attempts.get(task_id, 0) + 1
                del self.cluster.places[self.where[task_id]].tasks[task_id]
                self._requeue(task_id, attempts)
                self._wake({"task left"})
            case WorkloadExpected(workload=workload) if self.rules.listens:
                self.cluster.workload = workload
                self._wake({"workload"})
            case QueueDeclared(queue=queue):
                self.queues.declared[queue.name] = queue
                self.fallen |= {"", *self.queues.declared}
            case QueueRemoved(name=name):
                del self.queues.declared[name]
                self.fallen |= {"", *self.queues.declared}
            case EvictFailed(task_id=task_id):
                self.going.discard(task_id)
                for claimant in [t for t, claim in self.claims.items() if task_id in claim.waits_for]:
                    self._give_up(claimant)
        if self.claims:
            self._follow_claims(event)
        self._let_go()

    # -- decisions -----------------------------------------------------------------------------------------------

    def decide(self, budget: int | None = None) -> list[Effect]:
        """Decide as the engine does, and compare effect by effect."""
        if self.now > self._decided_at:
            self._decided_at = self.now
            self._wake({"time"})
        for entry in self.waiting.values():
            if entry.place == "backoff" and entry.due <= self.now:
                entry.place = "active"
        effects = self.engine.decide(self.now, budget)
        lost, decided = effects[: len(self.displaced)], effects[len(self.displaced) :]
        assert [(e.task_id, e.node) for e in lost if isinstance(e, Displaced)] == self.displaced
        self.displaced = []
        left = deque(decided)
        while left:
            effect = left.popleft()
            self._expect(effect)
            if isinstance(effect, Reject) and self.engine.policy.preempt and self.engine.retry:
                self._expect_room(self.waiting[effect.task_id], left)
        decided = [effect for effect in decided if isinstance(effect, Bind | Reject)]
        done = not any(entry.place == "active" for entry in self.waiting.values())
        assert done or len(decided) == budget
        return effects

    def _expect(self, effect: Effect) -> None:
        """The effect must be about the first active task, and say what the reference says."""
        active = [entry for entry in self.waiting.values() if entry.place == "active"]
        capacity: dict[str, int] = {}
        for place in self.cluster.places.values():
            for resource, amount in place.node.capacity.items():
                capacity[resource] = capacity.get(resource, 0) + amount
        hurried = [t for t in self.first if t in self.waiting and self.waiting[t].place == "active"]
        leaf = self.queues.pick({entry.task.queue for entry in active}, self._running, capacity)
        entry = _first([entry for entry in active if entry.task.queue == leaf])
        if hurried:
            entry = self.waiting[hurried[0]]
            self.first = [t for t in self.first if t != hurried[0]]
        task = entry.task
        over = self.queues.over_limit(task, self._running)
        if over is not None:
            self._expect_held(effect, entry, *over)
            return
        entry.place = "popped"
        self._follow(task)
        outcome = decide(self.rules, task, self.cluster)
        self._decided += 1
        decision = effect.decision
        assert (effect.task_id, decision.task_id, decision.seq) == (task.id, task.id, self._decided)
        assert decision.now == self.now
        assert decision.feasible == len(outcome.totals)
        if not outcome.node:
            assert isinstance(effect, Reject), f"{effect} but no node is feasible"
            assert effect.final == (not self.engine.retry)
            assert {(name, reason): n for name, reason, n in decision.rejections} == outcome.rejections
            if self.engine.retry:
                entry.place, entry.rejected_at = "unschedulable", self.now
                entry.attempts += 1
                entry.cures = {"node added"}.union(*(self._cures_of(name) for name, _ in outcome.rejections))
            else:
                del self.waiting[task.id]
                self.over.add(task.id)
            return
        assert isinstance(effect, Bind), f"{effect} but {outcome.node} is feasible"
        assert decision.score == outcome.totals[outcome.node]
        assert (effect.node, effect.gpus) == (outcome.node, outcome.gpus), outcome.totals
        assert (decision.node, decision.gpus) == (effect.node, effect.gpus)
        del self.waiting[task.id]
        if entry.attempts:
            self.attempts[task.id] = entry.attempts
        self._put(task, effect.node, effect.gpus, bound=False)
        self._wake({"task came"})
        self._drop(task.id)

    def _expect_held(self, effect: Effect, entry: Entry, queue: str, resource: str) -> None:
        self._decided += 1
        assert isinstance(effect, Reject), f"{effect} but {entry.task.queue} would pass a limit"
        assert (effect.task_id, effect.decision.seq) == (entry.task.id, self._decided)
        why = ("queue", f"queue {queue} would pass its limit of {resource}", len(self.cluster.places))
        assert effect.decision.rejections == (why,)
        entry.place, entry.cures = "unschedulable", {"queue"}
        self.queues.blocker[_group(entry.task)] = queue

    # -- preemption ----------------------------------------------------------------------------------------------

    def _kept(self, task: Task, place: Place) -> list[str]:
        return kept_for_others(task, place, [c for c in self.claims.values() if c.node == place.node.name])

    def _expect_room(self, entry: Entry, left: deque[Effect]) -> None:
        """After a rejection: who has to go, if that helps."""
        task = entry.task
        claim = self.claims.get(task.id)
        if claim is not None and claim.waits_for:
            return
        self._drop(task.id)
        if entry.cures == {"queue"}:
            return
        found = search(self.rules, task, self.cluster, self.tasks, self.placed, self.going)
        if found is None:
            return
        for other in [t for t, c in self.claims.items() if c.node == found.node and c.task.priority < task.priority]:
            self._give_up(other)
        leaving = (*found.victims, *found.going)
        assert left, f"{task.id} finds room on {found}"
        nominated = left.popleft()
        assert nominated == Nominated(task.id, found.node, leaving), f"{nominated} but {found}"
        for victim in found.victims:
            assert left.popleft() == Evict(victim, found.node, task.id, "preempted")
        self.going |= set(found.victims)
        self.claims[task.id] = Claim(task, found.node, found.gpus, set(leaving))

    def _drop(self, task_id: str) -> None:
        if self.claims.pop(task_id, None) is not None:
            self._wake({"task left"})

    def _give_up(self, task_id: str) -> None:
        self._drop(task_id)
        if self.waiting[task_id].place == "unschedulable":
            self._rouse(self.waiting[task_id])

    def _follow_claims(self, event: Event) -> None:
        match event:
            case TaskFinished(task_id=task_id):
                self._drop(task_id)
                self._gone(task_id)
            case TaskPlaced(task=task):
                self._drop(task.id)
            case BindFailed(task_id=task_id):
                self._gone(task_id)
            case NodeRemoved(name=name):
                for claimant in [t for t, claim in self.claims.items() if claim.node == name]:
                    self._give_up(claimant)

    def _gone(self, task_id: str) -> None:
        for claimant, claim in self.claims.items():
            if task_id in claim.waits_for:
                claim.waits_for.discard(task_id)
                if not claim.waits_for:
                    self.waiting[claimant].place = "active"
                    self.first.append(claimant)

    # -- queues --------------------------------------------------------------------------------------------------

    @property
    def _running(self) -> list[Task]:
        return [self.tasks[task_id] for task_id in self.where]

    @property
    def _held(self) -> list[Entry]:
        """Those that nothing but a queue's limit holds back."""
        return [e for e in self.waiting.values() if e.cures == {"queue"} and e.place == "unschedulable"]

    def _follow(self, task: Task) -> None:
        """The first held task of the same group may go on, if there is room."""
        group = [entry for entry in self._held if _group(entry.task) == _group(task)]
        if group:
            over = self.queues.over_limit(task, self._running)
            if over is None:
                _first(group).place = "active"
            else:
                self.queues.blocker[_group(task)] = over[0]

    def _let_go(self) -> None:
        """Of each group that a queue held back whose use fell, the first task goes on if there is room."""
        for one in {_group(entry.task): entry.task for entry in self._held}.values():
            if self.queues.blocker[_group(one)] in self.fallen:
                self._follow(one)
        self.fallen.clear()

    # -- comparison ----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Engine and reference agree on where everything is; no invariant is broken; nobody sleeps for nothing."""
        validate(self.engine)
        state, room = self.engine.state, self.engine.room
        assert list(state.nodes.values()) == [place.node for place in self.cluster.places.values()]
        assert {t: state.columns.names[p.row] for t, p in state.placements.items()} == self.where
        assert {t for t, p in state.placements.items() if p.bound} == self.bound
        for name, place in self.cluster.places.items():
            row = state.columns.row_of[name]
            assert sorted(state.tasks_on[row], key=lambda t: state.placements[t].seq) == list(place.tasks)
            for task_id, (_, gpus) in place.tasks.items():
                assert state.placements[task_id].gpus == gpus
        assert {w.task.id: w.place for w in room} == {t: e.place for t, e in self.waiting.items()}
        assert {w.task.id: w.attempts for w in room} == {t: e.attempts for t, e in self.waiting.items()}
        assert {t: n for t, n in self.engine._attempts.items() if t in self.where} == self.attempts
        assert room.next_release_s == min((e.due for e in self.waiting.values() if e.place == "backoff"), default=None)
        assert self.waiting.keys() | self.where.keys() | self.over == self.tasks.keys()
        assert not self.waiting.keys() & self.where.keys()
        if self.engine.claims is not None:
            stakes = {t: (s.node, s.claim.gpus, set(s.waits_for)) for t, s in self.engine.claims.stakes.items()}
            assert stakes == {t: (c.node, c.gpus, c.waits_for) for t, c in self.claims.items()}
            assert {t for t, p in state.placements.items() if p.going} == self.going
        for entry in self.waiting.values():
            if entry in self._held:
                free = self.queues.over_limit(entry.task, self._running) is None
                going_on = [_group(e.task) for e in self.waiting.values() if e.place == "active"]
                assert not free or _group(entry.task) in going_on, f"{entry.task.id} is held for nothing"
            elif entry.place == "unschedulable":
                assert not decide(self.rules, entry.task, self.cluster).totals, f"{entry.task.id} sleeps for nothing"

    # -- reference of the waiting room ---------------------------------------------------------------------------

    def _enter(self, task: Task, place: str, attempts: int = 0) -> Entry:
        self._submitted += 1
        entry = self.waiting[task.id] = Entry(task, self._submitted, place, attempts, self.now)
        return entry

    def _requeue(self, task_id: str, attempts: int) -> None:
        """A task that lost its place: at once, or after its backoff if its bind failed."""
        task = self.tasks[task_id]
        del self.where[task_id]
        self.going.discard(task_id)
        self.fallen |= {*self.queues.path(task.queue)}
        self.bound.discard(task_id)
        self.attempts.pop(task_id, None)
        entry = self._enter(task, "active", attempts)
        if attempts:
            self._rouse(entry)

    def _cures_of(self, name: str) -> set[str]:
        return CURES.get(name, ANYTHING | {"time"} if name in self.rules.timed else ANYTHING)

    def _wake(self, cures: set[str]) -> None:
        for entry in self.waiting.values():
            if entry.place == "unschedulable" and entry.cures & cures:
                self._rouse(entry)

    def _rouse(self, entry: Entry) -> None:
        entry.due = entry.rejected_at + min(10.0, 2.0 ** (entry.attempts - 1))
        entry.place = "active" if entry.due <= self.now else "backoff"

    def _put(self, task: Task, node: str, gpus: tuple[int, ...], *, bound: bool) -> None:
        self.where[task.id] = node
        self.placed[task.id] = max(self.placed.values(), default=0) + 1
        self.cluster.places[node].tasks[task.id] = (task.spec, gpus)
        if bound:
            self.bound.add(task.id)

    def _take(self, task_id: str) -> None:
        self.fallen |= {*self.queues.path(self.tasks[task_id].queue)}
        del self.cluster.places[self.where.pop(task_id)].tasks[task_id]
        self.going.discard(task_id)
        self.bound.discard(task_id)
        self.attempts.pop(task_id, None)


def _first(entries: list[Entry]) -> Entry:
    return min(entries, key=lambda e: (-e.task.priority, e.task.arrival_s, e.seq))


def _group(task: Task) -> tuple:
    return (task.queue, tuple(sorted(task.demand.items())))


def differences(before: Node, after: Node) -> set[str]:
    """Kinds of change between two forms of a node."""
    cures = set()
    if (before.capacity, before.gpus, before.gpu_model) != (after.capacity, after.gpus, after.gpu_model):
        cures.add("capacity")
    for fact, cure in (("labels", "labels"), ("taints", "taints"), ("cordoned", "cordon")):
        if getattr(before, fact) != getattr(after, fact):
            cures.add(cure)
    return cures
