"""One HTTP server on a running loop: bound at once, stopped within a bound whatever its clients do."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from msgspec import Struct
from starlette.types import ASGIApp

from pilotage.api.http.protocol import Protocol
from pilotage.model.errors import InvalidInput


class Listen(Struct, frozen=True):
    """Where a server listens. With a certificate and its key (PEM files) it speaks TLS."""

    host: str = "127.0.0.1"
    port: int = 0
    certificate: str = ""
    key: str = ""
    stop_within_s: int = 3
    """After a stop, open requests may take so long; then they are cut off."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the process: there may be several servers in it, and work to finish after them."""
        yield


class HttpServer:
    """Serves one application. `start` binds (so the port is known), `stop` is graceful and bounded."""

    def __init__(self, app: ASGIApp, listen: Listen) -> None:
        self._listen = listen
        tls = bool(listen.certificate)
        self._server = _Server(
            uvicorn.Config(
                app,
                http=Protocol,
                ws="websockets-sansio",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                backlog=4096,
                timeout_graceful_shutdown=listen.stop_within_s,
                ssl_certfile=listen.certificate or None,
                ssl_keyfile=(listen.key or None) if tls else None,
            )
        )
        self._socket: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Listen, and return the URL. Raises `InvalidInput` naming what can not be bound or read."""
        host, port = self._listen.host, self._listen.port
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host, port), family=family, backlog=4096)
        except OSError as error:
            raise InvalidInput("listen", f"{host}:{port} can not be bound: {error.strerror or error}") from None
        try:
            self._server.config.load()
        except OSError as error:  # ssl.SSLError is one
            self._socket.close()
            raise InvalidInput("certificate", f"can not be used: {error.strerror or error}") from None
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        while not self._server.started and not self._task.done():
            await asyncio.sleep(0.005)
        if self._task.done():
            self._task.result()
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self._listen.certificate else 'http'}://{shown}:{self.port}"

    @property
    def port(self) -> int:
        """The port that is listened on (asked for as 0: a free one)."""
        assert self._socket is not None
        return int(self._socket.getsockname()[1])

    async def stop(self) -> None:
        """Take no more connections, let open requests end, cut off what is left after the bound."""
        if self._task is None:
            return
        self._server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._task = None

    async def ended(self) -> None:
        """Return when the server stopped, for whatever reason."""
        if self._task is not None:
            await asyncio.wait([self._task])
