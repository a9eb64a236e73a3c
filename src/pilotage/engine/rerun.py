"""Rerun: what another policy would have done with the events of a record.

Nodes and tasks come as recorded, and decisions are asked for at the recorded moments. What rested on the decisions of
then can not: so binds are confirmed at once, a task that is evicted comes again, and each runs as long as it ran then,
from its new start.
"""

from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from msgspec import Struct

from pilotage.engine.engine import CACHE_BYTES, Engine
from pilotage.engine.record import Applied, Decided, Item, Opened, effect_of
from pilotage.engine.replay import engine_of
from pilotage.kernel.policy import Policy
from pilotage.model.effects import Bind, Decision, Displaced, Effect, Evict, Reject
from pilotage.model.errors import InvalidInput
from pilotage.model.events import (
    BindConfirmed,
    BindFailed,
    Event,
    NodeRemoved,
    TaskFinished,
    TaskPlaced,
    TaskSubmitted,
)
from pilotage.model.task import Task

SHOWN = 10
"""Differences that are told one by one."""


class Ledger:
    """Who runs where since when, as a record tells it, and for how long those ran that are done."""

    def __init__(self) -> None:
        self.tasks: dict[str, Task] = {}
        self.running: dict[str, tuple[str, float]] = {}
        self.duration_s: dict[str, float] = {}
        self.decided: dict[str, Decision] = {}
        """By task, the decision that placed it last or, where none did, the last that refused it."""
        self.refusals = 0

    def open(self, item: Opened) -> None:
        """Begin with what the engine knew."""
        self.tasks.update((was.task.id, was.task) for was in item.checkpoint.room.tasks)
        for placement in item.checkpoint.state.placements:
            node, _, _ = item.checkpoint.state.rows[placement.row]
            self.tasks[placement.task.id] = placement.task
            if node is not None:
                self.running[placement.task.id] = (node.name, item.checkpoint.decided_at)

    def note_event(self, event: Event, now: float) -> None:
        """Take note of what happened outside."""
        if isinstance(event, TaskSubmitted | TaskPlaced):
            self.tasks[event.task.id] = event.task
        if isinstance(event, TaskPlaced):
            self.running[event.task.id] = (event.node, now)
        elif isinstance(event, BindFailed):
            self.running.pop(event.task_id, None)
        elif isinstance(event, NodeRemoved):
            self.running = {task: place for task, place in self.running.items() if place[0] != event.name}
        elif isinstance(event, TaskFinished) and event.task_id in self.running:
            self.duration_s[event.task_id] = now - self.running.pop(event.task_id)[1]

    def note_effect(self, effect: Effect, now: float) -> None:
        """Take note of what was decided."""
        if isinstance(effect, Bind):
            self.running[effect.task_id] = (effect.node, now)
            self.decided[effect.task_id] = effect.decision
        elif isinstance(effect, Displaced):
            self.running.pop(effect.task_id, None)
        elif isinstance(effect, Reject):
            self.refusals += 1
            before = self.decided.get(effect.task_id)
            if before is None or not before.node:
                self.decided[effect.task_id] = effect.decision

    def allocated(self) -> dict[str, int]:
        """Return what the running tasks take together, by resource."""
        total: dict[str, int] = {}
        for task_id in self.running:
            for resource, amount in self.tasks[task_id].demand.items():
                total[resource] = total.get(resource, 0) + amount
        return total


class Amount(Struct, frozen=True):
    """Of one resource in base units: allocated at the end on record, under the other policy, and in all."""

    resource: str
    recorded: int
    other: int
    capacity: int


class Diverged(Struct, frozen=True):
    """A task of which the two policies made something else; None: it was never decided on."""

    task_id: str
    recorded: Decision | None
    other: Decision | None


class Rerun(Struct, frozen=True, kw_only=True):
    """What differs. Tasks are counted by the decision that placed them last, or else refused them last.

    ``refusals_*`` counts decisions that found no node. ``skipped``: recorded events that made no sense any more.
    ``first``: the first tasks with a difference, in the order in which the other policy decided on them.
    """

    events: int
    skipped: int
    tasks: int
    same_node: int
    elsewhere: int
    only_recorded: int
    only_other: int
    neither: int
    refusals_recorded: int
    refusals_other: int
    amounts: tuple[Amount, ...]
    first: tuple[Diverged, ...]


