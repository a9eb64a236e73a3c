"""The reference instance's HTTP API: both dialects that schedulers speak, and ours with batches and memory."""

import time
import uuid
from typing import Any

import msgspec
from msgspec import Raw, Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Scope

from pilotage.api.http.hot import Answer, Hot
from pilotage.api.http.wire import EXPECTED, decode, problem
from pilotage.model.errors import InvalidInput
from pilotage.service.worker import Job, Worker

EMPTY = Raw(b"{}")


class _Submit(Struct):
    model_name: str
    task_input: Raw
    metadata: Raw = EMPTY
    task_id: str | None = None


class _Enqueue(Struct):
    input_data: Raw
    metadata: Raw = EMPTY


class _Task(Struct):
    task_id: str
    model: str
    input: Raw
    metadata: Raw = EMPTY


class _Batch(Struct):
    tasks: list[_Task]


class _Start(Struct):
    model_type: str
    count: int = 1


class _Stop(Struct):
    count: int | None = None


class InstanceApp:
    """Routes around one worker. ``name`` is what the instance calls itself, ``boot`` changes with each start."""

    def __init__(self, worker: Worker, name: str) -> None:
        self._worker = worker
        self.name = name
        self.boot = uuid.uuid4().hex
        self._started = time.monotonic()

    def app(self) -> ASGIApp:
        """The application."""
        routes = [
            Route("/health", self._health),
            Route("/info", self._info),
            Route("/status", self._status),
            Route("/queue/status", self._queue_status),
            Route("/queue/predict", self._predict, methods=["POST"]),
            Route("/queue/{task_id}", self._cancel, methods=["DELETE"]),
            Route("/results", self._results),
            Route("/results/{task_id}", self._result),
            Route("/models/start", self._start, methods=["POST"]),
            Route("/models/stop", self._stop, methods=["POST"]),
        ]
        app = Starlette(routes=routes, exception_handlers=dict.fromkeys(EXPECTED, _answer))
        return Hot(
            app,
            {
                ("POST", "/queue/submit"): self._submit,
                ("POST", "/queue/enqueue"): self._enqueue,
                ("POST", "/queue/submit_batch"): self._submit_batch,
            },
        )

    # ------------------------------------------------------------------ tasks

    async def _submit(self, body: bytes, _: Scope) -> Answer:
        wanted = decode(body, _Submit)
        if wanted.model_name != self._worker.settings.model:
            raise InvalidInput("model_name", f"{self._worker.settings.model} runs here, not {wanted.model_name!r:.80}")
        job = Job(wanted.task_id or str(uuid.uuid4()), wanted.task_input, wanted.metadata)
        if not self._worker.submit(job):
            return _full()
        return 200, msgspec.json.encode({"task_id": job.id, "queue_size": self._worker.queue_size})

    async def _enqueue(self, body: bytes, _: Scope) -> Answer:
        wanted = decode(body, _Enqueue)
        job = Job(str(uuid.uuid4()), wanted.input_data, wanted.metadata)
        if not self._worker.submit(job):
            return _full()
        told = {"task_id": job.id, "queue_size": self._worker.queue_size, "enqueue_time": job.enqueued_s}
        return 200, msgspec.json.encode(told)

    async def _submit_batch(self, body: bytes, _: Scope) -> Answer:
        results = []
        for task in decode(body, _Batch).tasks:
            if task.model != self._worker.settings.model:
                results.append({"accepted": False, "reason": f"{self._worker.settings.model} runs here"})
            elif self._worker.submit(Job(task.task_id, task.input, task.metadata)):
                results.append({"accepted": True})
            else:
                results.append({"accepted": False, "reason": "the queue is full"})
        return 200, msgspec.json.encode({"results": results})

    async def _cancel(self, request: Request) -> Response:
        done = self._worker.cancel(request.path_params["task_id"])
        return _json({"cancelled": done}, 200 if done else 404)

    # ------------------------------------------------------------------ questions

    async def _health(self, _: Request) -> Response:
        return _json({"status": "healthy"})

    async def _info(self, _: Request) -> Response:
        worker = self._worker
        deployed = {"model_name": worker.settings.model, "replicas": worker.slots if worker.accepting else 0}
        return _json(
            {
                "instance_id": self.name,
                "deployed_model": deployed if worker.slots else None,
                "queue_info": {"length_of_queue": worker.queue_size},
                "instance_status": "running" if worker.queue_size else "idle",
                "uptime": time.monotonic() - self._started,
                "platform": worker.settings.platform,
                "boot": self.boot,
                "remembers": True,
                "batches": True,
            }
        )

    async def _status(self, _: Request) -> Response:
        worker = self._worker
        return _json(
            {
                "instance_id": self.name,
                "model_type": worker.settings.model if worker.slots else None,
                "replicas_running": worker.slots,
                "queue_size": worker.queue_size,
                "status": "running" if worker.queue_size else "idle",
            }
        )

    async def _predict(self, _: Request) -> Response:
        expected, error = self._worker.expected_ms()
        return _json({"expected_ms": expected, "error_ms": error, "queue_size": self._worker.queue_size})

    async def _queue_status(self, _: Request) -> Response:
        expected, error = self._worker.expected_ms()
        told = {"queue_size": self._worker.queue_size, "model_type": self._worker.settings.model}
        return _json(told | {"expected_ms": expected, "error_ms": error})

    async def _result(self, request: Request) -> Response:
        task_id = request.path_params["task_id"]
        job = self._worker.jobs.get(task_id)
        if job is None:
            return _json({"detail": f"Task {task_id} not found"}, 404)
        return _json(_shown(job))

    async def _results(self, _: Request) -> Response:
        return _json([_shown(job) for job in list(self._worker.jobs.values())[-1000:]])

    # ------------------------------------------------------------------ models

    async def _start(self, request: Request) -> Response:
        wanted = decode(await request.body(), _Start)
        if wanted.model_type != self._worker.settings.model:
            raise InvalidInput("model_type", f"{self._worker.settings.model} runs here")
        if not 1 <= wanted.count <= 1024:
            raise InvalidInput("count", "must be 1 to 1024")
        self._worker.slots += wanted.count
        told = {"detail": "started", "model_type": wanted.model_type, "replicas_started": wanted.count}
        return _json(told | {"total_replicas": self._worker.slots})

    async def _stop(self, request: Request) -> Response:
        wanted = decode(await request.body() or b"{}", _Stop)
        count = self._worker.slots if wanted.count is None else max(0, min(wanted.count, self._worker.slots))
        self._worker.slots -= count
        stopped = [f"replica-{self._worker.slots + index}" for index in range(count)]
        return _json({"detail": "stopped", "stopped_replicas": stopped, "remaining_replicas": self._worker.slots})


def _shown(job: Job) -> dict[str, Any]:
    started, ended = job.started_s, job.ended_s
    return {
        "task_id": job.id,
        "status": job.status,
        "result": job.result,
        "error": job.error or None,
        "enqueue_time": job.enqueued_s,
        "completion_time": ended,
        "wait_time": None if started is None else (started - job.enqueued_s) * 1000,
        "execution_time": job.run_ms,
        "total_time": None if ended is None else (ended - job.enqueued_s) * 1000,
    }


def _full() -> Answer:
    return 503, b'{"detail":"the queue is full, or the instance is leaving"}'


async def _answer(_: Request, error: Exception) -> Response:
    status, told = problem(error)
    return _json(told, status)


def _json(told: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(told), status, media_type="application/json")
