"""An instance's side of the wire: register with a scheduler, deliver results until they are taken."""

import asyncio
import contextlib
from collections import deque

import aiohttp
import msgspec
import structlog

from pilotage.service.worker import Job

log = structlog.get_logger()

BATCH = 256
"""Most results in one request."""

GREET_S = 5.0
"""How often the instance greets the scheduler: one that forgot it, or started later, learns of it by that."""


class SchedulerLink:
    """Delivers each result at least once; the scheduler counts it once. Make it on the loop that uses it."""

    def __init__(self, url: str, name: str, host: str, port: int, model: str, token: str = "") -> None:
        self._url = url.rstrip("/")
        self._name = name
        self._place = {"host": host, "port": port}
        self._model = model
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session = aiohttp.ClientSession(
            headers={"Content-Type": "application/json", **headers},
            timeout=aiohttp.ClientTimeout(total=10, sock_connect=2),
        )
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
                async with self._session.post(
                    f"{self._url}/ti/register", data=msgspec.json.encode(self._place | {"model_name": self._model})
                ) as answer:
                    body = await answer.read()
                told = msgspec.json.decode(body)
                if answer.status == 200 and told.get("status") == "success":
                    if not self.registered.is_set():
                        log.info("registered", scheduler=self._url, instance=told.get("ti_uuid"))
                    self.registered.set()
                else:
                    log.warning("registration refused", status=answer.status, reason=str(told)[:200])
            except (aiohttp.ClientError, OSError, TimeoutError, msgspec.MsgspecError, AttributeError) as error:
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
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            while self._pending:
                some = [self._pending.popleft() for _ in range(min(BATCH, len(self._pending)))]
                await self._deliver(some)
            async with self._session.post(f"{self._url}/ti/remove", data=msgspec.json.encode(self._place)) as answer:
                await answer.read()
        await self._session.close()

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
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False
        return True

    async def _post(self, path: str, content: object) -> int:
        async with self._session.post(self._url + path, data=msgspec.json.encode(content)) as answer:
            body = await answer.read()
            if answer.status == 422 or answer.status == 413:
                log.error("a result was refused", reason=body[:300].decode("utf-8", "replace"))
            return answer.status

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
