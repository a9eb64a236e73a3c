"""A world of tasks on a virtual clock: it drives the real engine exactly as production does, minus the waiting.

::

    arrivals ───┐                                     ┌─▶ bind: confirmed at once, departure after its duration
    departures ─┼─▶ events of one instant ─▶ decide ──┤
    backoffs ───┘                                     └─▶ reject: the engine's waiting room keeps it, or drops it

At one instant tasks first leave, then arrive, then the engine decides. Equal inputs give equal steps.
"""

from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from time import process_time
from typing import NamedTuple

from pilotage.engine.engine import Engine
from pilotage.model.effects import Bind, Displaced, Effect
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
        release_s = self.engine.room.next_release_s
        if not self._heap:
            return release_s
        return self._heap[0][0] if release_s is None else min(self._heap[0][0], release_s)

    def _step(self, now: float) -> Step:
        departed: list[Departure] = []
        arrived: list[Task] = []
        events: list[Event] = []
        while self._heap and self._heap[0][0] <= now:
            _, what, _, task = heappop(self._heap)
            if what == _ARRIVAL:
                arrived.append(task)
                events.append(TaskSubmitted(task))
            else:
                departed.append(Departure(task, self.engine.state.placements[task.id].row))
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
        self.step_decisions.append(sum(not isinstance(effect, Displaced) for effect in effects))
        for effect in effects:
            if isinstance(effect, Bind):
                self._expect_departure(effect.task_id, now)
        return Step(now, departed, arrived, effects)

    def _expect_departure(self, task_id: str, now: float) -> None:
        duration_s = self.duration_of.get(task_id)
        if duration_s is not None:
            task = self.engine.state.placements[task_id].task
            heappush(self._heap, (now + duration_s, _DEPARTURE, self._sequence, task))
            self._sequence += 1
