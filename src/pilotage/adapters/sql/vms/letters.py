"""Dead letters: messages that are no requests, and requests that failed by a bug, each with its reason."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, text

from pilotage.adapters.sql.vms.outbox import tell
from pilotage.adapters.sql.vms.rows import locking, run_rows
from pilotage.adapters.sql.vms.tasks import settle_tasks
from pilotage.model.claim import Batch, Decided, Letter, Outcome
from pilotage.model.errors import NotFound, WrongState
from pilotage.model.vm import SchedulingRequest, parse_request


def id_taken(each: Decided) -> Letter:
    """The letter of a request whose id belongs to another one."""
    return Letter(
        task_id=each.task_id,
        message_id=each.task_id,
        field="task_id",
        reason=f"{each.task_id!r} belongs to another request: a new request needs an id of its own",
        body=each.request.encode(),
        error_class="conflict",
    )


KEPT_BYTES = 65_536
"""So much of a dead letter's body is kept."""


def keep_letters(connection: Connection, letters: Sequence[Letter], batch: Batch) -> None:
    """Keep dead letters, each with its reason, and give those with an unused id a failed task to be found by."""
    connection.execute(
        text(
            "INSERT INTO vm_dead_letters (at, task_id, message_id, error_class, field, reason, body, body_bytes, state)"
            " VALUES (:now, :task_id, :message_id, :error_class, :field, :reason, :body, :body_bytes, 'kept')"
        ),
        [
            {
                "now": batch.now,
                "task_id": each.task_id,
                "message_id": each.message_id[:512],
                "error_class": each.error_class,
                "field": each.field[:512],
                "reason": each.reason[:4096],
                "body": each.body[:KEPT_BYTES],
                "body_bytes": len(each.body),
            }
            for each in letters
        ],
    )
    failed = {each.task_id: each for each in letters if each.task_id and each.error_class != "conflict"}
    decided = [
        Decided(
            task_id=each.task_id,
            digest="",
            request="{}",
            received_at=batch.now,
            decided_at=batch.now,
            pool="",
            cpu=0,
            memory=0,
            error_class=each.error_class,
            error=f"{each.field}: {each.reason}"[:4096],
        )
        for each in failed.values()
    ]
    inner = msgspec.structs.replace(batch, decided=decided, letters=[])
    outcomes = _settle_letters(connection, inner)
    ended = [each for each, outcome in zip(decided, outcomes, strict=True) if outcome == "committed"]
    tell(connection, ended, batch.receivers, batch.now)


def _settle_letters(connection: Connection, batch: Batch) -> list[Outcome]:
    """A letter's task fails if nobody knows it, or if it is open still: accepted, and not to be carried out."""
    if not batch.decided:
        return []
    known = run_rows(
        connection,
        "SELECT t.task_id, t.digest, t.request FROM task_status t JOIN {rows} ON r.task_id = t.task_id "
        "WHERE t.status IN ('queued', 'running')",
        {"task_id": "text"},
        [{"task_id": each.task_id} for each in batch.decided],
    )
    of_open = {row.task_id: row for row in known}
    for each in batch.decided:
        if each.task_id in of_open and each.error_class == "bug":
            each.digest = of_open[each.task_id].digest
    return settle_tasks(connection, batch).outcomes


def list_letters(
    connection: Connection, *, error_class: str = "", state: str = "", limit: int = 100
) -> list[dict[str, Any]]:
    """Dead letters, newest first, without their bodies."""
    conditions = ["true"] + ["error_class = :error_class"] * bool(error_class) + ["state = :state"] * bool(state)
    rows = connection.execute(
        text(
            "SELECT id, at, task_id, message_id, error_class, field, reason, body_bytes, state, retries"
            f" FROM vm_dead_letters WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT :limit"
        ),
        {"error_class": error_class, "state": state, "limit": limit},
    )
    return [dict(row._mapping) for row in rows]


def letter(connection: Connection, number: int) -> dict[str, Any]:
    """One dead letter; its body as text, with what is no UTF-8 replaced. Raises `NotFound`."""
    row = connection.execute(text("SELECT * FROM vm_dead_letters WHERE id = :id"), {"id": number}).first()
    if row is None:
        raise NotFound(f"no dead letter has the number {number}")
    told = dict(row._mapping)
    told["body"] = bytes(told["body"]).decode("utf-8", "replace")
    return told


def take_for_retry(connection: Connection, number: int, body: bytes | None = None) -> SchedulingRequest:
    """The request of a dead letter, mended by ``body``, under a new id: the task of the old one stays failed.

    A final state was told to receivers and is never taken back. Raises `InvalidInput` where it still is no request,
    `WrongState` where it was retried before or is not whole.
    """
    row = connection.execute(
        text(f"SELECT * FROM vm_dead_letters WHERE id = :id {locking(connection)}"), {"id": number}
    ).first()
    if row is None:
        raise NotFound(f"no dead letter has the number {number}")
    if row.state != "kept":
        raise WrongState(f"dead letter {number} was retried already")
    if body is None and row.body_bytes > KEPT_BYTES:
        raise WrongState(f"dead letter {number} is not whole: {KEPT_BYTES} of {row.body_bytes} bytes were kept")
    request = parse_request(bytes(row.body) if body is None else body, row.task_id or row.message_id or "letter")
    request = msgspec.structs.replace(request, task_id=f"{request.task_id[:110]}.retry-{number}")
    change = "UPDATE vm_dead_letters SET state = 'retried', retries = retries + 1 WHERE id = :id"
    connection.execute(text(change), {"id": number})
    return request
