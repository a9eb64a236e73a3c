"""Explains recorded decisions: replays a record to the decision, from the nearest checkpoint, and looks there."""

from collections.abc import Iterable
from itertools import dropwhile
from pathlib import Path

from msgspec import Struct

from pilotage.adapters.records.reader import read_record
from pilotage.app.records import open_record, policy_on_record
from pilotage.engine.explain import Explanation, explain
from pilotage.engine.record import Applied, Decided, Item, Opened, effect_of
from pilotage.engine.replay import Replay
from pilotage.model.effects import Decision
from pilotage.model.errors import InvalidInput
from pilotage.model.events import TaskPlaced, TaskSubmitted
from pilotage.model.task import Task


class Explained(Struct, frozen=True):
    """A decision on record, all decisions about its task, and why it came out so."""

    decision: Decision
    decisions: tuple[Decision, ...]
    explanation: Explanation


class _Found(Struct):
    """Where the decisions about a task stand."""

    known: bool = False
    decisions: list[Decision] = []
    segments: list[int] = []
    """By decision, the segment that it is in."""


def explain_record(
    path: str, task_id: str, *, node: str = "", number: int | None = None, partial: bool = False, cache_bytes: int
) -> Explained:
    """Explain the decision with this ``number`` about a task (None: the last), and look at ``node`` besides.

    Raises `InvalidInput` if the record knows no such task, decision or node, or does not replay up to there.
    """
    record = open_record(path, partial=partial)
    policy = policy_on_record(record.header)
    found = _found(record.items, task_id)
    if not found.decisions:
        what = "it was never decided on" if found.known else f"{path} has no task of that name"
        raise InvalidInput("TASK", f"{task_id!r}: {what}")
    numbers = [decision.seq for decision in found.decisions]
    if number is not None and number not in numbers:
        known = ", ".join(map(str, numbers[-10:]))
        raise InvalidInput("--decision", f"{number} is not about {task_id!r}; these are: {known}")
    at = len(numbers) - 1 if number is None else numbers.index(number)
    target, segment = found.decisions[at], found.segments[at]
    explanations: list[Explanation] = []
    faults: list[InvalidInput] = []

    def look(task: Task, seq: int, now: float) -> None:
        assert run.engine is not None
        if seq == target.seq:
            try:
                explanations.append(explain(run.engine, task, now, about=node))
            except InvalidInput as error:  # replay would take it for a fault of the policy
                faults.append(error)

    run = Replay(policy, cache_bytes=cache_bytes)
    items = read_record(Path(path), partial=partial)
    for item in dropwhile(lambda item: not (isinstance(item, Opened) and item.header.segment == segment), items):
        difference = run.feed(item)
        if faults:
            raise faults[0]
        assert run.engine is not None
        if difference is not None and not explanations:
            reason = f"does not replay up to there: {difference.what} differs at effect {difference.effect}"
            raise InvalidInput(path, f"{reason}; see pilotage replay")
        if explanations:
            break
        run.engine.cycle.watch = look
    return Explained(target, tuple(found.decisions), explanations[0])


def _found(items: Iterable[Item], task_id: str) -> _Found:
    found, segment = _Found(), 0
    for item in items:
        if isinstance(item, Opened):
            segment = item.header.segment
            known = item.checkpoint
            tasks = (*(was.task for was in known.room.tasks), *(was.task for was in known.state.placements))
            found.known |= any(task.id == task_id for task in tasks)
        elif isinstance(item, Applied):
            if isinstance(item.event, TaskSubmitted | TaskPlaced):
                found.known |= item.event.task.id == task_id
        elif isinstance(item, Decided):
            for effect in item.effects:
                decision = getattr(effect_of(effect), "decision", None)
                if decision is not None and decision.task_id == task_id:
                    found.decisions.append(decision)
                    found.segments.append(segment)
    return found
