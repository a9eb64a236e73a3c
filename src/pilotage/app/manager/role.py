"""``pilotage manager``: the parts put together, started, and stopped without a scheduler being thought dead."""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import structlog
from fastapi import FastAPI, Response
from sqlalchemy.exc import DBAPIError

from pilotage import __version__
from pilotage.adapters.sql.engine import check_reachable, open_engine
from pilotage.adapters.sql.manager_store import SqlStore
from pilotage.adapters.sql.migrate import migrate
from pilotage.api.grpc.discovery import Discovery
from pilotage.api.grpc.gate import Gate
from pilotage.api.grpc.keepalive import KeepAlive
from pilotage.api.grpc.server import Server, credentials
from pilotage.api.http import manager as http_api
from pilotage.api.http.gate import ADMIN, PUBLIC, Limits, Tokens
from pilotage.api.http.gate import Gate as HttpGate
from pilotage.api.http.server import HttpServer, Listen
from pilotage.app.manager.metrics import CONTENT_TYPE, Numbers, exposition
from pilotage.app.manager.pulse import Pulse, Times
from pilotage.app.manager.service import Registry
from pilotage.app.manager.settings import ManagerSettings
from pilotage.app.stopping import ended_or_asked
from pilotage.model.errors import InvalidInput, StorageDown
from pilotage.registry.profiles import profile_named

if TYPE_CHECKING:
    from pilotage.adapters.redis.cache import RedisCache

STOP_WITHIN_S = 5.0
HTTP_BODY_BYTES = 4 << 20
_log = structlog.get_logger("pilotage.manager")


class Role:
    """One manager process. `start` returns its addresses, `run` ends when it is told to or when it can not go on."""

    def __init__(self, settings: ManagerSettings) -> None:
        self._settings = settings
        self._tokens = [each for each in settings.tokens.get_secret_value().split(",") if each.strip()]
        self._tokens = [each.strip() for each in self._tokens]
        self._parts = contextlib.AsyncExitStack()
        self._pulsing: asyncio.Task[None] | None = None

    async def start(self) -> tuple[str, str]:
        """Open the database, load the registry, listen. Returns HOST:PORT of gRPC and the URL of HTTP ("" if none).

        Raises `InvalidInput` naming the setting that can not be used.
        """
        settings = self._settings
        dragonfly = settings.compatibility == "dragonfly"
        store = await asyncio.to_thread(_open_store, settings.database)
        self._parts.push_async_callback(asyncio.to_thread, store.close)
        self._registry = Registry(store, profile=profile_named(settings.profile), require=_terms(settings))
        times = Times(settings.keep_alive_interval_s, settings.refresh_s, settings.forget_inactive_s)
        self._pulse = Pulse(self._registry, store, replica_name(), times)
        try:
            await self._registry.follow()
            await self._pulse.step()
        except StorageDown as error:
            raise InvalidInput("manager.database", str(error)) from None
        gate = Gate(self._tokens, rate=settings.calls_per_s, burst=settings.calls_burst)
        shared = _shared_cache(settings)
        if shared is not None:
            self._parts.push_async_callback(shared.close)
        discovery = Discovery(
            self._registry,
            hosts=settings.hosts,
            budget_bytes=settings.cache_mib << 20,
            shared=shared,
            everyone=dragonfly,
        )
        keep_alive = KeepAlive(self._pulse, gate, limit=settings.streams, dragonfly=dragonfly)
        size = settings.message_mib << 20
        self._grpc = Server(self._registry, discovery, keep_alive, gate, dragonfly=dragonfly, message_bytes=size)
        self._parts.push_async_callback(self._stop_pulse)
        self._parts.push_async_callback(self._grpc.stop, STOP_WITHIN_S)
        numbers = Numbers(self._registry.catalogue, discovery, self._pulse, gate)
        tls = self._credentials()
        # First, because a gRPC server that was bound and never started complains when it is thrown away.
        http_url = await self._listen_http(numbers) if settings.http else ""
        grpc_address = self._listen_grpc(tls)
        self._parts.callback(keep_alive.leave)
        await self._grpc.start()
        self._pulsing = asyncio.create_task(self._pulse.run())
        _log.info("serving", grpc=grpc_address, http=http_url, clusters=len(self._registry.catalogue.clusters))
        return grpc_address, http_url

    async def wait(self) -> None:
        """Return when the parts that must run have ended, which they do only on failure."""
        assert self._pulsing is not None
        await self._pulsing

    async def stop(self) -> None:
        """Let calls finish, and leave. Members stay alive for their lease, in which they find another manager."""
        if self._pulsing is not None:
            self._pulse.leave()
        await self._parts.aclose()

    async def _stop_pulse(self) -> None:
        if self._pulsing is not None:
            self._pulsing.cancel()
            await asyncio.gather(self._pulsing, return_exceptions=True)

    def _credentials(self) -> grpc.ServerCredentials | None:
        settings = self._settings
        authority = settings.tls_client_authority
        if not (settings.tls_certificate or settings.tls_key or authority):
            return None
        return credentials(
            _read("manager.tls_certificate", settings.tls_certificate),
            _read("manager.tls_key", settings.tls_key),
            _read("manager.tls_client_authority", authority) if authority else None,
        )

    def _listen_grpc(self, tls: grpc.ServerCredentials | None) -> str:
        settings = self._settings
        host, _ = split_address("manager.grpc", settings.grpc)
        try:
            return f"{host}:{self._grpc.listen(settings.grpc, tls)}"
        except RuntimeError:
            raise InvalidInput("manager.grpc", f"{settings.grpc} can not be bound: is it in use?") from None

    async def _listen_http(self, numbers: Numbers) -> str:
        settings = self._settings
        host, port = split_address("manager.http", settings.http)
        app = http_api.application(self._registry, __version__)
        self._add_watching(app, numbers)
        public = {"/healthz", "/readyz"}
        gate = HttpGate(
            app,
            lambda _, path: PUBLIC if path in public else ADMIN,
            Tokens({ADMIN: self._tokens} if self._tokens else {}),
            Limits(body_bytes=HTTP_BODY_BYTES),
        )
        server = HttpServer(gate, Listen(host.strip("[]"), port, settings.tls_certificate, settings.tls_key))
        self._parts.push_async_callback(server.stop)
        return await server.start()

    def _add_watching(self, app: FastAPI, numbers: Numbers) -> None:
        @app.get("/healthz", include_in_schema=False)
        def healthz() -> str:
            return "ok"

        @app.get("/readyz", include_in_schema=False)
        def readyz(response: Response) -> str:
            if self._pulse.store_is_away:
                response.status_code = 503
                return "the database is away; answering from memory"
            return "ok"

        @app.get("/metrics", include_in_schema=False)
        def metrics() -> Response:
            return Response(exposition(numbers), media_type=CONTENT_TYPE)


