"""Between the machine's live tasks and rows that are stored."""

from typing import Any

import msgspec
from msgspec import Struct

from pilotage.engine.taskqueue.machine import LiveTask
from pilotage.model.routing import QUEUED, RoutedTask
from pilotage.service.ports import Stored


class Payload(Struct, gc=False):
    """What the machine does not look at: JSON texts, and what storing needs.

    ``planned``: where it would go, as of its submission, if it had to wait. ``ask_s``: when the instance is to be asked
    for the task, if no news came; ``asked``: how often it was.
    """

    seq: int
    input: bytes
    metadata: bytes
    key: str | None = None
    remote_id: str | None = None
    result: bytes | None = None
    stored: bool = False
    planned: str = ""
    ask_s: float = 0.0
    asked: int = 0


def to_row(live: LiveTask) -> Stored:
    """The task as it is now."""
    task, payload = live.task, live.payload
    return Stored(
        seq=payload.seq,
        id=task.id,
        model=task.model,
        tenant=task.tenant,
        priority=task.priority,
        deadline_s=task.deadline_s,
        key=payload.key,
        status=live.status,
        instance=live.instance,
        attempt=live.attempt,
        remote_id=payload.remote_id,
        submitted_s=task.arrival_s,
        scheduled_s=live.scheduled_s,
        started_s=live.started_s,
        finished_s=live.finished_s,
        run_s=live.run_s,
        input=payload.input,
        metadata=payload.metadata,
        result=payload.result,
        error=live.error,
        attempts=live.attempts,
    )


def to_live(row: Stored) -> LiveTask:
    """A stored task that has not ended, as the machine takes it over."""
    task = RoutedTask(
        id=row.id,
        model=row.model,
        metadata=features(row.metadata),
        arrival_s=row.submitted_s,
        priority=row.priority,
        deadline_s=row.deadline_s,
        tenant=row.tenant,
        avoid=tuple(dict.fromkeys(each.instance for each in row.attempts)) if row.status == QUEUED else (),
    )
    return LiveTask(
        task,
        status=row.status,
        instance=row.instance,
        attempt=row.attempt,
        scheduled_s=row.scheduled_s,
        started_s=row.started_s,
        attempts=row.attempts,
        payload=Payload(row.seq, row.input, row.metadata, row.key, row.remote_id, stored=True),
    )


def features(metadata: bytes) -> dict[str, Any]:
    """Metadata as predictors read it; it was checked when it came."""
    if metadata == b"{}":
        return {}
    found: dict[str, Any] = msgspec.json.decode(metadata, type=dict[str, Any])
    return found
