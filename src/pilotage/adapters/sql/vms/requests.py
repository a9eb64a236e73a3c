"""The requester's side of a task: submitted, looked at, listed, cancelled."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, text

from pilotage.adapters.sql.vms.outbox import tell
from pilotage.adapters.sql.vms.rows import left_out, locking, run_rows
from pilotage.model.claim import CLAIM_SUFFIX, FINAL, OPEN, event_of, history_line
from pilotage.model.errors import InvalidInput, NotFound, WrongState
from pilotage.model.vm import SchedulingRequest, encode_request


class Accepted(Struct):
    """What became of one submission. ``new`` False: the same request was known already."""

    task_id: str
    status: str
    new: bool


class _Cancelled(Struct):
    """A task of which receivers are told."""

    task_id: str
    event_id: str
    callback_url: str | None


class _Queued(Struct):
    """A request that is written down."""

    task_id: str
    digest: str
    request: str
    event_id: str


_QUEUED = dict.fromkeys(_Queued.__struct_fields__, "text")


def submit(
    connection: Connection, requests: Sequence[SchedulingRequest], now: float, *, through_broker: bool
) -> list[Accepted]:
    """Write requests down as queued, and with them, in this transaction, the message that brings them to a worker.

    ``through_broker``: into the outbox, from where they are published with confirms; else into the queue of this
    database. The same request again is answered with its state; another with the same id raises `WrongState`.
    """
    rows = [
        _Queued(each.task_id, each.digest, encode_request(each).decode(), f"pub_{each.task_id}")
        for each in sorted(requests, key=lambda each: each.task_id)
    ]
    there = left_out(
        connection,
        "INSERT INTO task_status (task_id, status, updated_at, digest, request, history, created_at, attempts) "
        "SELECT task_id, 'queued', :now, digest, request, :history, :now, 0 FROM {rows} WHERE true "
        "ON CONFLICT (task_id) DO NOTHING",
        ("task_status", "task_id"),
        _QUEUED,
        rows,
        now=now,
        history=history_line("queued", now),
    )
    new = [row for row in rows if row.task_id not in there]
    if new and through_broker:
        statement = (
            "INSERT INTO vm_outbox (kind, event_id, receiver, task_id, state, created_at, next_at) "
            "SELECT 'publish', event_id, '', task_id, 'pending', :now, :now FROM {rows} WHERE true "
            "ON CONFLICT (event_id, receiver) DO NOTHING"
        )
        run_rows(connection, statement, _QUEUED, new, now=now)
    elif new:
        connection.execute(
            text("INSERT INTO vm_queue (message_id, body) VALUES (:task_id, :body)"),
            [{"task_id": row.task_id, "body": row.request.encode()} for row in new],
        )
    known = _known(connection, sorted(there))
    accepted = []
    for each in requests:
        digest, status = known.get(each.task_id, (each.digest, "queued"))
        if digest != each.digest:
            raise WrongState(f"task_id: {each.task_id!r} belongs to another request")
        accepted.append(Accepted(each.task_id, status, each.task_id not in there))
    return accepted


def _known(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    if not ids:
        return {}
    rows = run_rows(
        connection,
        "SELECT t.task_id, t.digest, t.status FROM task_status t JOIN {rows} ON r.task_id = t.task_id",
        {"task_id": "text"},
        [{"task_id": task_id} for task_id in ids],
    )
    return {row.task_id: (row.digest, row.status) for row in rows}


_STATUS = (
    "SELECT t.task_id, t.status, t.selected_node, t.updated_at, t.error, t.error_class, t.request, t.history,"
    " t.created_at, t.finished_at, t.processing_ms, t.attempts, t.worker, t.event_id, c.claim_id,"
    " c.state AS claim_state, c.token, c.expires_at FROM task_status t"
    f" LEFT JOIN vm_claims c ON c.claim_id = t.task_id || '{CLAIM_SUFFIX}'"
)


def status_of(connection: Connection, task_id: str) -> dict[str, Any]:
    """Everything about one task, history included. Raises `NotFound`."""
    row = connection.execute(text(f"{_STATUS} WHERE t.task_id = :task_id"), {"task_id": task_id}).first()
    if row is None:
        raise NotFound(f"no task is called {task_id!r}")
    told = _told(row)
    told["history"] = [msgspec.json.decode(line) for line in row.history.splitlines()]
    return told


def statuses_of(connection: Connection, ids: Iterable[str]) -> dict[str, str]:
    """The status of each known task among ``ids``."""
    return {task_id: status for task_id, (_, status) in _known(connection, list(ids)).items()}


def list_tasks(
    connection: Connection, *, status: str = "", host: str = "", after: str = "", limit: int = 100
) -> tuple[list[dict[str, Any]], str]:
    """Tasks, newest first, and the cursor for the next page (empty: that was all)."""
    if status and status not in (*OPEN, *FINAL):
        raise InvalidInput("status", f"must be one of {', '.join((*OPEN, *FINAL))}, got {status!r}")
    conditions, parameters = ["true"], {"limit": limit + 1}
    filled: dict[str, Any] = {}
    if status:
        conditions.append("t.status = :status")
        filled["status"] = status
    if host:
        conditions.append("t.selected_node = :host")
        filled["host"] = host
    if after:
        at, _, task_id = after.partition("/")
        try:
            filled |= {"at": float(at), "task_id": task_id}
        except ValueError:
            raise InvalidInput("after", "is no cursor of a page before") from None
        conditions.append("(t.created_at < :at OR (t.created_at = :at AND t.task_id < :task_id))")
    order = "ORDER BY t.created_at DESC, t.task_id DESC LIMIT :limit"
    rows = connection.execute(text(f"{_STATUS} WHERE {' AND '.join(conditions)} {order}"), {**parameters, **filled})
    found = rows.all()
    cursor = f"{found[limit - 1].created_at!r}/{found[limit - 1].task_id}" if len(found) > limit else ""
    return [_told(row) for row in found[:limit]], cursor


def cancel(connection: Connection, task_id: str, now: float, receivers: Sequence[str]) -> None:
    """Cancel a task that has no final state yet; a message of it that comes later finds it cancelled."""
    row = connection.execute(
        text(f"SELECT status, request FROM task_status WHERE task_id = :task_id {locking(connection)}"),
        {"task_id": task_id},
    ).first()
    if row is None:
        raise NotFound(f"no task is called {task_id!r}")
    if row.status == "cancelled":
        return
    if row.status in FINAL:
        more = "; release its claim instead" if row.status == "success" else ""
        raise WrongState(f"task {task_id} is final already: {row.status}{more}")
    connection.execute(
        text(
            "UPDATE task_status SET status = 'cancelled', updated_at = :now, finished_at = :now, event_id = :event_id,"
            " history = history || :line WHERE task_id = :task_id"
        ),
        {
            "now": now,
            "event_id": event_of(task_id, "cancelled"),
            "line": history_line("cancelled", now),
            "task_id": task_id,
        },
    )
    callback_url = msgspec.json.decode(row.request).get("callback_url")
    tell(connection, [_Cancelled(task_id, event_of(task_id, "cancelled"), callback_url)], receivers, now)


def _told(row: Any) -> dict[str, Any]:
    told = dict(row._mapping)
    told.pop("history")
    told["timestamp"] = told["updated_at"]
    told["request"] = msgspec.json.decode(told["request"])
    return told
