"""The same client for programs without an event loop: one runs on a thread behind it."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator, Sequence
from typing import Any, Self, TypeVar

from pilotage.client.aio import URL, AsyncClient, Task

T = TypeVar("T")


class Client:
    """Every method is that of `AsyncClient`, and blocks. Use it by ``with``, or `close` it; any thread may call it."""

    def __init__(self, url: str = URL, *, token: str = "", patience_s: float = 10.0, timeout_s: float = 30.0) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="pilotage-client", daemon=True)
        self._thread.start()

        async def make() -> AsyncClient:
            return AsyncClient(url, token=token, patience_s=patience_s, timeout_s=timeout_s)

        self._client = self._wait(make())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections and end the thread."""
        if self._thread.is_alive():
            self._wait(self._client.close())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def submit(self, model: str, input: Any = None, **more: Any) -> Task:
        """See `AsyncClient.submit`."""
        return self._wait(self._client.submit(model, input, **more))

    def submit_many(self, model: str, inputs: Sequence[Any]) -> list[Task]:
        """See `AsyncClient.submit_many`."""
        return self._wait(self._client.submit_many(model, inputs))

    def task(self, task_id: str) -> Task:
        """One task, with input, result and history."""
        return self._wait(self._client.task(task_id))

    def wait(self, task_id: str, timeout_s: float | None = None) -> Task:
        """Return the task when it has ended. Raises `TimeoutError`."""
        return self._wait(self._client.wait(task_id, timeout_s))

    def result(self, task_id: str, timeout_s: float | None = None) -> Any:
        """Wait for a task and return its result. Raises `TaskFailed` or `TimeoutError`."""
        return self._wait(self._client.result(task_id, timeout_s))

    def tasks(self, **filters: Any) -> Iterator[Task]:
        """Tasks, newest first."""
        return self._iterate(self._client.tasks(**filters))

    def events(self, after: int | None = None) -> Iterator[dict[str, Any]]:
        """Every change as it happens."""
        return self._iterate(self._client.events(after))

    def cancel(self, task_id: str) -> Task:
        """Cancel a task."""
        return self._wait(self._client.cancel(task_id))

    def explain(self, task_id: str) -> dict[str, Any]:
        """Why a task is where it is."""
        return self._wait(self._client.explain(task_id))

    def instances(self) -> list[dict[str, Any]]:
        """Instances with what is on them."""
        return self._wait(self._client.instances())

    def add_instance(self, host: str, port: int, model: str = "") -> dict[str, Any]:
        """Register an instance."""
        return self._wait(self._client.add_instance(host, port, model))

    def use_strategy(self, name: str) -> None:
        """Go on with another strategy."""
        self._wait(self._client.use_strategy(name))

    def statistics(self) -> dict[str, Any]:
        """Counts and times."""
        return self._wait(self._client.statistics())

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    def _iterate(self, iterator: AsyncGenerator[T, None]) -> Iterator[T]:
        try:
            while True:
                found = self._wait(_next(iterator))
                if found is None:
                    return
                yield found
        finally:
            self._wait(_close(iterator))


async def _next(iterator: AsyncGenerator[T, None]) -> T | None:
    return await anext(iterator, None)


async def _close(iterator: AsyncGenerator[T, None]) -> None:
    await iterator.aclose()
