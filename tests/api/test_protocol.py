"""The server's short way for hot routes: what comes over the wire is what the long way would give."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest
import uvicorn

from pilotage.api.http.gate import Gate, Limits, Tokens
from pilotage.api.http.hot import Answer, Hot
from pilotage.api.http.protocol import Protocol
from pilotage.api.http.server import HttpServer, Listen
from pilotage.model.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

LIMIT = 100_000


class Routes:
    """A hot route that echoes once it may, and a framework that is never asked."""

    def __init__(self) -> None:
        self.may = asyncio.Event()
        self.may.set()
        self.came: list[bytes] = []
        self.ended: list[bytes] = []

    async def echo(self, body: bytes, _: Scope) -> Answer:
        self.came.append(body)
        await self.may.wait()
        if body == b"bad":
            raise InvalidInput("word", "is bad")
        if body == b"broken":
            raise ZeroDivisionError
        self.ended.append(body)
        return 200, body

    async def otherwise(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    def app(self, tokens: dict[str, list[str]] | None = None) -> ASGIApp:
        hot = Hot(self.otherwise, {("POST", "/echo"): self.echo})
        return Gate(hot, lambda _, __: "client", Tokens(tokens or {}), Limits(LIMIT))


def request(body: bytes, *headers: str, path: str = "/echo", version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "Host: x", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(body: bytes) -> bytes:
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    async with asyncio.timeout(20):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
        return int(lines[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


async def until(check: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not check():
            await asyncio.sleep(0.01)


async def accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def run(
    scene: Callable[[Routes, int, HttpServer], Awaitable[None]], tokens: dict[str, list[str]] | None = None
) -> None:
    async def main() -> None:
        routes = Routes()
        server = HttpServer(routes.app(tokens), Listen())
        await server.start()
        try:
            await scene(routes, server.port, server)
        finally:
            await server.stop()

    asyncio.run(main())


@pytest.mark.parametrize("body", [b"hello", b"bad", b"broken", b"x" * 70_000, b"x" * (LIMIT + 1)])
def test_both_ways_give_the_same_answer(body: bytes) -> None:
    async def scene(routes: Routes, port: int, _: HttpServer) -> None:
        found = []
        for sent in (request(body), chunked(body), request(body, "X-Forwarded-For: 10.0.0.1")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            status, headers, content = await answer(reader)
            headers.pop("date")
            headers.pop("connection", None)
            found.append((status, headers, content[:20]))
            writer.close()
        assert found[0] == found[2]
        assert (found[0][0], found[0][1]["content-type"]) == (found[1][0], "application/json")
        assert found[0][0] == {b"bad": 422, b"broken": 500}.get(body, 413 if len(body) > LIMIT else 200)

    run(scene)


def test_a_request_in_pieces_is_answered_when_it_is_whole() -> None:
    async def scene(routes: Routes, port: int, _: HttpServer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        sent = request(b"hello world")
        for piece in (sent[:10], sent[10:-6], sent[-6:]):
            assert routes.came == []
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)
        assert (await answer(reader))[2] == b"hello world"
        writer.close()

    run(scene)


def test_pipelined_requests_are_answered_in_turn_and_the_connection_goes_on() -> None:
    async def scene(routes: Routes, port: int, _: HttpServer) -> None:
        routes.may.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"".join(request(b"%d" % number) for number in range(4)))
        await until(lambda: routes.came)
        await asyncio.sleep(0.05)
        assert routes.came == [b"0"], "one after the other"
        routes.may.set()
        assert [(await answer(reader))[2] for _ in range(4)] == [b"0", b"1", b"2", b"3"]
        writer.write(request(b"4") + request(b"5", path="/other"))
        assert (await answer(reader))[2] == b"4"
        assert (await answer(reader))[0] == 404
        writer.close()

    run(scene)


@pytest.mark.parametrize("sent", [request(b"bye", "Connection: close"), request(b"bye", version="1.0")])
def test_who_wants_no_more_is_closed_after_the_answer(sent: bytes) -> None:
    async def scene(_: Routes, port: int, __: HttpServer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert (await answer(reader))[2] == b"bye"
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()

    run(scene)


def test_a_stop_lets_a_request_end_and_says_that_the_connection_does() -> None:
    async def scene(routes: Routes, port: int, server: HttpServer) -> None:
        routes.may.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(b"last"))
        await until(lambda: routes.came)
        stopping = asyncio.create_task(server.stop())
        while await accepts(port):
            await asyncio.sleep(0.01)
        routes.may.set()
        _, headers, body = await answer(reader)
        assert (body, headers["connection"]) == (b"last", "close")
        assert await asyncio.wait_for(reader.read(), 20) == b""
        await stopping
        writer.close()

    run(scene)


def test_what_was_begun_is_done_though_the_client_went_away() -> None:
    async def scene(routes: Routes, port: int, _: HttpServer) -> None:
        routes.may.clear()
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(b"alone"))
        await until(lambda: routes.came)
        writer.close()
        await asyncio.sleep(0.05)
        routes.may.set()
        await until(lambda: routes.ended == [b"alone"])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(b"next"))
        assert (await answer(reader))[2] == b"next"
        writer.close()

    run(scene)


def test_the_gate_is_in_front_of_it() -> None:
    async def scene(routes: Routes, port: int, _: HttpServer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for header, wanted in (
            ("X-Nothing: 1", 401),
            ("Authorization: Bearer no", 401),
            ("Authorization: Bearer s", 200),
        ):
            writer.write(request(b"hello", header))
            assert (await answer(reader))[0] == wanted
        assert routes.came == [b"hello"]
        writer.close()

    run(scene, {"client": ["s"]})


def test_idle_connections_are_closed_and_used_ones_are_not() -> None:
    async def scene() -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(Routes().app(), http=Protocol, timeout_keep_alive=3, lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listening]))
        await until(lambda: server.started)
        idle, one = await asyncio.open_connection("127.0.0.1", listening.getsockname()[1])
        used, two = await asyncio.open_connection("127.0.0.1", listening.getsockname()[1])
        one.write(request(b"once"))
        await answer(idle)
        end = asyncio.create_task(idle.read())
        while not end.done():
            two.write(request(b"again"))
            assert (await answer(used))[2] == b"again"
            await asyncio.sleep(0.2)
        assert await end == b""
        two.write(request(b"still here"))
        assert (await answer(used))[2] == b"still here"
        two.close()
        one.close()
        server.should_exit = True
        await serving

    asyncio.run(scene())
