"""The one thread that writes: works are queued, and all that wait share one transaction (group commit).

One commit costs about as much as a hundred rows, so under load a group grows by itself, and alone a work is committed
at once: nothing waits for a timer.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from pilotage.adapters.sql.engine import is_outage
from pilotage.model.errors import CommitUnknown, LeaseLost, StorageDown, StorageFull

T = TypeVar("T")
Work = Callable[[Connection], T]
"""What is to be written. It may run again after a failure of its group, so it has no effect but its statements."""

GROUP = 256
"""Most works in one transaction: a bound on what a failure has to repeat."""


class Fence(Protocol):
    """What every transaction of a leader passes; it also remembers which commits happened."""

    def guard(self, connection: Connection, serial: int) -> None:
        """Inside the transaction: raise `LeaseLost` unless still the leader; note that ``serial`` commits."""

    def is_committed(self, connection: Connection, serial: int) -> bool:
        """Whether the transaction that noted ``serial`` was committed. Raises `LeaseLost`."""


class Writer:
    """Runs works in order on a thread of its own.

    ``fence`` guards each transaction. While the database is away, works wait up to ``patience_s`` and are then failed
    with `StorageDown`; more than ``limit`` waiting works are refused with `StorageFull`. A work that raises fails
    alone: the others of its group are done again without it.
    """

    def __init__(
        self, engine: Engine, *, fence: Fence | None = None, patience_s: float = 60, limit: int = 10_000
    ) -> None:
        self._engine = engine
        self._fence = fence
        self._patience_s = patience_s
        self._queue: SimpleQueue[tuple[Work[Any], Future[Any]] | None] = SimpleQueue()
        self._limit = limit
        self._serial = 0
        self._connection: Connection | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="sql-writer", daemon=True)
        self._thread.start()

    def run(self, work: Work[T]) -> Future[T]:
        """Queue a work; the future holds what it returned once it is committed."""
        future: Future[T] = Future()
        if self._stopping.is_set():
            raise StorageDown("the writer is closed")
        if self._queue.qsize() >= self._limit:
            raise StorageFull(f"{self._limit} writes wait already")
        self._queue.put((work, future))
        return future

    def close(self, timeout_s: float = 30) -> None:
        """Do what is queued, then end the thread. Works that come later are refused."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._queue.put(None)
        self._thread.join(timeout_s)

    @property
    def waiting(self) -> int:
        """Works that are queued and not yet taken."""
        return self._queue.qsize()

    def _loop(self) -> None:
        while (group := self._take()) is not None:
            started = [each for each in group if each[1].set_running_or_notify_cancel()]
            if started:
                self._settle(started)
        if self._connection is not None:
            self._connection.close()

    def _take(self) -> list[tuple[Work[Any], Future[Any]]] | None:
        """The works that wait, at least one; None when the writer is to end."""
        first = self._queue.get()
        if first is None:
            return None
        group = [first]
        while len(group) < GROUP:
            try:
                following = self._queue.get_nowait()
            except Empty:
                break
            if following is None:
                self._queue.put(None)
                break
            group.append(following)
        return group

    def _settle(self, group: list[tuple[Work[Any], Future[Any]]]) -> None:
        """Commit a group and resolve its futures; if a work raises, each is done in a transaction of its own."""
        try:
            results = self._commit([work for work, _ in group])
        except (StorageDown, LeaseLost, CommitUnknown) as error:
            for _, future in group:
                future.set_exception(error)
        except Exception as error:
            if len(group) == 1:
                group[0][1].set_exception(error)
            else:
                for each in group:
                    self._settle([each])
        else:
            for (_, future), result in zip(group, results, strict=True):
                future.set_result(result)

    def _commit(self, works: list[Work[Any]]) -> list[Any]:
        """Run works in one transaction, again and again while the database is away."""
        self._serial += 1
        give_up = time.monotonic() + self._patience_s
        pause_s = 0.02
        results: list[Any] | None = None
        while True:
            try:
                if results is not None and self._was_committed():
                    return results
                results = None
                connection = self._held()
                with connection.begin() as transaction:
                    if self._fence is not None:
                        self._fence.guard(connection, self._serial)
                    done = [work(connection) for work in works]
                    results = done  # from here on a failure may come after the commit
                    transaction.commit()
                return done
            except DBAPIError as error:
                if not is_outage(error):
                    raise
                self._let_go()
                if results is not None and self._fence is None:
                    raise CommitUnknown("the database went away during a commit") from error
                if time.monotonic() > give_up:
                    raise StorageDown(f"the database is away: {' '.join(str(error.orig).split())}") from error
            time.sleep(pause_s)
            pause_s = min(1.0, pause_s * 2)

    def _held(self) -> Connection:
        """The thread's own connection: taking one from the pool for each group would cost a third of a small one."""
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(DBAPIError):
                connection.invalidate()
                connection.close()

    def _was_committed(self) -> bool:
        assert self._fence is not None
        with self._engine.connect() as connection, connection.begin():
            return self._fence.is_committed(connection, self._serial)
