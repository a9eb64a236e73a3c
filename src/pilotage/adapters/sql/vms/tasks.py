"""Tasks: what was asked for, and what became of it. A final state is written once and never again."""

from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct
from sqlalchemy import Connection

from pilotage.adapters.sql.vms.rows import document, left_out, run_rows
from pilotage.model.claim import Batch, Decided, Outcome, event_of, history_line

_TASK = {
    **dict.fromkeys(("task_id", "host", "error", "error_class", "digest", "request", "history", "event_id"), "text"),
    "received_at": "double precision",
    "attempts": "bigint",
}
_PROCESSING_MS = "CASE WHEN received_at < :now THEN round(CAST((:now - received_at) * 1000 AS numeric), 3) ELSE 0 END"
"""A clock may jump back."""


class Settled(Struct):
    """How the tasks of a batch ended: an outcome per decided request; and what was said of all, as a document."""

    outcomes: list[Outcome]
    told: str
    count: int
    """Rows in the document."""


def settle_tasks(connection: Connection, batch: Batch) -> Settled:
    """Write every task's final state where it has none yet; tell which had one, or belong to another request."""
    first = {each.task_id: each for each in reversed(batch.decided)}
    rows = [first[task_id] for task_id in sorted(first)]
    if not rows:
        return Settled([], "[]", 0)
    for each in rows:
        each.event_id = event_of(each.task_id, each.status)
        each.history = _history(each.received_at, each.decided_at, each.status, batch.now)
    told = document(rows)
    losers = left_out(
        connection,
        "INSERT INTO task_status (task_id, status, selected_node, updated_at, error, error_class, digest, request,"
        " history, created_at, finished_at, processing_ms, attempts, worker, event_id) "
        "SELECT task_id, CASE WHEN host IS NULL THEN 'failed' ELSE 'success' END, host, :now, error, error_class,"
        f" digest, request, history, received_at, :now, {_PROCESSING_MS}, coalesce(attempts, 1), :worker,"
        " event_id FROM {rows} WHERE true "
        "ON CONFLICT (task_id) DO UPDATE SET status = excluded.status, selected_node = excluded.selected_node,"
        " updated_at = excluded.updated_at, error = excluded.error, error_class = excluded.error_class,"
        " history = task_status.history || substr(excluded.history, :queued), finished_at = excluded.finished_at,"
        " processing_ms = excluded.processing_ms, attempts = task_status.attempts + 1, worker = excluded.worker,"
        " event_id = excluded.event_id "
        "WHERE task_status.status IN ('queued', 'running') AND task_status.digest = excluded.digest",
        ("task_status", "task_id"),
        _TASK,
        rows,
        told,
        now=batch.now,
        worker=batch.worker,
        queued=len(history_line("queued", batch.now)) + 1,  # who was queued before has that line
    )
    if not losers and len(rows) == len(batch.decided):
        return Settled(["committed"] * len(rows), told, len(rows))
    return Settled(_outcomes(connection, batch, first, losers), told, len(rows))


def _outcomes(connection: Connection, batch: Batch, first: dict[str, Decided], losers: set[str]) -> list[Outcome]:
    """Tell the ends of a batch in which some came again, or are somebody else's."""
    digests = {task_id: each.digest for task_id, each in first.items()}
    if losers:
        found = run_rows(
            connection,
            "SELECT t.task_id, t.digest FROM task_status t JOIN {rows} ON r.task_id = t.task_id",
            {"task_id": "text"},
            [{"task_id": task_id} for task_id in losers],
        )
        digests |= {row.task_id: row.digest for row in found}
    outcomes: list[Outcome] = []
    for each in batch.decided:
        if first[each.task_id] is each and each.task_id not in losers:
            outcomes.append("committed")
        else:
            outcomes.append("duplicate" if digests[each.task_id] == each.digest else "conflict")
    return outcomes


@lru_cache(64)
def _history(received_at: float, decided_at: float, status: str, now: float) -> str:
    """The history of a task; most of a batch came and were decided together."""
    return history_line("queued", received_at) + history_line("running", decided_at) + history_line(status, now)


def reopen(connection: Connection, batch: Batch, again: Sequence[int]) -> None:
    """Tasks whose host refused them are open still: their end is taken back before anybody could see it."""
    rows = []
    for i in again:
        each = batch.decided[i]
        rows.append(
            {
                "task_id": each.task_id,
                "cut": len(history_line(each.status, batch.now)),
                "line": history_line("running", batch.now, f"{each.host} refused" if each.host else "hosts changed"),
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
