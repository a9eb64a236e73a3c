"""The outbox: who is still to be told what, written in the transaction that decided it.

A line names a task and a receiver. What it says is read from the task when it is sent: a final state never changes.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, text

from pilotage.adapters.sql.vms.rows import insert_all, locking, run_rows
from pilotage.model.claim import claim_of
from pilotage.model.errors import InvalidInput, NotFound

TOLD = dict.fromkeys(("task_id", "event_id", "callback_url"), "text")
"""What an ended task must have to be told of; ``callback_url`` may be null."""


def telling(receivers: Sequence[str], ended: Sequence[Any]) -> tuple[list[str], dict[str, str]]:
    """The inserts of a message for every receiver of every ended task, and their parameters but for ``now``.

    A message that is there already stays as it is.
    """
    names = {f"receiver{i}": name for i, name in enumerate(receivers)}
    to = [(f":{parameter}", "true") for parameter in names]
    if any(map(attrgetter("callback_url"), ended)):
        to.append(("callback_url", "callback_url IS NOT NULL"))
    inserts = [
        "INSERT INTO vm_outbox (kind, event_id, receiver, task_id, state, created_at, next_at) "
        f"SELECT 'webhook', event_id, {receiver}, task_id, 'pending', :now, :now FROM {{rows}} WHERE {which} "
        "ON CONFLICT (event_id, receiver) DO NOTHING"
        for receiver, which in to
    ]
    return inserts, names


def tell(connection: Connection, ended: Sequence[Any], receivers: Sequence[str], now: float) -> None:
    """Put a message for every receiver into the outbox for every task in ``ended``, which have the fields of `TOLD`."""
    inserts, parameters = telling(receivers, ended)
    if ended and inserts:
        insert_all(connection, inserts, TOLD, ended, now=now, **parameters)


class _Payload(Struct):
    """What a receiver is told."""

    event_id: str
    task_id: str
    status: str
    selected_node: str | None
    claim_id: str | None
    error: str | None
    error_class: str | None
    at: float


class Due(Struct, frozen=True):
    """A message that is to be sent now. ``attempts`` counts this one."""

    id: int
    kind: str
    event_id: str
    receiver: str
    task_id: str
    payload: bytes
    attempts: int


def take_due(connection: Connection, kind: str, now: float, *, at_most: int, lease_s: float) -> list[Due]:
    """Messages of a kind that are due, taken for ``lease_s``: nobody else sends them meanwhile.

    Whoever dies with them in hand leaves them due again when the lease is over.
    """
    ids = connection.execute(
        text(
            "SELECT id FROM vm_outbox WHERE state = 'pending' AND kind = :kind AND next_at <= :now "
            f"ORDER BY next_at, id LIMIT :at_most {locking(connection, 'FOR UPDATE SKIP LOCKED')}"
        ),
        {"kind": kind, "now": now, "at_most": at_most},
    ).scalars()
    rows = [{"id": each} for each in ids]
    if not rows:
        return []
    run_rows(
        connection,
        "UPDATE vm_outbox SET next_at = :until, attempts = attempts + 1 WHERE id IN (SELECT id FROM {rows})",
        {"id": "bigint"},
        rows,
        until=now + lease_s,
    )
    taken = run_rows(
        connection,
        "SELECT o.id, o.event_id, o.receiver, o.attempts, t.task_id, t.request, t.status, t.selected_node, t.error,"
        " t.error_class, t.finished_at FROM {rows} JOIN vm_outbox o ON o.id = r.id"
        " JOIN task_status t ON t.task_id = o.task_id ORDER BY o.id",
        {"id": "bigint"},
        rows,
    )
    payload_of = _request if kind == "publish" else _result
    return [Due(row.id, kind, row.event_id, row.receiver, row.task_id, payload_of(row), row.attempts) for row in taken]


def _request(row: Any) -> bytes:
    return bytes(row.request.encode())


def _result(row: Any) -> bytes:
    payload = _Payload(
        event_id=row.event_id,
        task_id=row.task_id,
        status=row.status,
        selected_node=row.selected_node,
        claim_id=claim_of(row.task_id) if row.status == "success" else None,
        error=row.error,
        error_class=row.error_class,
        at=round(row.finished_at, 6),
    )
    return msgspec.json.encode(payload)


class Sent(Struct, kw_only=True):
    """How one attempt ended. ``again_at`` None: it is over, delivered or (with an error) given up."""

    id: int
    state: str
    again_at: float
    error: str = ""
    status: int | None = None
    took_ms: float = 0.0


def note_sent(connection: Connection, sent: Sequence[Sent], now: float, *, log: bool = True) -> None:
    """Write down how attempts ended, and (``log``) a line each in the log of deliveries."""
    columns = {"id": "bigint", "state": "text", "again_at": "double precision", "error": "text"}
    run_rows(
        connection,
        "UPDATE vm_outbox SET state = r.state, next_at = r.again_at, error = CASE WHEN r.error = '' THEN NULL ELSE"
        " r.error END, done_at = CASE WHEN r.state = 'pending' THEN NULL ELSE CAST(:now AS double precision) END "
        "FROM {rows} WHERE vm_outbox.id = r.id AND vm_outbox.state = 'pending'",
        columns,
        sent,
        now=now,
    )
    if log:
        run_rows(
            connection,
            "INSERT INTO vm_deliveries (outbox_id, at, status, took_ms, error) "
            "SELECT id, :now, status, took_ms, CASE WHEN error = '' THEN NULL ELSE error END FROM {rows}",
            {"id": "bigint", "status": "bigint", "took_ms": "double precision", "error": "text"},
            sent,
            now=now,
        )


def outbox_depth(connection: Connection) -> int:
    """Messages still to be sent."""
    return int(connection.execute(text("SELECT count(*) FROM vm_outbox WHERE state = 'pending'")).scalar_one())


def list_webhooks(
    connection: Connection, *, state: str = "", task_id: str = "", limit: int = 100
) -> list[dict[str, Any]]:
    """Webhook messages, newest first."""
    if state and state not in ("pending", "delivered", "dead"):
        raise InvalidInput("state", f"must be pending, delivered or dead, got {state!r}")
    conditions = ["kind = 'webhook'"] + ["state = :state"] * bool(state) + ["task_id = :task_id"] * bool(task_id)
    rows = connection.execute(
        text(
            "SELECT id, event_id, receiver, task_id, state, attempts, created_at, next_at, done_at, error"
            f" FROM vm_outbox WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT :limit"
        ),
        {"state": state, "task_id": task_id, "limit": limit},
    )
    return [dict(row._mapping) for row in rows]


def deliveries_of(connection: Connection, outbox_id: int) -> list[dict[str, Any]]:
    """The log of one message's deliveries, oldest first."""
    rows = connection.execute(
        text("SELECT at, status, took_ms, error FROM vm_deliveries WHERE outbox_id = :id ORDER BY id"),
        {"id": outbox_id},
    )
    return [dict(row._mapping) for row in rows]


def redeliver(connection: Connection, outbox_id: int, now: float) -> None:
    """Send a message once more, whatever became of it, under the same event id. Raises `NotFound`."""
    done = connection.execute(
        text(
            "UPDATE vm_outbox SET state = 'pending', next_at = :now, done_at = NULL, attempts = 0 "
            "WHERE id = :id AND kind = 'webhook'"
        ),
        {"id": outbox_id, "now": now},
    )
    if done.rowcount != 1:
        raise NotFound(f"no webhook message has the number {outbox_id}")
