"""A world of tasks on a virtual clock: it drives the real engine exactly as production does, minus the waiting.

::

    arrivals ───┐                                     ┌─▶ bind: confirmed at once, departure after its duration
    departures ─┼─▶ events of one instant ─▶ decide ──┤
    backoffs ───┤                                     ├─▶ evict: it leaves in the next step, at the same instant, and
    evictions ──┘                                     │   waits again, to run from its beginning
                                                      └─▶ reject: the engine's waiting room keeps it, or drops it

At one instant tasks first leave, then arrive, then the engine decides. Equal inputs give equal steps.
"""

from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from time import process_time
from typing import NamedTuple

from pilotage.engine.engine import Engine
from pilotage.model.effects import Bind, Effect, Evict, Reject
from pilotage.model.events import BindConfirmed, Event, TaskFinished, TaskSubmitted
from pilotage.model.task import Task
from pilotage.sim.traces.trace import FOREVER_S

_DEPARTURE, _ARRIVAL = 0, 1


class Departure(NamedTuple):
    """A task that left, and the row of the node it was on."""

    task: Task
    row: int


class Step(NamedTuple):
    """What happened at one instant, in this order."""

    now: float
    departed: list[Departure]
    arrived: list[Task]
    effects: list[Effect]
    evicted: tuple[Departure, ...] = ()
    """Who left first of all, for a more important task, and waits again."""


class World:
    """Tasks that come to an engine, and leave it ``durations_s`` seconds after they were placed.

    The engine knows its nodes already. ``cpu_s`` is the CPU time spent inside the engine so far, in seconds: nothing
    else is in it; ``step_cpu_s`` and ``step_decisions`` are the same and the decisions made, step by step.
    ``duration_of`` is known for tasks that leave.
    """

    def __init__(self, engine: Engine, tasks: Iterable[Task], durations_s: Iterable[float]) -> None:
        self.engine = engine
        self.cpu_s = 0.0
        self.step_cpu_s: list[float] = []
        self.step_decisions: list[int] = []
        self.duration_of: dict[str, float] = {}
        self._leaves: dict[str, int] = {}
        """By task that runs, the number of its departure: of one that was evicted the old one means nothing."""
        self._evicted: list[str] = []
        self._now = 0.0
        self._heap: list[tuple[float, int, int, Task]] = []
        for sequence, (task, duration_s) in enumerate(zip(tasks, durations_s, strict=True)):
            self._heap.append((task.arrival_s, _ARRIVAL, sequence, task))
            if duration_s != FOREVER_S:
                self.duration_of[task.id] = duration_s
        self._sequence = len(self._heap)
        heapify(self._heap)

    def steps(self) -> Iterator[Step]:
        """Play until nothing is left that could happen; tasks may still wait then."""
        while (now := self._next_s()) is not None:
            yield self._step(now)

    def apply(self, event: Event, now: float = 0.0) -> None:
        """Hand one event to the engine, on its account of CPU time."""
        begin = process_time()
        self.engine.apply(event, now)
        self.cpu_s += process_time() - begin

    def _next_s(self) -> float | None:
        if self._evicted:
            return self._now
        release_s = self.engine.room.next_release_s
        if not self._heap:
            return release_s
        return self._heap[0][0] if release_s is None else min(self._heap[0][0], release_s)

    def _step(self, now: float) -> Step:
        self._now = now
        evicted: list[Departure] = []
        departed: list[Departure] = []
        arrived: list[Task] = []
        events: list[Event] = []
        placements = self.engine.state.placements
        for placement in [placements[task_id] for task_id in self._evicted]:
            self._leaves.pop(placement.task.id, None)
            evicted.append(Departure(placement.task, placement.row))
            events += (TaskFinished(placement.task.id), TaskSubmitted(placement.task))
        self._evicted = []
        while self._heap and self._heap[0][0] <= now:
            _, what, sequence, task = heappop(self._heap)
            if what == _ARRIVAL:
                arrived.append(task)
                events.append(TaskSubmitted(task))
            elif self._leaves.get(task.id) == sequence:
                del self._leaves[task.id]
                departed.append(Departure(task, placements[task.id].row))
                events.append(TaskFinished(task.id))
        begin = process_time()
        for event in events:
            self.engine.apply(event, now)
        effects = self.engine.decide(now)
        for effect in effects:
            if isinstance(effect, Bind):
                self.engine.apply(BindConfirmed(effect.task_id), now)
        spent = process_time() - begin
        self.cpu_s += spent
        self.step_cpu_s.append(spent)
        self.step_decisions.append(sum(isinstance(effect, Bind | Reject) for effect in effects))
        self._evicted = [effect.task_id for effect in effects if isinstance(effect, Evict)]
        for effect in effects:
            if isinstance(effect, Bind):
                self._expect_departure(effect.task_id, now)
        return Step(now, departed, arrived, effects, tuple(evicted))

    def _expect_departure(self, task_id: str, now: float) -> None:
        duration_s = self.duration_of.get(task_id)
        if duration_s is not None:
            task = self.engine.state.placements[task_id].task
            self._leaves[task_id] = self._sequence
            heappush(self._heap, (now + duration_s, _DEPARTURE, self._sequence, task))
            self._sequence += 1
