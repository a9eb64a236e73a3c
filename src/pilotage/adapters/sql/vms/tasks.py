"""Tasks: what was asked for, and what became of it. A final state is written once and never again."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import Connection

from pilotage.adapters.sql.vms.rows import run_rows
from pilotage.model.claim import Batch, Decided, Outcome

_TASK = {
    "task_id": "text",
    "status": "text",
    "selected_node": "text",
    "error": "text",
    "error_class": "text",
    "digest": "text",
    "request": "text",
    "history": "text",
    "created_at": "double precision",
    "processing_ms": "double precision",
    "attempts": "bigint",
    "event_id": "text",
}


def event_of(task_id: str, status: str) -> str:
    """The idempotency id of a task's final state: the same whoever works it out, and however often."""
    return "evt_" + sha256(f"{task_id}:{status}".encode()).hexdigest()[:24]


def settle_tasks(connection: Connection, batch: Batch) -> list[Outcome]:
    """Write every task's final state where it has none yet; tell which had one, or belong to another request."""
    first: dict[str, int] = {}
    for i, each in enumerate(batch.decided):
        first.setdefault(each.task_id, i)
    rows = [_task_row(batch.decided[first[task_id]], batch.now) for task_id in sorted(first)]
    if not rows:
        return []
    written = run_rows(
        connection,
        "INSERT INTO task_status (task_id, status, selected_node, updated_at, error, error_class, digest, request,"
        " history, created_at, finished_at, processing_ms, attempts, worker, event_id) "
        "SELECT task_id, status, selected_node, :now, error, error_class, digest, request, history, created_at, :now,"
        " processing_ms, attempts, :worker, event_id FROM {rows} WHERE true "
        "ON CONFLICT (task_id) DO UPDATE SET status = excluded.status, selected_node = excluded.selected_node,"
        " updated_at = excluded.updated_at, error = excluded.error, error_class = excluded.error_class,"
        " history = task_status.history || substr(excluded.history, :queued), finished_at = excluded.finished_at,"
        " processing_ms = excluded.processing_ms, attempts = task_status.attempts + 1, worker = excluded.worker,"
        " event_id = excluded.event_id "
        "WHERE task_status.status IN ('queued', 'running') AND task_status.digest = excluded.digest "
        "RETURNING task_id",
        _TASK,
        rows,
        now=batch.now,
        worker=batch.worker,
        queued=len(_line("queued", batch.now)) + 1,  # who was queued before has that line
    )
    winners = set(written.scalars())
    losers = {task_id: "" for task_id in first if task_id not in winners}
    if losers:
        found = run_rows(
            connection,
            "SELECT t.task_id, t.digest FROM task_status t JOIN {rows} ON r.task_id = t.task_id",
            {"task_id": "text"},
            [{"task_id": task_id} for task_id in losers],
        )
        losers = {row.task_id: row.digest for row in found}
    outcomes: list[Outcome] = []
    for i, each in enumerate(batch.decided):
        digest = losers.get(each.task_id, batch.decided[first[each.task_id]].digest)
        if each.task_id in winners and first[each.task_id] == i:
            outcomes.append("committed")
        else:
            outcomes.append("duplicate" if digest == each.digest else "conflict")
    return outcomes


def _task_row(each: Decided, now: float) -> dict[str, Any]:
    status = "success" if each.host else "failed"
    lines = (_line("queued", each.received_at), _line("running", each.decided_at), _line(status, now))
    return {
        "task_id": each.task_id,
        "status": status,
        "selected_node": each.host or None,
        "error": each.error or None,
        "error_class": each.error_class or None,
        "digest": each.digest,
        "request": each.request,
        "history": "".join(lines),
        "created_at": each.received_at,
        "processing_ms": round(max(0.0, now - each.received_at) * 1000, 3),  # a clock may jump back
        "attempts": each.attempts,
        "event_id": event_of(each.task_id, status),
    }


def reopen(connection: Connection, batch: Batch, again: Sequence[int]) -> None:
    """Tasks whose host refused them are open still: their end is taken back before anybody could see it."""
    rows = []
    for i in again:
        each = batch.decided[i]
        why = f"{each.host} refused" if each.host else "hosts changed"
        rows.append(
            {
                "task_id": each.task_id,
                "cut": len(_line("success" if each.host else "failed", batch.now)),
                "line": f'{{"status":"running","at":{batch.now:.6f},"detail":{msgspec.json.encode(why).decode()}}}\n',
            }
        )
    if rows:
        run_rows(
            connection,
            "UPDATE task_status SET status = 'running', selected_node = NULL, error = NULL, error_class = NULL,"
            " finished_at = NULL, processing_ms = NULL, event_id = NULL,"
            " history = substr(history, 1, length(history) - CAST(r.cut AS integer)) || r.line "
            "FROM {rows} WHERE task_status.task_id = r.task_id",
            {"task_id": "text", "line": "text", "cut": "bigint"},
            rows,
        )


def _line(status: str, at: float) -> str:
    """One line of a task's history; times of this epoch have ten digits, so lines of one status are equally long."""
    return f'{{"status":"{status}","at":{at:.6f}}}\n'
