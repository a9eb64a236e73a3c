"""The role ``serve``: listens at once, leads when the lease is ours, and leaves nothing behind when it stops."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
import uvloop
from sqlalchemy.exc import DBAPIError

from pilotage import __version__
from pilotage.adapters.instances.http import HttpInstances, Timeouts
from pilotage.adapters.sql.engine import check_reachable, open_engine
from pilotage.adapters.sql.lease import Keeper, Lease
from pilotage.adapters.sql.migrate import migrate
from pilotage.adapters.sql.tasks import SqlTasks
from pilotage.adapters.sql.writer import Writer
from pilotage.api.http import gate
from pilotage.api.http.leading import Leading
from pilotage.api.http.server import HttpServer, Listen
from pilotage.api.http.tasks_app import ADMIN, CLIENT, INSTANCE, make_app
from pilotage.app.tasks.addresses import PRIVATE, Addresses
from pilotage.app.tasks.metrics import TaskMetrics
from pilotage.app.tasks.settings import ServeSettings
from pilotage.app.tasks.start import Place
from pilotage.app.tasks.strategies import Strategies, is_strategy_file
from pilotage.engine.routing.guard import BreakerSettings
from pilotage.engine.taskqueue.machine import Limits
from pilotage.model.errors import InvalidInput
from pilotage.service.commands import ServiceSettings
from pilotage.service.fleet import FleetSettings
from pilotage.service.tasks import TaskService
from pilotage.web import page

log = structlog.get_logger()

ROLE = "tasks"
STANDBY_S = 0.3
"""How often a standby looks whether the lease is free."""

SWITCH_S = 0.0005
"""How long one thread may run while another waits."""

LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Serve:
    """One process of the service. ``ready`` is called with the URL once it listens, ``led`` when a term begins."""

    def __init__(
        self,
        settings: ServeSettings,
        instances: tuple[Place, ...] = (),
        *,
        ready: Callable[[str], None] = lambda _: None,
        led: Callable[[TaskService], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._places = instances
        self._ready = ready
        self._led = led
        user_file = settings.strategy if is_strategy_file(settings.strategy) else ""
        self._strategies = Strategies(
            seed=settings.seed,
            table_file=settings.prediction_file,
            user_file=user_file,
            order=settings.order,
            theta=settings.theta,
            weight=settings.weight,
            breakers=BreakerSettings(
                settings.breaker_failures,
                settings.breaker_pause_s,
                settings.breaker_longest_pause_s,
                settings.warm_up_s,
            ),
        )
        self._strategy = self._strategies.names[-1] if user_file else settings.strategy
        self._strategies.make(self._strategy, settings.predict_mode)  # a bad setting is told before anything starts
        tokens = {
            role: [each.strip() for each in secret.get_secret_value().split(",") if each.strip()]
            for role, secret in (
                (CLIENT, settings.client_tokens),
                (INSTANCE, settings.instance_tokens),
                (ADMIN, settings.admin_tokens),
            )
        }
        self._tokens = gate.Tokens(tokens)
        if settings.host not in LOOPBACK and not self._tokens:
            raise InvalidInput(
                "host", f"{settings.host} can be reached from elsewhere: set admin_tokens (PILOTAGE_SERVE_ADMIN_TOKENS)"
            )
        networks = settings.instance_networks
        self._addresses = Addresses(PRIVATE if networks == "private" else [n.strip() for n in networks.split(",")])
        self.leading = Leading(self._addresses.check)
        self.leading.metrics.register(TaskMetrics(lambda: self.leading.current))
        self._engine = open_engine(settings.database)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until ``stop``. Raises `InvalidInput` for a database or an address that can not be used."""
        settings = self._settings
        # The writer's thread gets its turn soon: by default a busy loop keeps it waiting for 5 ms after each commit.
        sys.setswitchinterval(SWITCH_S)
        await asyncio.to_thread(check_reachable, self._engine)
        await asyncio.to_thread(migrate, self._engine, "tasks")
        limits = gate.Limits(settings.body_kib * 1024, settings.rate_per_s, settings.burst)
        server = HttpServer(
            make_app(self.leading, page.files(), self._tokens, limits, __version__),
            Listen(settings.host, settings.port, settings.certificate, settings.key),
        )
        url = await server.start()
        log.info("listening", url=url, database=self._engine.url.render_as_string())
        self._ready(url)
        terms = asyncio.create_task(self._terms(stop))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({terms, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if self.leading.current is not None:
            self.leading.current.hub.close()  # open streams end by themselves, then the server can
        await server.stop()
        stop.set()
        stopping.cancel()
        try:
            await terms
        finally:
            self._engine.dispose()
            log.info("stopped")

    async def _terms(self, stop: asyncio.Event) -> None:
        """Wait for the lease, lead, and if that is lost wait again."""
        lease = Lease(self._engine, ROLE, duration_s=self._settings.lease_s)
        told = False
        while not stop.is_set():
            try:
                taken = await asyncio.to_thread(lease.take)
            except DBAPIError as error:
                log.warning("the lease can not be asked for", reason=" ".join(str(error.orig).split()))
                taken = False
            if not taken:
                if not told:
                    log.info("standby: another process leads", holder=await asyncio.to_thread(_holder, lease))
                told = True
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), STANDBY_S)
                continue
            told = False
            await self._lead(lease, stop)
            with contextlib.suppress(TimeoutError):  # another one's turn, if there is one
                await asyncio.wait_for(stop.wait(), STANDBY_S)

    async def _lead(self, lease: Lease, stop: asyncio.Event) -> None:
        settings = self._settings
        loop = asyncio.get_running_loop()
        lost = asyncio.Event()
        keeper = Keeper(lease, settings.lease_s, lambda: _set(loop, lost))
        writer = Writer(self._engine, fence=lease)
        service = TaskService(
            SqlTasks(self._engine, writer),
            HttpInstances(Timeouts(send_s=settings.send_timeout_s), settings.send_token.get_secret_value()),
            self._strategies,
            _service_settings(settings, self._strategy),
        )
        try:
            await service.start()
            self.leading.lead(service)
            log.info("leading", epoch=lease.epoch, strategy=service.strategy_name)
            await self._register(service)
            self._led(service)
            ends = [asyncio.create_task(each.wait()) for each in (stop, lost, service.failed)]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for each in ends:
                each.cancel()
        finally:
            self.leading.lead(None)
            if lost.is_set():
                log.error("the lease is lost: another process may lead now")
                service.failed.set()
            await service.close()
            await asyncio.to_thread(writer.close)
            keeper.stop()
            with contextlib.suppress(DBAPIError):
                await asyncio.to_thread(lease.release)

    async def _register(self, service: TaskService) -> None:
        """Add the instances of the configuration."""
        for place in self._places:
            await service.fleet.register(place.host, place.port, place.model)


def _set(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    loop.call_soon_threadsafe(event.set)


def _holder(lease: Lease) -> str:
    try:
        return lease.holder()
    except DBAPIError:
        return ""


def _service_settings(settings: ServeSettings, strategy: str) -> ServiceSettings:
    return ServiceSettings(
        strategy=strategy,
        predict_mode=settings.predict_mode,
        admit_odds=settings.admit_odds,
        waiting_limit=settings.waiting_limit,
        limits=Limits(attempts=settings.attempts, run_s=settings.run_limit_s),
        fleet=FleetSettings(settings.probe_every_s, settings.lost_after_s, settings.forget_after_s),
        ask_after_s=settings.ask_after_s,
        keep_s=settings.keep_days * 86_400,
        keep_tasks=settings.keep_tasks,
    )


def run_until_signal(main: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run a role on a fast loop; SIGTERM and SIGINT ask it to stop, a second one ends the process at once."""

    async def supervised() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def asked() -> None:
            if stop.is_set():
                raise SystemExit(130)
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, asked)
        await main(stop)

    uvloop.run(supervised())
