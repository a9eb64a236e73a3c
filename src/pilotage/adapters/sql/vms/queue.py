"""The queue for who has no broker: a table that workers take requests from, each for a while."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from sqlalchemy import Connection, text

from pilotage.adapters.sql.vms.rows import locking, run_rows
from pilotage.adapters.sql.writer import Writer
from pilotage.engine.request_queue import Delivery
from pilotage.model.errors import CommitUnknown, StorageDown

_log = structlog.get_logger(__name__)

T = TypeVar("T")


class SqlQueue:
    """Requests of one database. A delivery that is not settled within ``lease_s`` is delivered again."""

    def __init__(
        self,
        writer: Writer,
        worker: str,
        *,
        lease_s: float = 60,
        poll_s: float = 0.05,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._worker = worker
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._clock = clock
        self._stopping = asyncio.Event()

    async def batch(self, at_most: int, linger_s: float) -> list[Delivery]:
        """Return 1 to ``at_most`` deliveries; none when the queue was stopped."""
        while not self._stopping.is_set():
            taken = await self._patiently(lambda c: self._take(c, at_most))
            if taken:
                return taken
            try:
                await asyncio.wait_for(self._stopping.wait(), self._poll_s)
            except TimeoutError:
                continue
        return []

    async def settle(self, deliveries: list[Delivery]) -> None:
        """Never deliver these again."""
        rows = [{"id": each.tag} for each in deliveries]
        delete = "DELETE FROM vm_queue WHERE id IN (SELECT id FROM {rows})"
        if rows:
            await self._patiently(lambda c: run_rows(c, delete, {"id": "bigint"}, rows).rowcount)

    async def give_back(self, deliveries: list[Delivery]) -> None:
        """Deliver these again, to this worker or another, at once."""
        rows = [{"id": each.tag} for each in deliveries]
        free = "UPDATE vm_queue SET taken_until = 0 WHERE id IN (SELECT id FROM {rows})"
        if rows:
            await self._patiently(lambda c: run_rows(c, free, {"id": "bigint"}, rows).rowcount)

    async def stop(self) -> None:
        """Take nothing new."""
        self._stopping.set()

    async def _patiently(self, work: Callable[[Connection], T]) -> T | None:
        """Write; None if the database is away or full: what was not settled then is delivered again."""
        try:
            return await asyncio.wrap_future(self._writer.run(work))
        except (StorageDown, CommitUnknown) as error:
            _log.warning("queue unreachable", error=str(error))
            return None

    def _take(self, connection: Connection, at_most: int) -> list[Delivery]:
        now = self._clock()
        ids = connection.execute(
            text(
                "SELECT id FROM vm_queue WHERE taken_until < :now ORDER BY id LIMIT :at_most "
                + locking(connection, "FOR UPDATE SKIP LOCKED")
            ),
            {"now": now, "at_most": at_most},
        ).scalars()
        rows = [{"id": each} for each in ids]
        if not rows:
            return []
        taken = run_rows(
            connection,
            "UPDATE vm_queue SET taken_until = :until, taken_by = :worker, deliveries = deliveries + 1 "
            "WHERE id IN (SELECT id FROM {rows}) RETURNING id, message_id, body, deliveries",
            {"id": "bigint"},
            rows,
            until=now + self._lease_s,
            worker=self._worker,
        ).all()
        return [
            Delivery(0, row.id, bytes(row.body), row.message_id, row.deliveries > 1)
            for row in sorted(taken, key=lambda row: row.id)
        ]


def waiting(connection: Connection) -> int:
    """Requests in the queue, taken ones included."""
    return int(connection.execute(text("SELECT count(*) FROM vm_queue")).scalar_one())
