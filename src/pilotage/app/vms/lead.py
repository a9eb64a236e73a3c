"""Who leads among single-active workers: a row of the database, or a file of this machine."""

import asyncio
import fcntl
import os
from collections.abc import Callable
from typing import Protocol

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from pilotage.adapters.sql.lease import Keeper, Lease
from pilotage.model.errors import InvalidInput

_log = structlog.get_logger(__name__)
ROLE = "vms"


class Leadership(Protocol):
    """A role that one process has at a time. `guard` and `is_committed` fence every transaction of its writer."""

    async def win(self, on_lost: Callable[[], None]) -> None:
        """Return once we lead; ``on_lost`` is called, from any thread, when that ends by itself."""

    async def give_up(self) -> None:
        """Lead no more, so that another need not wait."""

    def guard(self, connection: Connection, serial: int) -> None:
        """Inside a transaction: raise `LeaseLost` unless we lead still."""

    def is_committed(self, connection: Connection, serial: int) -> bool:
        """Whether our transaction of this number was committed."""


class RowLeadership:
    """The lease row: an epoch that every transaction checks."""

    def __init__(self, database: Engine, duration_s: float) -> None:
        self._lease = Lease(database, ROLE, duration_s=duration_s)
        self._duration_s = duration_s
        self._keeper: Keeper | None = None

    async def win(self, on_lost: Callable[[], None]) -> None:
        """Try until the row is ours, then keep it."""
        told = False
        while True:
            try:
                if await asyncio.to_thread(self._lease.take):
                    break
                if not told:
                    _log.info("standing by", leader=await asyncio.to_thread(self._lease.holder))
                    told = True
            except DBAPIError as error:
                _log.warning("lease unreachable", error=type(error).__name__)
            await asyncio.sleep(min(1.0, self._duration_s / 4))
        self._keeper = Keeper(self._lease, self._duration_s, on_lost)
        _log.info("leading", epoch=self._lease.epoch)

    async def give_up(self) -> None:
        """Stop renewing and free the row."""
        if self._keeper is not None:
            await asyncio.to_thread(self._keeper.stop)
            self._keeper = None
        try:
            await asyncio.to_thread(self._lease.release)
        except DBAPIError as error:
            _log.warning("lease not released", error=type(error).__name__)

    def guard(self, connection: Connection, serial: int) -> None:
        """As the lease says."""
        self._lease.guard(connection, serial)

    def is_committed(self, connection: Connection, serial: int) -> bool:
        """As the lease says."""
        return self._lease.is_committed(connection, serial)


class FileLeadership(RowLeadership):
    """A lock on a file decides between the processes of one machine; the row still fences what they write.

    The system frees the lock when its process ends, however it ends: the next one leads at once.
    """

    def __init__(self, database: Engine, duration_s: float, path: str) -> None:
        super().__init__(database, duration_s)
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise InvalidInput("lease_file", f"{path} can not be opened: {error.strerror}") from None

    async def win(self, on_lost: Callable[[], None]) -> None:
        """Wait for the lock, then take the row."""
        told = False
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    _log.info("standing by", waiting_for="the lock of the lease file")
                    told = True
                await asyncio.sleep(0.2)
        await super().win(on_lost)

    async def give_up(self) -> None:
        """Free the row, then the lock."""
        await super().give_up()
        fcntl.flock(self._file, fcntl.LOCK_UN)
