"""The client for asyncio. Make it inside a running loop, best by ``async with``."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Self
from urllib.parse import quote

import aiohttp
import msgspec

ENDED = frozenset({"completed", "failed", "cancelled", "expired"})

URL = "http://127.0.0.1:8102"

Task = dict[str, Any]
"""A task as /api/v1 shows it: ``id``, ``status``, ``instance``, times, and (asked for alone) ``input``, ``result``."""


class ApiError(RuntimeError):
    """The service said no. ``status``: of HTTP, 0 if it could not be reached; the text says why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class TaskFailed(RuntimeError):  # noqa: N818 - reads as a statement at the place that raises it
    """A task that was waited for did not complete. ``task`` is all that is known of it."""

    def __init__(self, task: Task) -> None:
        super().__init__(f"task {task['id']} is {task['status']}: {task['error'] or 'no reason was given'}")
        self.task = task


class AsyncClient:
    """A connection pool to one service. Raises `ApiError`.

    While the service can not be reached or does not lead (503), requests are tried again for ``patience_s``: each is
    safe to repeat, a submission by its idempotency key.
    """

    def __init__(self, url: str = URL, *, token: str = "", patience_s: float = 10.0, timeout_s: float = 30.0) -> None:
        self._url = url.rstrip("/")
        self._patience_s = patience_s
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session = aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=timeout_s))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    # ------------------------------------------------------------------ tasks

    async def submit(
        self,
        model: str,
        input: Any = None,
        *,
        metadata: dict[str, Any] | None = None,
        priority: int = 0,
        deadline_s: float | None = None,
        tenant: str = "",
        idempotency_key: str | None = None,
        id: str | None = None,
    ) -> Task:
        """Submit a task (``input``: a dictionary); returns once the service has stored it.

        Without a key of yours it gets a random one, so that a request whose answer was lost makes no second task.
        """
        content = {
            "model": model,
            "input": {} if input is None else input,
            "metadata": metadata or {},
            "priority": priority,
            "deadline_s": deadline_s,
            "tenant": tenant,
            "idempotency_key": idempotency_key or uuid.uuid4().hex,
            "id": id,
        }
        accepted: Task = await self.call("POST", "/tasks", {k: v for k, v in content.items() if v is not None})
        return accepted

    async def submit_many(self, model: str, inputs: Sequence[Any]) -> list[Task]:
        """Submit up to 1,000 tasks, all or none; it is not repeated if the answer is lost."""
        tasks = [{"model": model, "input": each} for each in inputs]
        accepted = await self.call("POST", "/tasks/batch", {"tasks": tasks}, repeat=False)
        found: list[Task] = accepted["tasks"]
        return found

    async def task(self, task_id: str) -> Task:
        """One task, with input, result and history."""
        found: Task = await self.call("GET", f"/tasks/{quote(task_id, safe='')}")
        return found

    async def wait(self, task_id: str, timeout_s: float | None = None) -> Task:
        """Return the task when it has ended. Raises `TimeoutError`."""
        give_up = None if timeout_s is None else time.monotonic() + timeout_s
        pause_s = 0.01
        while True:
            found = await self.task(task_id)
            if found["status"] in ENDED:
                return found
            if give_up is not None and time.monotonic() > give_up:
                raise TimeoutError(f"task {task_id} is still {found['status']}")
            await asyncio.sleep(pause_s)
            pause_s = min(0.5, pause_s * 1.5)

    async def result(self, task_id: str, timeout_s: float | None = None) -> Any:
        """Wait for a task and return its result. Raises `TaskFailed` or `TimeoutError`."""
        found = await self.wait(task_id, timeout_s)
        if found["status"] != "completed":
            raise TaskFailed(found)
        return found["result"]

    async def tasks(self, **filters: Any) -> AsyncGenerator[Task, None]:
        """Tasks, newest first, page by page: ``status``, ``model``, ``instance``, ``tenant`` narrow them down."""
        asked = "&".join(f"{name}={quote(str(value))}" for name, value in filters.items() if value is not None)
        cursor = ""
        while True:
            page = await self.call("GET", f"/tasks?limit=500&{asked}{cursor}")
            for task in page["tasks"]:
                yield task
            if page["next"] is None:
                return
            cursor = f"&cursor={page['next']}"

    async def cancel(self, task_id: str) -> Task:
        """Cancel a task; `ApiError` 409 if it ended already."""
        found: Task = await self.call("DELETE", f"/tasks/{quote(task_id, safe='')}")
        return found

    async def explain(self, task_id: str) -> dict[str, Any]:
        """Why a task is where it is."""
        found: dict[str, Any] = await self.call("GET", f"/tasks/{quote(task_id, safe='')}/explain")
        return found

    # ------------------------------------------------------------------ the service

    async def instances(self) -> list[dict[str, Any]]:
        """Instances with what is on them."""
        found: list[dict[str, Any]] = (await self.call("GET", "/instances"))["instances"]
        return found

    async def add_instance(self, host: str, port: int, model: str = "") -> dict[str, Any]:
        """Register an instance."""
        found: dict[str, Any] = await self.call("POST", "/instances", {"host": host, "port": port, "model": model})
        return found

    async def use_strategy(self, name: str) -> None:
        """Go on with another strategy."""
        await self.call("PUT", "/strategies", {"strategy": name})

    async def statistics(self) -> dict[str, Any]:
        """Counts and times."""
        found: dict[str, Any] = await self.call("GET", "/statistics")
        return found

    async def events(self, after: int | None = None) -> AsyncGenerator[dict[str, Any], None]:
        """Every change as it happens: ``number``, ``kind``, ``data``. Ends when the service stops.

        ``after``: begin with the kept events that have a higher number (0: all that are kept).
        """
        where = f"{self._url}/api/v1/events" + (f"?after={after}" if after is not None else "")
        timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
        async with self._session.get(where, timeout=timeout) as answer:
            if answer.status != 200:
                raise ApiError(answer.status, _reason(await answer.read()))
            event: dict[str, Any] = {}
            try:
                async for line in answer.content:
                    name, _, value = line.decode().rstrip("\n").partition(": ")
                    if name == "id":
                        event["number"] = int(value)
                    elif name == "event":
                        event["kind"] = value
                    elif name == "data":
                        event["data"] = msgspec.json.decode(value)
                    elif not name and event:
                        yield event
                        event = {}
            finally:
                answer.close()  # there is no end to wait for

    async def call(self, method: str, path: str, content: Any = None, *, repeat: bool = True) -> Any:
        """One request below /api/v1. Raises `ApiError`."""
        data = None if content is None else msgspec.json.encode(content)
        give_up = time.monotonic() + (self._patience_s if repeat else 0)
        pause_s = 0.05
        while True:
            try:
                async with self._session.request(
                    method, f"{self._url}/api/v1{path}", data=data, headers={"Content-Type": "application/json"}
                ) as answer:
                    status, body = answer.status, await answer.read()
                problem = ApiError(status, _reason(body)) if status >= 400 else None
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                problem, status, body = ApiError(0, f"{self._url} can not be reached: {error}"), 0, b""
            if problem is None:
                return msgspec.json.decode(body)
            if status not in (0, 429, 503) or time.monotonic() > give_up:
                raise problem
            await asyncio.sleep(pause_s)
            pause_s = min(1.0, pause_s * 2)


def _reason(body: bytes) -> str:
    """The text of an error: of a validation error field and reason."""
    try:
        detail = msgspec.json.decode(body)["detail"]
    except (msgspec.MsgspecError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace")
    if isinstance(detail, list):
        return "; ".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in detail)
    return str(detail)
