"""HTTP/1.1 as the server speaks it: uvicorn's protocol, with a short way for routes that are asked all the time.

A small request to a hot route (`Hot`) that came whole goes from the parser to its handler and back in one write.
uvicorn's own way through ASGI (events, middleware, two sends) costs more than the handler. Everything unusual takes
that way: other routes, large or chunked bodies, pipelined requests, proxies' headers, whatever the gate refuses.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from starlette.types import Scope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from pilotage.api.http.hot import Handler, answered

_UNUSUAL = frozenset({b"expect", b"upgrade", b"transfer-encoding", b"x-forwarded-for", b"x-forwarded-proto"})


class _Gathering:
    """A transport that holds the head of an answer until its body comes, or the loop's next turn: one write, not two.

    A write costs as much as all else that the server does for a small answer.
    """

    __slots__ = ("_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._loop = asyncio.get_running_loop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write, or hold what looks like a head."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head + data)
        elif data[:7] == b"HTTP/1.":
            self._head = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Write what is held, and close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            self.write(b"")


class _Short:
    """A request on the short way. To uvicorn it looks like one of its own: body, state, and an event that it sets."""

    __slots__ = (
        "body",
        "disconnected",
        "handler",
        "keep_alive",
        "message_event",
        "more_body",
        "response_complete",
        "scope",
    )

    _UNHEARD = asyncio.Event()

    def __init__(self, handler: Handler, scope: Scope) -> None:
        self.handler = handler
        self.scope = scope
        self.body = b""
        self.more_body = True
        self.disconnected = False
        self.keep_alive = True
        self.response_complete = False
        self.message_event = self._UNHEARD


class Protocol(HttpToolsProtocol):
    """One connection. An application with ``direct(scope)`` says by that which handler may answer a request at once."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._direct: Callable[[Scope], Handler | None] | None = getattr(self.config.app, "direct", None)
        self._idle_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection."""
        self._raw = transport
        super().connection_made(cast(asyncio.Transport, _Gathering(transport)))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()

    # ------------------------------------------------------------------ the short way

    def on_headers_complete(self) -> None:
        """Find the way that the request takes."""
        handler = self._handler() if self._direct is not None else None
        if handler is None:
            super().on_headers_complete()
        else:
            self.cycle = cast(RequestResponseCycle, _Short(handler, cast(Scope, self.scope)))

    def _handler(self) -> Handler | None:
        assert self._direct is not None
        if self._in_flight():
            return None  # pipelined: it waits for its turn
        length = 0
        for name, value in self.headers:
            if name == b"content-length":
                length = int(value)
            elif name in _UNUSUAL:
                return None
        parser = self.parser
        if not 0 < length <= HIGH_WATER_LIMIT or self.flow.write_paused or b"%" in self.url or b"?" in self.url:
            return None
        if parser.get_http_version() != "1.1" or not parser.should_keep_alive():
            return None
        scope = cast(Scope, self.scope)
        scope["method"] = parser.get_method().decode("ascii")
        scope["path"], scope["raw_path"], scope["query_string"] = self.url.decode("ascii"), self.url, b""
        return self._direct(scope)

    def _in_flight(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def on_message_complete(self) -> None:
        """The request is whole."""
        cycle = cast(RequestResponseCycle | _Short, self.cycle)
        if isinstance(cycle, _Short):
            task = self.loop.create_task(self._answer(cycle))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        else:
            super().on_message_complete()

    async def _answer(self, cycle: _Short) -> None:
        status, body = await answered(cycle.handler, bytes(cycle.body), cycle.scope)
        cycle.response_complete = True
        if cycle.disconnected:
            return
        head = [STATUS_LINE[status], b"content-type: application/json\r\n"]
        for name, value in self.server_state.default_headers:
            head += (name, b": ", value, b"\r\n")
        if status == 429:
            head.append(b"retry-after: 1\r\n")
        if not cycle.keep_alive:
            head.append(b"connection: close\r\n")
        head.append(b"content-length: %d\r\n\r\n" % len(body))
        head.append(body)
        self._raw.write(b"".join(head))
        if not cycle.keep_alive:
            self._raw.close()
        self.on_response_complete()

    # ------------------------------------------------------------------ idle connections: one timer, not one a request

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._close_after(self.timeout_keep_alive)

    def _close_after(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it was idle for long; look again later if it was not."""
        self.timeout_keep_alive_task = None
        if self._idle_since is None or self.transport.is_closing():
            return
        left_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left_s <= 0:
            self.transport.close()
        else:
            self._close_after(left_s)
