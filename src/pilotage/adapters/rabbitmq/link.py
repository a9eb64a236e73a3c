"""A connection that is looked after: built, watched and built again until it is closed.

The library's own reconnecting is not used: it is known to get stuck. Here one task owns the connection. Whatever ends
it (the broker, the network, a watchdog that hears nothing) leads to a new one with new channels, after a pause that
doubles with full jitter. Users of a link ask for the session of the moment and are told when it is over.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import aiormq
import structlog
from aiormq import Channel
from aiormq.abc import AbstractConnection
from aiormq.exceptions import AMQPError, AuthenticationError, ProbableAuthenticationError
from yarl import URL

from pilotage.adapters.rabbitmq.topology import Topology, declare, refuse_newer
from pilotage.model.errors import InvalidInput

_log = structlog.get_logger(__name__)

BROKEN = (AMQPError, ConnectionError, OSError, TimeoutError, RuntimeError, EOFError)
"""What the library raises when a connection or channel is gone (RuntimeError: a channel that is closed already)."""


class Session:
    """One life of a connection and its channel. ``over`` is set when it ended; delivery tags are void then."""

    def __init__(self, number: int, connection: AbstractConnection, channel: Channel) -> None:
        self.number = number
        self.connection = connection
        self.channel = channel
        self.over = asyncio.Event()


class Link:
    """Keeps one connection with one channel; publishing and consuming have a link each.

    A broker that is short of memory blocks whoever publishes: with links apart, consuming and its acknowledgements go
    on. ``confirms`` makes the channel one for publishing. ``on_session`` is called with each new session first.
    """

    def __init__(
        self,
        url: str,
        topology: Topology,
        *,
        confirms: bool,
        name: str = "pilotage",
        heartbeat_s: int = 10,
        probe_s: float = 5.0,
        timeout_s: float = 10.0,
        pause_s: float = 0.2,
        longest_pause_s: float = 10.0,
    ) -> None:
        self._url = _checked_url(url).update_query(heartbeat=str(heartbeat_s), name=name)
        self.topology = topology
        self.on_session: Callable[[Session], Awaitable[None]] | None = None
        self.ready = 0
        """Messages that were ready in the queue when last asked."""
        self._confirms = confirms
        self._probe_s = probe_s
        self._timeout_s = timeout_s
        self._pause_s = pause_s
        self._longest_pause_s = longest_pause_s
        self._session: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        self._number = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a session now."""
        return self._session.done()

    async def open(self) -> None:
        """Connect, and go on looking after the connection. Raises `InvalidInput` for what no waiting can mend."""
        self._task = asyncio.create_task(self._look_after())
        first = asyncio.ensure_future(self.session())
        await asyncio.wait({first, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not first.done():
            first.cancel()
            await self._task

    async def session(self) -> Session:
        """Return the session of the moment; wait for one while there is none."""
        return await asyncio.shield(self._session)

    async def close(self) -> None:
        """End the connection, waiting for the broker only so long."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError, InvalidInput):
                await self._task

    async def _look_after(self) -> None:
        pause = self._pause_s
        while True:
            session: Session | None = None
            try:
                session = await self._begin()
                pause = self._pause_s
                await self._watch(session)
                _log.warning("broker connection ended", url=_shown(self._url))
            except (AuthenticationError, ProbableAuthenticationError) as error:
                raise InvalidInput("rabbitmq", f"refuses user or password of {_shown(self._url)}: {error}") from None
            except BROKEN as error:
                _log.warning("broker unreachable", url=_shown(self._url), error=repr(error), again_in_s=pause)
            except asyncio.CancelledError:
                if _asked_to_end():
                    raise
                # The library cancels whoever waits on a connection that it closes.
                _log.warning("broker connection lost", url=_shown(self._url))
            finally:
                if session is not None:
                    await self._end(session)
            await asyncio.sleep(random.uniform(pause / 2, pause))
            pause = min(self._longest_pause_s, 2 * pause)

    async def _begin(self) -> Session:
        connection = await asyncio.wait_for(aiormq.connect(self._url), self._timeout_s)
        try:
            async with asyncio.timeout(self._timeout_s):
                with suppress(*BROKEN):
                    await refuse_newer(await connection.channel())
                channel = await connection.channel(publisher_confirms=self._confirms, on_return_raises=True)
                assert isinstance(channel, Channel)
                await declare(channel, self.topology)
                self._number += 1
                session = Session(self._number, connection, channel)
                if self.on_session is not None:
                    await self.on_session(session)
        except BaseException:
            await _close(connection)
            raise
        self._session.set_result(session)
        _log.info("broker connected", url=_shown(self._url), session=session.number)
        return session

    async def _end(self, session: Session) -> None:
        session.over.set()
        self._session = asyncio.get_running_loop().create_future()
        await _close(session.connection)

    async def _watch(self, session: Session) -> None:
        """Return or raise when the session is of no more use: closed, or silent for longer than it may be."""
        while True:
            closed = session.channel.closing
            over = asyncio.ensure_future(session.over.wait())
            try:
                await asyncio.wait({closed, over}, timeout=self._probe_s, return_when=asyncio.FIRST_COMPLETED)
                if closed.done() or over.done():
                    return
            finally:
                over.cancel()
                if not closed.done():
                    closed.cancel()
            asked = session.channel.queue_declare(self.topology.queue, passive=True)
            self.ready = (await asyncio.wait_for(asked, self._timeout_s)).message_count or 0


def _asked_to_end() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _checked_url(text: str) -> URL:
    try:
        url = URL(text)
    except ValueError as error:
        raise InvalidInput("rabbitmq url", f"is no address: {error}") from None
    if url.scheme not in ("amqp", "amqps") or not url.host:
        raise InvalidInput("rabbitmq url", "must look like amqp://user:password@host:5672/ (or amqps://)")
    return url


def _shown(url: URL) -> str:
    """The URL without its password and parameters."""
    return str((url.with_password("***") if url.password else url).with_query(None))


async def _close(connection: AbstractConnection) -> None:
    with suppress(Exception):
        await asyncio.wait_for(connection.close(), 2)
