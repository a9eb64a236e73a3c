"""``pilotage worker``: the parts put together, started, and stopped without losing what they hold."""

import asyncio
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import structlog
from fastapi import FastAPI, Response
from prometheus_client import generate_latest
from sqlalchemy.exc import DBAPIError

from pilotage import __version__
from pilotage.adapters.kubernetes.kubeconfig import find_access
from pilotage.adapters.kubernetes.lease import ClusterLease
from pilotage.adapters.rabbitmq.consumer import Consumer
from pilotage.adapters.rabbitmq.link import Link
from pilotage.adapters.rabbitmq.publisher import Publisher
from pilotage.adapters.rabbitmq.topology import Topology
from pilotage.adapters.sql.engine import check_reachable, open_engine, reading
from pilotage.adapters.sql.migrate import migrate
from pilotage.adapters.sql.vms.inventory import Imported
from pilotage.adapters.sql.vms.lifecycle import suspect_overdue
from pilotage.adapters.sql.vms.outbox import outbox_depth
from pilotage.adapters.sql.vms.queue import SqlQueue, waiting
from pilotage.adapters.sql.writer import Writer
from pilotage.adapters.webhook.sender import Allowed, Sender, checked_url
from pilotage.api.http.gate import ADMIN, PUBLIC, Gate, Limits, Tokens
from pilotage.api.http.server import HttpServer, Listen
from pilotage.api.http.vms import application
from pilotage.app.stopping import ended_or_asked
from pilotage.app.vms.inventory import read_inventory
from pilotage.app.vms.lead import FileLeadership, KubernetesLeadership, RowLeadership
from pilotage.app.vms.metrics import WorkerMetrics
from pilotage.app.vms.poison import bury, park
from pilotage.app.vms.relay import Backoff, Receiver, Relay
from pilotage.app.vms.service import VmService
from pilotage.app.vms.settings import VmsSettings
from pilotage.app.vms.strategies import Strategies
from pilotage.app.vms.worker import Worker
from pilotage.engine.placer import Placer
from pilotage.engine.request_queue import RequestQueue
from pilotage.model.errors import CommitUnknown, InvalidInput, StorageDown, StorageFull

_log = structlog.get_logger(__name__)
_TICK_S = 2.0
_LONGEST_STOP_S = 30.0

TURN_S = 0.001
"""How long a thread keeps the interpreter while others wait. The one that commits needs it after every answer of the
database; with Python's 5 ms it waits longer for the thread that decides than for the database."""


