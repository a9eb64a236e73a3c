"""An instance's side of the wire: register with a scheduler, deliver results until they are taken."""

import asyncio
import contextlib
import ssl
from collections import deque
from urllib.parse import urlsplit

import msgspec
import structlog

from pilotage.adapters.instances.connection import Connections
from pilotage.model.errors import InvalidInput
from pilotage.service.ports import InstanceAway
from pilotage.service.worker import Job

log = structlog.get_logger()

BATCH = 256
"""Most results in one request."""

GREET_S = 5.0
"""How often the instance greets the scheduler: one that forgot it, or started later, learns of it by that."""


CONNECT_S = 2.0
ANSWER_S = 10.0


class SchedulerLink:
    """Delivers each result at least once; the scheduler counts it once. Make it on the loop that uses it.

    Raises `InvalidInput` for a URL that is none.
    """

    def __init__(self, url: str, name: str, host: str, port: int, model: str, token: str = "") -> None:
        self._url = url
        try:
            parsed = urlsplit(url)
            self._host, tls = parsed.hostname or "", parsed.scheme == "https"
            self._port = parsed.port or (443 if tls else 80)
        except ValueError as error:
            raise InvalidInput("scheduler", f"{url!r:.100} is no URL: {error}") from None
        if parsed.scheme not in ("http", "https") or not self._host:
            raise InvalidInput("scheduler", f"{url!r:.100} is no URL; write http://HOST:PORT")
        self._path = parsed.path.rstrip("/")
        self._connections = Connections(CONNECT_S, token, ssl.create_default_context() if tls else None)
        self._name = name
        self._place = {"host": host, "port": port}
        self._model = model
        self._pending: deque[Job] = deque()
        self._woken = asyncio.Event()
        self._unknown = False
        self._one_by_one = False
        self.registered = asyncio.Event()

    def deliver(self, job: Job) -> None:
        """Queue a result."""
        self._pending.append(job)
        self._woken.set()

    async def greet(self) -> None:
        """Register, and again and again."""
        while True:
            try:
                status, body = await self._call("/ti/register", self._place | {"model_name": self._model})
                told = msgspec.json.decode(body)
                if status == 200 and told.get("status") == "success":
                    if not self.registered.is_set():
                        log.info("registered", scheduler=self._url, instance=told.get("ti_uuid"))
                    self.registered.set()
                else:
                    log.warning("registration refused", status=status, reason=str(told)[:200])
            except (InstanceAway, msgspec.MsgspecError, AttributeError) as error:
                log.debug("the scheduler can not be reached", reason=str(error))
            await asyncio.sleep(GREET_S if self.registered.is_set() else 0.3)

    async def send(self) -> None:
        """Deliver what is queued, for ever; while the scheduler is away, wait and try again."""
        pause_s = 0.05
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._pending:
                some = [self._pending.popleft() for _ in range(min(BATCH, len(self._pending)))]
                if await self._deliver(some):
                    pause_s = 0.05
                    continue
                self._pending.extendleft(reversed(some))
                await asyncio.sleep(pause_s)
                pause_s = min(1.0, pause_s * 2)

    async def leave(self) -> None:
        """Deliver what is left, say goodbye, close the connections."""
        with contextlib.suppress(InstanceAway):
            while self._pending:
                some = [self._pending.popleft() for _ in range(min(BATCH, len(self._pending)))]
                await self._deliver(some)
            await self._call("/ti/remove", self._place)
        await self._connections.close()

    async def _deliver(self, jobs: list[Job]) -> bool:
        try:
            if not self._one_by_one:
                status = await self._post("/api/v1/results", {"results": [self._word(job) for job in jobs]})
                if status not in (404, 405):
                    return status < 500 and status != 429
                self._one_by_one = True  # an older scheduler
            for job in jobs:
                status = await self._post("/result/submit", self._old_word(job))
                if status >= 500 or status == 429:
                    return False
        except InstanceAway:
            return False
        return True

    async def _post(self, path: str, content: object) -> int:
        status, body = await self._call(path, content)
        if status in (422, 413):
            log.error("a result was refused", reason=body[:300].decode("utf-8", "replace"))
        return status

    async def _call(self, path: str, content: object) -> tuple[int, bytes]:
        data = msgspec.json.encode(content)
        return await self._connections.call(self._host, self._port, "POST", self._path + path, data, ANSWER_S)

    def _word(self, job: Job) -> dict[str, object]:
        return {
            "task_id": job.id,
            "instance": self._name,
            "run_ms": job.run_ms,
            "result": job.result,
            "error": job.error[:10_000],
        }

    def _old_word(self, job: Job) -> dict[str, object]:
        result = {"error": job.error} if job.error else job.result
        return {"task_id": job.id, "instance_id": self._name, "execution_time": job.run_ms or 0.0, "result": result}
