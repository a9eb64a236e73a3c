"""Tasks: what was asked for, and what became of it. A final state is written once and never again."""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256

import msgspec
from msgspec import Struct
from sqlalchemy import Connection

from pilotage.adapters.sql.vms.rows import left_out, run_rows
from pilotage.model.claim import Batch, Decided, Outcome


class _Task(Struct, gc=False):
    """What a batch says of one task."""

    task_id: str
    status: str
    selected_node: str | None
    error: str | None
    error_class: str | None
    digest: str
    request: str
    history: str
    created_at: float
    processing_ms: float
    attempts: int
    event_id: str


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


@lru_cache(4096)
def event_of(task_id: str, status: str) -> str:
    """The idempotency id of a task's final state: the same whoever works it out, and however often."""
    return "evt_" + sha256(f"{task_id}:{status}".encode()).hexdigest()[:24]


def settle_tasks(connection: Connection, batch: Batch) -> list[Outcome]:
    """Write every task's final state where it has none yet; tell which had one, or belong to another request."""
    first: dict[str, int] = {}
    for i, each in enumerate(batch.decided):
        first.setdefault(each.task_id, i)
    rows = [_task(batch.decided[first[task_id]], batch.now) for task_id in sorted(first)]
    if not rows:
        return []
    losers = left_out(
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
        "WHERE task_status.status IN ('queued', 'running') AND task_status.digest = excluded.digest",
        ("task_status", "task_id"),
        _TASK,
        rows,
        now=batch.now,
        worker=batch.worker,
        queued=len(_line("queued", batch.now)) + 1,  # who was queued before has that line
    )
    digests: dict[str, str] = {}
    if losers:
        found = run_rows(
            connection,
            "SELECT t.task_id, t.digest FROM task_status t JOIN {rows} ON r.task_id = t.task_id",
            {"task_id": "text"},
            [{"task_id": task_id} for task_id in losers],
        )
        digests = {row.task_id: row.digest for row in found}
    outcomes: list[Outcome] = []
    for i, each in enumerate(batch.decided):
        if first[each.task_id] == i and each.task_id not in losers:
            outcomes.append("committed")
        else:
            digest = digests.get(each.task_id, batch.decided[first[each.task_id]].digest)
            outcomes.append("duplicate" if digest == each.digest else "conflict")
    return outcomes


def _task(each: Decided, now: float) -> _Task:
    status = "success" if each.host else "failed"
    return _Task(
        task_id=each.task_id,
        status=status,
        selected_node=each.host or None,
        error=each.error or None,
        error_class=each.error_class or None,
        digest=each.digest,
        request=each.request,
        history=_lines(each.received_at, each.decided_at, status, now),
        created_at=each.received_at,
        processing_ms=round(max(0.0, now - each.received_at) * 1000, 3),  # a clock may jump back
        attempts=each.attempts,
        event_id=event_of(each.task_id, status),
    )


@lru_cache(64)
def _lines(received_at: float, decided_at: float, status: str, now: float) -> str:
    """The history of a task; most of a batch came and were decided together."""
    return _line("queued", received_at) + _line("running", decided_at) + _line(status, now)


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