class Role:
    """One process: a worker, the relay of the outbox, the HTTP API; each may be left out by its setting."""

    def __init__(self, settings: VmsSettings, *, name: str = "", consume: bool = True) -> None:
        self._settings = settings
        self.name = name or f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._consume = consume
        self._strategies = Strategies(
            settings.strategy, file=settings.strategy_file, strict_dedicated=settings.dedicated == "strict"
        )
        self._allowed = Allowed(settings.callback_hosts.split(","), settings.webhook_networks.split(","))
        self._receivers = {
            each.name: Receiver(each.name, each.url, each.secret.get_secret_value()) for each in settings.receivers
        }
        for each in self._receivers.values():
            checked_url(f"receivers.{each.name}.url", each.url)
        self._metrics = WorkerMetrics()
        self._links: list[Link] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._publisher: Publisher | None = None
        self._worker: Worker | None = None
        self._http: HttpServer | None = None
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.url = ""

    async def start(self) -> None:
        """Open database and broker, listen, begin to work. Raises `InvalidInput` naming what can not be used."""
        settings = self._settings
        self._database = await asyncio.to_thread(_opened, settings.database)
        self._writer = Writer(self._database)
        if settings.rabbitmq:
            publishing = await self._link(confirms=True)
            self._publisher = Publisher(publishing)
        self._sender = Sender(self._allowed, timeout_s=settings.webhook_timeout_s)
        self._relay = Relay(
            self._writer,
            publisher=self._publisher,
            sender=self._sender,
            receivers=self._receivers,
            callback_secret=settings.callback_secret.get_secret_value(),
            attempts=settings.webhook_attempts,
            backoff=Backoff(settings.webhook_pause_s),
            lease_s=2 * settings.webhook_timeout_s + 10,
        )
        self.service = VmService(
            self._database,
            self._writer,
            allowed=self._allowed,
            receivers=tuple(self._receivers),
            through_broker=bool(settings.rabbitmq),
            wake=self._relay.wake,
        )
        if settings.listen:
            await self._listen()
        self._run(self._relay.run(), "relay")
        self._run(self._every(_TICK_S, self._tick), "tick")
        if settings.inventory:
            self._run(self._every(settings.inventory_s, self._look_at_inventory), "inventory")
        if self._consume:
            self._run(self._work(), "worker")

    async def ended(self) -> None:
        """Return when a part that must run has ended, by raising what ended it."""
        await self._failed

    async def stop(self) -> None:
        """Take nothing new, finish what was taken, then close everything; bounded."""
        if self._http is not None:
            await self._http.stop()
        if self._worker is not None:
            await self._worker.stop()
            working = [task for task in self._tasks if task.get_name() == "worker"]
            await asyncio.wait(working, timeout=_LONGEST_STOP_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for link in self._links:
            await link.close()
        await self._sender.close()
        await asyncio.to_thread(self._writer.close)
        self._database.dispose()

    def _run(self, work: Awaitable[Any], name: str) -> None:
        async def watched() -> None:
            try:
                await work
            except Exception as error:
                if not self._failed.done():
                    self._failed.set_exception(error)

        self._tasks.append(asyncio.create_task(watched(), name=name))

    async def _link(self, *, confirms: bool) -> Link:
        topology = Topology(self._settings.queue, self._settings.delivery_limit)
        link = Link(self._settings.rabbitmq, topology, confirms=confirms, name=self.name)
        self._links.append(link)
        if confirms:
            await link.open()
        return link

    # -- the worker ----------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        """Work; with ``single_active`` only while leading, again and again."""
        settings = self._settings
        if not settings.single_active:
            await self._work_once(Writer(self._database))
            return
        leadership = self._leadership()
        loop, lost = asyncio.get_running_loop(), asyncio.Event()
        try:
            await leadership.win(lambda: _told(loop, lost))
            working = asyncio.ensure_future(self._work_once(Writer(self._database, fence=leadership)))
            losing = asyncio.ensure_future(lost.wait())
            both: set[asyncio.Future[Any]] = {working, losing}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            losing.cancel()
            if lost.is_set():
                working.cancel()
                raise InvalidInput("lease", "another worker leads now; this one ends")
            await working
        finally:
            await leadership.give_up()

    def _leadership(self) -> RowLeadership:
        settings = self._settings
        if settings.lease_kubernetes:
            if settings.lease_file:
                raise InvalidInput("lease_file", "decides who leads, and so does lease_kubernetes: name one of them")
            namespace, _, name = settings.lease_kubernetes.partition("/")
            access = find_access(None, None, os.environ)
            lease = ClusterLease(access, namespace, name, holder=self.name, duration_s=settings.lease_s)
            return KubernetesLeadership(self._database, settings.lease_s, lease)
        if settings.lease_file:
            return FileLeadership(self._database, settings.lease_s, settings.lease_file)
        return RowLeadership(self._database, settings.lease_s)

    async def _work_once(self, writer: Writer) -> None:
        settings = self._settings
        queue: RequestQueue
        link, parking = None, None
        if settings.rabbitmq:
            assert self._publisher is not None
            link = await self._link(confirms=False)
            queue = Consumer(link, prefetch=settings.prefetch)
            parking = partial(park, self._publisher, link.topology.parked)
        else:
            queue = SqlQueue(writer, self.name)
        seed = int.from_bytes(self.name.encode()[-8:], "big") % 2**31
        placer = Placer(self._strategies, seed=seed, reservation_s=settings.reservation_s)
        self._worker = Worker(
            self.name,
            queue,
            self._database,
            writer,
            placer,
            self._metrics,
            receivers=tuple(self._receivers),
            batch=settings.batch,
            linger_s=settings.linger_ms / 1000,
            on_settled=self._relay.wake,
            admit=self.service.admit,
            park=parking,
        )
        burying = None
        try:
            if link is not None:
                await link.open()
                dead = await self._link(confirms=False)
                burying = asyncio.create_task(bury(dead, self._database, writer, self.name, tuple(self._receivers)))
            await self._worker.run()
        finally:
            if burying is not None:
                burying.cancel()
                with suppress(asyncio.CancelledError):
                    await burying
            await asyncio.to_thread(writer.close)

    # -- what is done now and then -------------------------------------------------------------------------------

    async def _every(self, seconds: float, action: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await action()
            except (StorageDown, StorageFull, CommitUnknown, DBAPIError, InvalidInput) as error:
                _log.warning("put off", error=str(error).splitlines()[0][:300])
            await asyncio.sleep(seconds)

    async def _tick(self) -> None:
        overdue = await asyncio.wrap_future(self._writer.run(lambda c: suspect_overdue(c, time.time())))
        if overdue:
            _log.warning("claims are overdue: neither confirmed nor renewed", claims=overdue)
        depth, queued = await asyncio.to_thread(self._depths)
        self._metrics.outbox_depth.set(depth)
        consuming = [link for link in self._links if link.connected]
        self._metrics.queue_ready.set(max((link.ready for link in consuming), default=queued))
        self._metrics.connected.set(bool(consuming) or not self._settings.rabbitmq)
        if self._strategies.look() and self._worker is not None:
            pools = await self._worker.switch(lambda placer: placer.use(self._strategies))
            _log.info("strategy switched", strategy=self._strategies.text, pools=pools)

    def _depths(self) -> tuple[int, int]:
        with reading(self._database) as connection:
            return outbox_depth(connection), 0 if self._settings.rabbitmq else waiting(connection)

    async def _look_at_inventory(self) -> None:
        """Bring the inventory's hosts in. One that can not be read, or lost most of its hosts, changes nothing."""
        hosts = await read_inventory(self._settings.inventory)
        report = await self.service.import_hosts(hosts, self._settings.inventory, complete=True)
        tell_import(report)

    # -- HTTP ----------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        host, _, port = self._settings.listen.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65_535:
            raise InvalidInput("listen", f"must be HOST:PORT, got {self._settings.listen!r}")
        app = application(self.service, __version__)
        self._add_watching(app)
        tokens = [each.strip() for each in self._settings.tokens.get_secret_value().split(",") if each.strip()]
        public = {"/healthz", "/readyz"}
        gate = Gate(
            app,
            lambda _, path: PUBLIC if path in public else ADMIN,
            Tokens({ADMIN: tokens} if tokens else {}),
            Limits(),
        )
        self._http = HttpServer(gate, Listen(host.strip("[]"), int(port)))
        self.url = await self._http.start()

    def _add_watching(self, app: FastAPI) -> None:
        @app.get("/healthz", include_in_schema=False)
        def healthz() -> str:
            return "ok"

        @app.get("/readyz", include_in_schema=False)
        async def readyz(response: Response) -> str:
            if self._settings.rabbitmq and not any(link.connected for link in self._links):
                response.status_code = 503
                return "the broker is away"
            try:
                await asyncio.to_thread(self._depths)
            except DBAPIError:
                response.status_code = 503
                return "the database is away"
            return "ok"

        @app.get("/metrics", include_in_schema=False)
        def metrics() -> Response:
            return Response(generate_latest(self._metrics.registry), media_type="text/plain; version=0.0.4")


def tell_import(report: Imported) -> None:
    """Log what an import changed, and above all what it found too small."""
    for name, short in report.short.items():
        _log.warning("capacity is below what claims hold; nothing more goes there", host=name, used_and_capacity=short)
    if report.added or report.changed or report.missing or report.back or report.disowned:
        _log.info(
            "inventory",
            added=len(report.added),
            changed=len(report.changed),
            missing=len(report.missing),
            back=len(report.back),
            disowned=len(report.disowned),
        )


async def serve(role: Role, started: Callable[[Role], None]) -> None:
    """Run until SIGINT or SIGTERM; the second one ends the process at once, which loses nothing either."""
    sys.setswitchinterval(TURN_S)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def asked() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked)
    try:
        await role.start()
        started(role)
        await ended_or_asked(role.ended(), stop)
    finally:
        await role.stop()


def _told(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(event.set)


def _opened(url: str) -> Any:
    database = open_engine(url, pool_size=10)
    check_reachable(database)
    migrate(database, "vms")
    return database
