"""Kept-alive HTTP/1.1 connections, one request at a time each: an eighth of what a full client costs a request.

Handing tasks over is half of the service's work (figures: docs/decisions/20-task-service.md). Parsing is httptools',
as in the server; there are no redirects, cookies, proxies or encodings here.
"""

import asyncio
import ssl
from collections import deque
from typing import cast

import httptools

from pilotage.service.ports import InstanceAway

LOOK_S = 0.1
"""Answers that are overdue are looked for so often: a timer for each request would cost a tenth of it."""

IDLE_S = 4.0
"""A connection that lay idle for longer is not used again: servers close theirs after about five seconds."""

ANSWER_LIMIT = 64 * 1024 * 1024
"""Bytes of an answer that are read."""


class _Connection(asyncio.Protocol):
    """One connection; `ask` sends a request and returns the answer."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._loop = asyncio.get_running_loop()
        self.closed = False
        self.idle_since = 0.0
        self.due_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.fail(f"answers what is no HTTP: {error}")

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self.fail("closed the connection before it answered")

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)
        self._size += len(body)
        if self._size > ANSWER_LIMIT:
            self.fail("its answer is too large")

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:  # 100 Continue and its like: the answer is still to come
            return
        keeps = self._parser.should_keep_alive()
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_result((self._parser.get_status_code(), b"".join(self._parts)))
        if not keeps:
            self.close()

    def ask(self, request: bytes) -> "asyncio.Future[tuple[int, bytes]]":
        """Send a request; the future holds status and body, or `InstanceAway`."""
        assert self._transport is not None
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._size = 0
        self._answer = self._loop.create_future()
        self._transport.write(request)
        return self._answer

    def close(self) -> None:
        """Close it."""
        self.closed = True
        if self._transport is not None:
            self._transport.close()

    def fail(self, reason: str) -> None:
        """Give up: who waits for the answer gets the reason as `InstanceAway`."""
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(InstanceAway(reason))
        self.close()


class Connections:
    """All connections of one side, by address. Make it on the loop that uses it. ``tls``: how, if they speak TLS."""

    def __init__(self, connect_s: float, token: str = "", tls: ssl.SSLContext | None = None) -> None:
        self._connect_s = connect_s
        self._tls = tls
        self._token = f"Authorization: Bearer {token}\r\n" if token else ""
        self._idle: dict[tuple[str, int], deque[_Connection]] = {}
        self._heads: dict[tuple[str, str, str, int], bytes] = {}
        self._asked: set[_Connection] = set()
        self._loop = asyncio.get_running_loop()
        self._look: asyncio.TimerHandle | None = None

    async def call(
        self, host: str, port: int, method: str, path: str, body: bytes, timeout_s: float
    ) -> tuple[int, bytes]:
        """One request. Raises `InstanceAway`; its ``gone`` says that the request can not have been received."""
        connection = self._take(host, port) or await self._connect(host, port)
        answer = connection.ask(self._head(host, port, method, path) + b"%d\r\n\r\n" % len(body) + body)
        connection.due_s = self._loop.time() + timeout_s
        self._asked.add(connection)
        if self._look is None:
            self._look = self._loop.call_later(LOOK_S, self._fail_overdue)
        try:
            found = await answer
        except asyncio.CancelledError:
            connection.close()
            raise
        finally:
            self._asked.discard(connection)
        if not connection.closed:
            connection.idle_since = self._loop.time()
            self._idle.setdefault((host, port), deque()).append(connection)
        return found

    def _fail_overdue(self) -> None:
        now = self._loop.time()
        for connection in [each for each in self._asked if each.due_s <= now]:
            connection.fail("no answer in time")
        self._look = self._loop.call_later(LOOK_S, self._fail_overdue) if self._asked else None

    async def close(self) -> None:
        """Close all idle connections; those in use are closed by who uses them."""
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()
        if self._look is not None:
            self._look.cancel()

    def _take(self, host: str, port: int) -> _Connection | None:
        idle = self._idle.get((host, port))
        oldest = self._loop.time() - IDLE_S
        while idle:
            connection = idle.pop()
            if not connection.closed and connection.idle_since > oldest:
                return connection
            connection.close()
        return None

    async def _connect(self, host: str, port: int) -> _Connection:
        try:
            async with asyncio.timeout(self._connect_s):
                _, connection = await self._loop.create_connection(_Connection, host, port, ssl=self._tls)
        except TimeoutError:
            raise InstanceAway(f"no connection within {self._connect_s:g} s", gone=True) from None
        except OSError as error:
            raise InstanceAway(f"can not be reached: {error.strerror or error}", gone=True) from None
        return connection

    def _head(self, host: str, port: int, method: str, path: str) -> bytes:
        key = (method, path, host, port)
        head = self._heads.get(key)
        if head is None:
            shown = f"[{host}]" if ":" in host else host
            text = f"{method} {path} HTTP/1.1\r\nHost: {shown}:{port}\r\nAccept: application/json\r\n{self._token}"
            head = f"{text}Content-Type: application/json\r\nContent-Length: ".encode("latin-1")
            if len(self._heads) < 10_000:
                self._heads[key] = head
        return head
