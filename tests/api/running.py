"""A real service and programmable instances for tests: each on a thread of its own, all on loopback and free ports."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import uvloop

from pilotage.api.http.server import Listen
from pilotage.app.tasks.instance import serve_instance
from pilotage.app.tasks.role import Serve
from pilotage.app.tasks.settings import ServeSettings
from pilotage.service.worker import WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pilotage.app.tasks.start import Place
    from pilotage.service.tasks import TaskService


class Service:
    """The role `serve` on a thread. `call` is a client that knows nothing of the service's code."""

    def __init__(self, settings: ServeSettings, places: tuple[Place, ...] = ()) -> None:
        self.url = ""
        self.inside: TaskService | None = None
        self._up, self._led = threading.Event(), threading.Event()
        self._failure: BaseException | None = None
        self._role = Serve(settings, places, ready=self._ready, led=self._lead)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _ready(self, url: str) -> None:
        self.url = url
        self._up.set()

    def _lead(self, service: TaskService) -> None:
        self.inside = service
        self._led.set()

    def _run(self) -> None:
        async def main() -> None:
            self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
            await self._role.run(self._stop)

        try:
            asyncio.run(main())
        except BaseException as error:
            self._failure = error
            self._up.set()
            self._led.set()

    def start(self, *, leading: bool = True) -> Service:
        self._thread.start()
        assert (self._led if leading else self._up).wait(30)
        if self._failure:
            raise self._failure
        return self

    def stop(self) -> None:
        if self._thread.is_alive():
            assert self._loop
            assert self._stop
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(30)
        assert not self._thread.is_alive(), "the service did not stop"

    def wait_until_leading(self) -> None:
        assert self._led.wait(30)

    def call(
        self, method: str, path: str, content: Any = None, *, headers: dict[str, str] | None = None, raw: bytes = b""
    ) -> tuple[int, Any]:
        host = self.url.partition("//")[2]
        connection = http.client.HTTPConnection(host, timeout=30)
        body = raw or (None if content is None else json.dumps(content).encode())
        connection.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        kind = answer.headers.get("Content-Type", "")
        return answer.status, json.loads(text) if "json" in kind else text

    def get(self, path: str) -> Any:
        status, told = self.call("GET", path)
        assert status == 200, (path, status, told)
        return told

    def post(self, path: str, content: Any) -> Any:
        status, told = self.call("POST", path, content)
        assert status == 200, (path, status, told)
        return told


@contextmanager
def running(folder: Path, places: tuple[Place, ...] = (), **more: Any) -> Iterator[Service]:
    """A service on SQLite in ``folder``, quick to notice things, gone afterwards."""
    service = Service(settings(folder, **more), places).start()
    try:
        yield service
    finally:
        service.stop()


def settings(folder: Path, **more: Any) -> ServeSettings:
    quick = {
        "port": 0,
        "database": f"sqlite:///{folder}/tasks.sqlite3",
        "probe_every_s": 0.1,
        "lost_after_s": 0.4,
        "send_timeout_s": 0.5,
        "ask_after_s": 0.3,
        "strategy": "shortest_queue",  # binds at submit, as the original does: instances here need not end anything
    }
    return ServeSettings(**(quick | more))


@contextmanager
def instance(url: str, function: Callable[[Any, Any], Any] | None = None, **settings: Any) -> Iterator[str]:
    """A reference instance on a thread, registered."""
    up, done = threading.Event(), []

    def serve() -> None:
        async def main() -> None:
            stop = asyncio.Event()
            done.append((asyncio.get_running_loop(), stop))
            worker = WorkerSettings(**({"model": "m", "run_ms": 5} | settings))
            await serve_instance(worker, Listen(), stop, schedulers=(url,), function=function, ready=lambda _: up.set())

        uvloop.run(main())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    assert up.wait(20)
    try:
        yield url
    finally:
        loop, stop = done[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        assert not thread.is_alive()


class FakeInstance:
    """An instance as the original has them (dialect ``status``) or later ones (``info``); tests bend its answers.

    ``answers`` maps a path to a function from body to (status, JSON), or to a number of seconds to hang.
    """

    def __init__(self, model: str | None = "m", dialect: str = "status", replicas: int = 1, name: str = "") -> None:
        self.model, self.dialect, self.replicas = model, dialect, replicas
        self.received: list[dict[str, Any]] = []
        self.answers: dict[str, Callable[[Any], tuple[int, Any]] | float] = {}
        self._count = 0
        self._closed = False
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                fake._answer(self, None)

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                fake._answer(self, json.loads(self.rfile.read(length) or b"null"))

            do_DELETE = do_GET  # noqa: N815 - the base class's way of naming

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.name = name or f"fake-{self.port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._closed = True  # for connections that are kept alive
        self._server.shutdown()
        self._server.server_close()

    def register(self, service: Service, **more: Any) -> str:
        told = service.post("/ti/register", {"host": "127.0.0.1", "port": self.port, **more})
        assert told["status"] == "success"
        return str(told["ti_uuid"])

    def _answer(self, handler: BaseHTTPRequestHandler, body: Any) -> None:
        if self._closed:
            handler.close_connection = True
            return
        special = self.answers.get(handler.path)
        if isinstance(special, int | float):
            time.sleep(special)
            special = None
        status, told = special(body) if special else self._usual(handler.path, body)
        content = json.dumps(told).encode()
        try:
            handler.send_response(status)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content)
        except OSError:
            pass  # the service did not wait for it

    def _usual(self, path: str, body: Any) -> tuple[int, Any]:
        if self.dialect == "info":
            if path == "/info":
                deployed = {"model_name": self.model, "replicas": self.replicas} if self.model else None
                return 200, {
                    "deployed_model": deployed,
                    "queue_info": {"length_of_queue": 0},
                    "instance_status": "idle",
                }
            if path == "/queue/submit":
                self.received.append(body)
                return 200, {"task_id": body["task_id"]}
        elif path == "/status":
            state = {"model_type": self.model, "replicas_running": self.replicas, "queue_size": 0, "status": "idle"}
            return 200, {"instance_id": self.name, **state}
        elif path == "/queue/enqueue":
            self._count += 1
            task_id = f"{self.name}-{self._count}"
            self.received.append(body | {"task_id": task_id})
            return 200, {"task_id": task_id, "queue_size": 1, "enqueue_time": time.time()}
        return 404, {"detail": "Not Found"}


def eventually(check: Callable[[], Any], seconds: float = 30) -> Any:
    """The first true answer of ``check``; fails with the last one."""
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, f"not within {seconds} s: {found!r}"
        time.sleep(0.02)
    return found