def rerun(items: Callable[[], Iterable[Item]], policy: Policy, *, cache_bytes: int = CACHE_BYTES) -> Rerun:
    """Play a record under another policy; ``items`` gives its items from the beginning, and is asked twice."""
    then = Ledger()
    for number, item in enumerate(items()):
        if isinstance(item, Opened) and not number:
            then.open(item)
        elif isinstance(item, Applied):
            then.note_event(item.event, item.now)
        elif isinstance(item, Decided):
            for effect in item.effects:
                then.note_effect(effect_of(effect), item.now)
    world = _World(policy, cache_bytes, then)
    for item in items():
        world.take(item)
    return world.report()


class _World:
    """The other policy's world: its engine, its ledger, and who leaves when."""

    def __init__(self, policy: Policy, cache_bytes: int, then: Ledger) -> None:
        self.policy = policy
        self.cache_bytes = cache_bytes
        self.then = then
        self.mine = Ledger()
        self.engine: Engine | None = None
        self.events = 0
        self.skipped = 0
        self._leaving: list[tuple[float, int, str, tuple[str, float]]] = []
        self._binds = 0

    def take(self, item: Item) -> None:
        if isinstance(item, Opened):
            if self.engine is None:
                self.engine = engine_of(item, self.policy, self.cache_bytes)
                self.mine.open(item)
        elif isinstance(item, Applied):
            self._leave(item.now)
            self.events += 1
            if not self._rests_on_then(item.event):
                self.skipped += not self._apply(item.event, item.now)
        elif isinstance(item, Decided):
            self._leave(item.now)
            self._decide(item)

    def _rests_on_then(self, event: Event) -> bool:
        """Whether an event only says what became of a decision of then."""
        if isinstance(event, TaskFinished):
            return event.task_id in self.then.duration_s
        return isinstance(event, BindConfirmed | BindFailed)

    def _apply(self, event: Event, now: float) -> bool:
        assert self.engine is not None
        try:
            self.engine.apply(event, now)
        except InvalidInput:
            return False
        self.mine.note_event(event, now)
        return True

    def _leave(self, now: float) -> None:
        """Let those go who have run as long as they ran then."""
        while self._leaving and self._leaving[0][0] <= now:
            due, _, task_id, place = heappop(self._leaving)
            if self.mine.running.get(task_id) == place:
                self._apply(TaskFinished(task_id), due)

    def _decide(self, item: Decided) -> None:
        assert self.engine is not None
        for effect in self.engine.decide(item.now, item.budget):
            self.mine.note_effect(effect, item.now)
            if isinstance(effect, Evict):
                self._apply(TaskFinished(effect.task_id), item.now)
                self._apply(TaskSubmitted(self.mine.tasks[effect.task_id]), item.now)
            elif isinstance(effect, Bind):
                self._apply(BindConfirmed(effect.task_id), item.now)
                duration_s = self.then.duration_s.get(effect.task_id)
                if duration_s is not None:
                    self._binds += 1
                    leaves = (item.now + duration_s, self._binds, effect.task_id, (effect.node, item.now))
                    heappush(self._leaving, leaves)

    def report(self) -> Rerun:
        assert self.engine is not None
        then, mine = self.then.decided, self.mine.decided
        tasks = list(dict.fromkeys([*mine, *then]))
        pairs = [(_node(then.get(task)), _node(mine.get(task))) for task in tasks]
        others = [task for task, (a, b) in zip(tasks, pairs, strict=True) if a != b]
        columns = self.engine.state.columns
        recorded, other = self.then.allocated(), self.mine.allocated()
        return Rerun(
            events=self.events,
            skipped=self.skipped,
            tasks=len(tasks),
            same_node=sum(a == b != "" for a, b in pairs),
            elsewhere=sum("" != a != b != "" for a, b in pairs),
            only_recorded=sum(a != "" == b for a, b in pairs),
            only_other=sum(a == "" != b for a, b in pairs),
            neither=sum(a == b == "" for a, b in pairs),
            refusals_recorded=self.then.refusals,
            refusals_other=self.mine.refusals,
            amounts=tuple(
                Amount(name, recorded.get(name, 0), other.get(name, 0), int(columns.capacity[i].sum()))
                for name, i in columns.resources.items()
                if name != "tasks" and columns.capacity[i].any()
            ),
            first=tuple(Diverged(task, then.get(task), mine.get(task)) for task in others[:SHOWN]),
        )


def _node(decision: Decision | None) -> str:
    return decision.node if decision is not None else ""
