"""Who leads among single-active workers: a row of the database, a file of this machine, or a Lease of Kubernetes."""

import asyncio
import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress

import structlog
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from pilotage.adapters.kubernetes.lease import ClusterLease
from pilotage.adapters.sql.lease import RENEWALS, Keeper, Lease
from pilotage.model.errors import InvalidInput

_log = structlog.get_logger(__name__)
ROLE = "vms"


class RowLeadership:
    """The lease row: an epoch that every transaction checks. It is the fence (`pilotage.adapters.sql.writer.Fence`)."""

    _at_once = False
    """Whether something else decided already: then a holder of the row is not waited for."""

    def __init__(self, database: Engine, duration_s: float) -> None:
        self._lease = Lease(database, ROLE, duration_s=duration_s)
        self._duration_s = duration_s
        self._keeper: Keeper | None = None

    async def win(self, on_lost: Callable[[], None]) -> None:
        """Return once we lead; ``on_lost`` is called, from any thread, when that ends by itself."""
        told = False
        while True:
            try:
                if await asyncio.to_thread(self._lease.take, at_once=self._at_once):
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


class KubernetesLeadership(RowLeadership):
    """A Lease of Kubernetes decides; the row still fences what its holder writes, which a Lease can not."""

    _at_once = True

    def __init__(self, database: Engine, duration_s: float, lease: ClusterLease) -> None:
        super().__init__(database, duration_s)
        self._cluster_lease = lease
        self._keeping: asyncio.Task[None] | None = None

    async def win(self, on_lost: Callable[[], None]) -> None:
        """Wait for the Lease, keep it, and take the row at once."""
        told = False
        while True:
            try:
                if await self._cluster_lease.take():
                    break
                if not told:
                    _log.info("standing by", leader=await self._cluster_lease.holder())
                    told = True
            except InvalidInput as error:
                _log.warning("lease unreachable", error=str(error))
            await asyncio.sleep(min(1.0, self._duration_s / 4))
        self._keeping = asyncio.create_task(self._keep(on_lost))
        await super().win(on_lost)

    async def _keep(self, on_lost: Callable[[], None]) -> None:
        """Renew until the Lease is lost, or could not be renewed for as long as others wait."""
        held = True
        while held:
            await asyncio.sleep(self._duration_s / RENEWALS)
            try:
                held = await self._cluster_lease.renew()
            except InvalidInput as error:
                _log.warning("lease unreachable", error=str(error))
                held = time.monotonic() < self._cluster_lease.held_until
        on_lost()

    async def give_up(self) -> None:
        """Stop renewing, free the row, then the Lease."""
        if self._keeping is not None:
            self._keeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeping
        await super().give_up()
        try:
            await self._cluster_lease.release()
        except InvalidInput as error:
            _log.warning("lease not released", error=str(error))
        await self._cluster_lease.close()
