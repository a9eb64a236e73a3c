"""What requesters and operators can ask for, in terms of the store: the API and the commands go through here."""

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Engine

from pilotage.adapters.sql.engine import reading
from pilotage.adapters.sql.vms import inventory, letters, lifecycle, outbox, requests
from pilotage.adapters.sql.vms.hosts import read_hosts
from pilotage.adapters.sql.writer import Writer
from pilotage.adapters.webhook.sender import Allowed
from pilotage.model.errors import InvalidInput
from pilotage.model.host import Host
from pilotage.model.vm import SchedulingRequest

T = TypeVar("T")


class VmService:
    """Commands and queries on one database. ``wake`` is called when there is something to send."""

    def __init__(
        self,
        database: Engine,
        writer: Writer,
        *,
        allowed: Allowed,
        receivers: Sequence[str] = (),
        through_broker: bool = False,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._writer = writer
        self._allowed = allowed
        self._receivers = tuple(receivers)
        self._through_broker = through_broker
        self._wake = wake

    def admit(self, request: SchedulingRequest) -> None:
        """Raise `InvalidInput` for a request that is well formed, but may not be: a callback to somewhere else."""
        if request.callback_url:
            self._allowed.check_callback(request.callback_url)

    async def submit(self, wanted: Sequence[SchedulingRequest]) -> list[requests.Accepted]:
        """Take requests in, durably; each without an id gets one."""
        named = [self._named(each) for each in wanted]
        for each in named:
            self.admit(each)
        if len({each.task_id for each in named}) != len(named):
            raise InvalidInput("task_id", "is there twice in one submission")
        through = self._through_broker
        accepted = await self._write(lambda c: requests.submit(c, named, time.time(), through_broker=through))
        self._wake()
        return accepted

    def _named(self, request: SchedulingRequest) -> SchedulingRequest:
        return request if request.task_id else msgspec.structs.replace(request, task_id=str(uuid.uuid4()))

    async def status(self, task_id: str) -> dict[str, Any]:
        """Everything about a task."""
        return await self._read(lambda c: requests.status_of(c, task_id))

    async def statuses(self, ids: Sequence[str]) -> dict[str, str]:
        """The status of each known task."""
        return await self._read(lambda c: requests.statuses_of(c, ids))

    async def tasks(self, *, status: str, host: str, after: str, limit: int) -> tuple[list[dict[str, Any]], str]:
        """A page of tasks, newest first, and the cursor of the next."""
        return await self._read(lambda c: requests.list_tasks(c, status=status, host=host, after=after, limit=limit))

    async def cancel(self, task_id: str) -> dict[str, Any]:
        """Cancel a task without a final state."""
        await self._write(lambda c: requests.cancel(c, task_id, time.time(), self._receivers))
        self._wake()
        return await self.status(task_id)

    async def release_task(self, task_id: str) -> dict[str, Any]:
        """Release the claim of a task."""
        claim = (await self.status(task_id))["claim_id"]
        if claim is None:
            raise InvalidInput("task_id", f"task {task_id} has no claim")
        return await self.release(str(claim), None)

    async def confirm(self, claim_id: str, token: int | None) -> dict[str, Any]:
        """The VM of a claim runs."""
        return await self._write(lambda c: lifecycle.confirm(c, claim_id, time.time(), token=token))

    async def renew(self, claim_id: str, token: int | None, seconds: float) -> dict[str, Any]:
        """Reserve for longer."""
        return await self._write(lambda c: lifecycle.renew(c, claim_id, time.time(), seconds, token=token))

    async def release(self, claim_id: str, token: int | None) -> dict[str, Any]:
        """The VM of a claim is gone."""
        return await self._write(lambda c: lifecycle.release(c, claim_id, time.time(), token=token))

    async def hosts(self) -> list[dict[str, Any]]:
        """All hosts with capacity and use."""
        return [msgspec.to_builtins(row) for row in (await self._read(read_hosts)).values()]

    async def import_hosts(
        self, hosts: Sequence[Host], source: str, *, complete: bool, force: bool = False
    ) -> inventory.Imported:
        """Bring hosts in from an inventory."""
        return await self._write(
            lambda c: inventory.import_hosts(c, hosts, source=source, complete=complete, force=force)
        )

    async def set_hosts(self, names: Sequence[str], state: str) -> None:
        """``active``, ``cordoned``, ``draining``, or ``removed``."""
        if state == "removed":
            await self._write(lambda c: inventory.remove_hosts(c, names))
        else:
            await self._write(lambda c: inventory.set_state(c, names, state))  # type: ignore[arg-type]

    async def dead_letters(self, *, error_class: str, state: str, limit: int) -> list[dict[str, Any]]:
        """Dead letters, newest first, without their bodies."""
        return await self._read(lambda c: letters.list_letters(c, error_class=error_class, state=state, limit=limit))

    async def dead_letter(self, number: int) -> dict[str, Any]:
        """One dead letter with its body."""
        return await self._read(lambda c: letters.letter(c, number))

    async def retry_letter(self, number: int, body: bytes | None) -> requests.Accepted:
        """Submit a dead letter again, mended if ``body`` is given; safe by its task's id."""

        def retry(connection: Connection) -> requests.Accepted:
            request = letters.take_for_retry(connection, number, body)
            self.admit(request)
            through = self._through_broker
            return requests.submit(connection, [request], time.time(), through_broker=through)[0]

        accepted = await self._write(retry)
        self._wake()
        return accepted

    async def webhooks(self, *, state: str, task_id: str, limit: int) -> list[dict[str, Any]]:
        """Webhook messages, newest first."""
        return await self._read(lambda c: outbox.list_webhooks(c, state=state, task_id=task_id, limit=limit))

    async def deliveries(self, number: int) -> list[dict[str, Any]]:
        """The log of a message's deliveries."""
        return await self._read(lambda c: outbox.deliveries_of(c, number))

    async def redeliver(self, number: int) -> None:
        """Send a message once more."""
        await self._write(lambda c: outbox.redeliver(c, number, time.time()))
        self._wake()

    async def _read(self, query: Callable[[Connection], T]) -> T:
        def run() -> T:
            with reading(self._database) as connection:
                return query(connection)

        return await asyncio.to_thread(run)

    async def _write(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.wrap_future(self._writer.run(work))
