"""The outbox: what is still to be told, written in the transaction that decided it."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, text

from pilotage.adapters.sql.vms.rows import locking, run_rows
from pilotage.adapters.sql.vms.tasks import event_of
from pilotage.model.claim import Batch, claim_of
from pilotage.model.errors import InvalidInput, NotFound

_OUTBOX = {"event_id": "text", "receiver": "text", "task_id": "text", "payload": "text"}


class Message(Struct, gc=False):
    """One final state for one receiver."""

    event_id: str
    receiver: str
    task_id: str
    payload: str


class _Payload(Struct, gc=False):
    """What a receiver is told."""

    event_id: str
    task_id: str
    status: str
    selected_node: str | None
    claim_id: str | None
    error: str | None
    error_class: str | None
    at: float


def tell_results(connection: Connection, batch: Batch, final: Sequence[int]) -> None:
    """Put a message per receiver into the outbox for every task that became final."""
    rows: list[Message] = []
    for i in final:
        each = batch.decided[i]
        to = [*batch.receivers, each.callback_url] if each.callback_url else batch.receivers
        if to:
            status = "success" if each.host else "failed"
            rows += messages(
                each.task_id, status, to, at=batch.now, host=each.host, error=each.error, error_class=each.error_class
            )
    put_in_outbox(connection, rows, batch.now)


def messages(
    task_id: str,
    status: str,
    receivers: Iterable[str],
    *,
    at: float,
    host: str = "",
    error: str = "",
    error_class: str = "",
) -> list[Message]:
    """The webhook messages of a final state, one per receiver, all with the state's one id."""
    event_id = event_of(task_id, status)
    payload = _Payload(
        event_id=event_id,
        task_id=task_id,
        status=status,
        selected_node=host or None,
        claim_id=claim_of(task_id) if host else None,
        error=error or None,
        error_class=error_class or None,
        at=round(at, 6),
    )
    told = msgspec.json.encode(payload).decode()
    return [Message(event_id, each, task_id, told) for each in receivers]


def put_in_outbox(connection: Connection, rows: Sequence[Message], now: float) -> None:
    """Write webhook messages; a message that is there already stays as it is."""
    if rows:
        run_rows(
            connection,
            "INSERT INTO vm_outbox (kind, event_id, receiver, task_id, payload, state, created_at, next_at) "
            "SELECT 'webhook', event_id, receiver, task_id, payload, 'pending', :now, :now FROM {rows} WHERE true "
            "ON CONFLICT (event_id, receiver) DO NOTHING",
            _OUTBOX,
            rows,
            now=now,
        )


class Due(Struct, frozen=True):
    """A message that is to be sent now. ``attempts`` counts this one."""

    id: int
    kind: str
    event_id: str
    receiver: str
    task_id: str
    payload: str
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
    taken = run_rows(
        connection,
        "UPDATE vm_outbox SET next_at = :until, attempts = attempts + 1 WHERE id IN (SELECT id FROM {rows}) "
        "RETURNING id, kind, event_id, receiver, task_id, payload, attempts",
        {"id": "bigint"},
        rows,
        until=now + lease_s,
    )
    return sorted((Due(**row._mapping) for row in taken), key=lambda due: due.id)


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
