"""`Scheduler`: the service inside your own program, on a thread, with the same storage and the same promises."""

import asyncio
import threading
from collections.abc import Coroutine, Mapping
from typing import Any, Self, TypeVar

import msgspec
from pydantic import ValidationError

from pilotage.app.tasks.role import Serve
from pilotage.app.tasks.settings import ServeSettings
from pilotage.app.tasks.start import places
from pilotage.model.errors import InvalidInput
from pilotage.model.routing import COMPLETED, ENDED
from pilotage.service.commands import Submission
from pilotage.service.ports import Stored
from pilotage.service.tasks import TaskService

T = TypeVar("T")


class Scheduler:
    """Starts at once and leads; use it by ``with``, or `stop` it. Any thread may call it.

    ``config``: settings of ``pilotage serve`` (port 0 by default: instances deliver results there) and ``instances``.
    Raises `InvalidInput`.
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        said = {"port": 0, **(config or {})}
        listed = places(said.pop("instances", None))
        try:
            settings = ServeSettings.model_validate(said)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise InvalidInput(".".join(map(str, first["loc"])), str(first["msg"])) from None
        self.url = ""
        self._led = threading.Event()
        self._failure: BaseException | None = None
        self._role = Serve(settings, listed, ready=self._listens, led=self._leads)
        self._thread = threading.Thread(target=self._run, name="pilotage-scheduler", daemon=True)
        self._thread.start()
        self._led.wait()
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop gracefully; what is accepted is stored, and a later start goes on with it."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    # ------------------------------------------------------------------ tasks

    def submit(self, model: str, input: Mapping[str, Any], metadata: Mapping[str, Any] | None = None) -> str:
        """Accept a task and return its id once it is stored; it waits if no instance is there."""
        features = dict(metadata or {})
        wanted = Submission(
            model=model,
            input=msgspec.json.encode(dict(input)),
            metadata=msgspec.json.encode(features),
            features=features,
        )
        task, _ = self._do(self._service.submit(wanted))
        return task.id

    def query(self, task_id: str) -> dict[str, Any]:
        """``status``, ``instance``, ``result``, ``error`` and times of a task. Raises `NotFound`."""
        return _shown(self._do(self._service.find(task_id)))

    def result(self, task_id: str, timeout_s: float = 60) -> Any:
        """Wait for a task and return its result. Raises `RuntimeError` if it failed, `TimeoutError`."""
        found = self.wait(task_id, timeout_s)
        if found["status"] != COMPLETED:
            raise RuntimeError(f"task {task_id} is {found['status']}: {found['error']}")
        return found["result"]

    def wait(self, task_id: str, timeout_s: float = 60) -> dict[str, Any]:
        """What `query` says once the task has ended. Raises `TimeoutError`."""
        return _shown(self._do(self._ended(task_id, timeout_s)))

    def cancel(self, task_id: str) -> None:
        """Cancel a task that has not ended."""
        self._do(self._service.cancel(task_id))

    # ------------------------------------------------------------------ instances and strategies

    def add_instance(self, host: str, port: int, model: str = "") -> str:
        """Register an instance; returns its id."""
        return self._do(self._service.fleet.register(host, port, model)).id

    def remove_instance(self, instance_id: str) -> None:
        """Remove an instance; its tasks go elsewhere."""
        member = self._service.fleet.members[instance_id]
        self._do(self._service.fleet.remove(member))

    def instance_statuses(self) -> list[dict[str, Any]]:
        """Per instance: ``id``, ``name``, ``model``, ``slots``, ``state``, ``outstanding``."""
        return self._do(self._statuses())

    def total_capacity(self) -> dict[str, int]:
        """Slots of the ready instances, per model."""
        capacity: dict[str, int] = {}
        for each in self.instance_statuses():
            if each["state"] == "ready":
                capacity[each["model"]] = capacity.get(each["model"], 0) + each["slots"]
        return capacity

    def set_strategy(self, name: str) -> None:
        """Go on with another strategy."""
        self._do(self._service.use_strategy(name))

    def timing_statistics(self) -> dict[str, Any]:
        """Count, mean and percentiles of total, execution and overhead."""
        return self._do(self._times())

    # ------------------------------------------------------------------ inside

    def _run(self) -> None:
        async def main() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            await self._role.run(self._stop)

        try:
            asyncio.run(main())
        except BaseException as error:
            self._failure = error
        finally:
            self._led.set()

    def _listens(self, url: str) -> None:
        self.url = url

    def _leads(self, service: TaskService) -> None:
        self._service = service
        self._led.set()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _ended(self, task_id: str, timeout_s: float) -> Stored:
        async with asyncio.timeout(timeout_s):
            while (found := await self._service.find(task_id)).status not in ENDED:
                await asyncio.sleep(0.01)
            return found

    async def _statuses(self) -> list[dict[str, Any]]:
        return [
            {
                "id": member.id,
                "name": member.name,
                "model": member.instance().model,
                "slots": member.instance().slots,
                "state": member.state,
                "outstanding": len(self._service.queue.on.get(member.id, ())),
            }
            for member in self._service.fleet.members.values()
        ]

    async def _times(self) -> dict[str, Any]:
        return self._service.times.report()


def _shown(row: Stored) -> dict[str, Any]:
    return {
        "id": row.id,
        "status": row.status,
        "instance": row.instance,
        "result": None if row.result is None else msgspec.json.decode(row.result),
        "error": row.error,
        "submitted_s": row.submitted_s,
        "started_s": row.started_s,
        "finished_s": row.finished_s,
        "run_s": row.run_s,
    }
