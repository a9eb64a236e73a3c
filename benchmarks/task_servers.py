"""The processes around the task service under load: instances, and servers that do nothing.

``python -m benchmarks.task_servers KIND [N]`` prints its ports on one line and serves until it is terminated. Kinds:
``instances`` (the reference instance, zero run time, results delivered to the URL in argument 3), ``fakes`` (as the
original's instances: they accept and never report), ``framework`` (the submit route with the same models in FastAPI,
doing nothing), ``bare`` (the same as plain ASGI).
"""

import asyncio
import sys
from typing import Any

import msgspec
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from pilotage.api.http.hot import Answer, Hot
from pilotage.api.http.original import Submit, Submitted
from pilotage.api.http.server import HttpServer, Listen
from pilotage.api.http.wire import decode
from pilotage.app.logs import set_up_logs
from pilotage.app.tasks.instance import serve_instance
from pilotage.app.tasks.role import run_until_signal
from pilotage.service.worker import WorkerSettings


class Wanted(BaseModel):
    """The body of a submission, as the framework reads it."""

    model_name: str
    task_input: dict[str, Any]
    metadata: dict[str, Any] = {}


class Told(BaseModel):
    """The answer to it."""

    status: str
    task_id: str
    scheduled_ti: str


def framework() -> ASGIApp:
    """The submit route, doing nothing, as the framework has it."""
    app = FastAPI()

    @app.post("/queue/submit")
    async def submit(wanted: Wanted) -> Told:
        return Told(status="success", task_id=wanted.model_name, scheduled_ti="x" * 36)

    return app


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError(scope["path"])


def bare() -> ASGIApp:
    """The same without the framework."""

    async def submit(body: bytes, _: Scope) -> Answer:
        wanted = decode(body, Submit)
        return 200, msgspec.json.encode(Submitted("success", wanted.model_name, "x" * 36))

    return Hot(_nothing, {("POST", "/queue/submit"): submit})


def fake(name: str) -> ASGIApp:
    """An instance that is always idle."""
    count = 0

    async def status(_: bytes, __: Scope) -> Answer:
        state = {"model_type": "m", "replicas_running": 1, "queue_size": 0, "status": "idle"}
        return 200, msgspec.json.encode({"instance_id": name, **state})

    async def enqueue(_: bytes, __: Scope) -> Answer:
        nonlocal count
        count += 1
        return 200, msgspec.json.encode({"task_id": f"{name}-{count}", "queue_size": 0, "enqueue_time": 0.0})

    async def info(_: bytes, __: Scope) -> Answer:
        return 404, b"{}"

    return Hot(_nothing, {("GET", "/status"): status, ("GET", "/info"): info, ("POST", "/queue/enqueue"): enqueue})


async def _serve(apps: list[ASGIApp], stop: asyncio.Event) -> None:
    servers = [HttpServer(app, Listen()) for app in apps]
    for server in servers:
        await server.start()
    print(*(server.port for server in servers), flush=True)
    await stop.wait()
    await asyncio.gather(*(server.stop() for server in servers))


async def _instances(number: int, scheduler: str, stop: asyncio.Event) -> None:
    ports: list[str] = []

    def ready(url: str) -> None:
        ports.append(url.rpartition(":")[2])
        if len(ports) == number:
            print(*ports, flush=True)

    settings = WorkerSettings(model="m", run_ms=0, slots=64)
    one = [serve_instance(settings, Listen(), stop, schedulers=(scheduler,), ready=ready) for _ in range(number)]
    await asyncio.gather(*one)


def main() -> None:
    """Serve."""
    set_up_logs("error")
    kind, number = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
    if kind == "instances":
        run_until_signal(lambda stop: _instances(number, sys.argv[3], stop))
    else:
        apps = {"framework": framework, "bare": bare}
        made = [fake(f"fake{n}") for n in range(number)] if kind == "fakes" else [apps[kind]()]
        run_until_signal(lambda stop: _serve(made, stop))


if __name__ == "__main__":
    main()
