"""The outbox: what is still to be told, written in the transaction that decided it."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from pilotage.adapters.sql.vms.rows import run_rows
from pilotage.adapters.sql.vms.tasks import event_of
from pilotage.model.claim import Batch, claim_of

_OUTBOX = {"event_id": "text", "receiver": "text", "task_id": "text", "payload": "text"}


def tell_results(connection: Connection, batch: Batch, final: Sequence[int]) -> None:
    """Put a message per receiver into the outbox for every task that became final."""
    rows: list[dict[str, Any]] = []
    for i in final:
        each = batch.decided[i]
        to = [*batch.receivers, each.callback_url] if each.callback_url else batch.receivers
        if to:
            status = "success" if each.host else "failed"
            rows += outbox_rows(
                each.task_id, status, to, at=batch.now, host=each.host, error=each.error, error_class=each.error_class
            )
    put_in_outbox(connection, rows, batch.now)


def outbox_rows(
    task_id: str,
    status: str,
    receivers: Iterable[str],
    *,
    at: float,
    host: str = "",
    error: str = "",
    error_class: str = "",
) -> list[dict[str, Any]]:
    """The webhook messages of a final state, one per receiver, all with the state's one id."""
    event_id = event_of(task_id, status)
    payload = {
        "event_id": event_id,
        "task_id": task_id,
        "status": status,
        "selected_node": host or None,
        "claim_id": claim_of(task_id) if host else None,
        "error": error or None,
        "error_class": error_class or None,
        "at": round(at, 6),
    }
    told = msgspec.json.encode(payload).decode()
    return [{"event_id": event_id, "receiver": each, "task_id": task_id, "payload": told} for each in receivers]


def put_in_outbox(connection: Connection, rows: Sequence[dict[str, Any]], now: float) -> None:
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