async def serve(settings: ManagerSettings, started: Callable[[str, str], None]) -> None:
    """Run a manager until SIGINT or SIGTERM; ``started`` gets its addresses."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    role = Role(settings)
    try:
        started(*await role.start())
        await ended_or_asked(role.wait(), stop)
    finally:
        await role.stop()


def replica_name() -> str:
    """A name that no other manager ever has, and that tells an operator which one it is."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def split_address(field: str, address: str) -> tuple[str, int]:
    """Return host and port of HOST:PORT. Raises `InvalidInput`."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise InvalidInput(field, f"must be HOST:PORT, got {address!r}")
    return host, int(port)


def _terms(settings: ManagerSettings) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, settings.require.split(","))))


def _read(field: str, path: str) -> bytes:
    if not path:
        raise InvalidInput(field, "is needed for TLS")
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput(field, f"{path} can not be read: {error.strerror or error}") from None


def _open_store(url: str) -> SqlStore:
    engine = open_engine(url)
    check_reachable(engine)
    try:
        migrate(engine, "manager")
    except DBAPIError as error:
        raise InvalidInput("manager.database", f"can not be migrated: {' '.join(str(error.orig).split())}") from None
    return SqlStore(engine)


def _shared_cache(settings: ManagerSettings) -> "RedisCache | None":
    if not settings.redis:
        return None
    try:
        from pilotage.adapters.redis.cache import RedisCache
    except ModuleNotFoundError:
        raise InvalidInput("manager.redis", "needs redis: pip install 'pilotage[redis]'") from None
    return RedisCache(settings.redis, settings.redis_ttl_s)
