from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute

from pilotage.api.http.gate import PUBLIC, Gate, Limits, Tokens
from pilotage.api.http.server import HttpServer, Listen
from pilotage.model.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request
    from starlette.websockets import WebSocket


async def length(request: Request) -> JSONResponse:
    return JSONResponse({"length": len(await request.body())})


async def endless(_: Request) -> StreamingResponse:
    async def lines() -> AsyncIterator[bytes]:
        while True:
            yield b"data: x\n\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(lines())


async def greet(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()


def role_of(_: str, path: str) -> str:
    return PUBLIC if path == "/health" else "instance" if path == "/result" else "client"


def application(tokens: dict[str, list[str]] | None = None, limits: Limits | None = None) -> Gate:
    routes = [Route(path, length, methods=["GET", "POST"]) for path in ("/health", "/submit", "/result")]
    app = Starlette(routes=[*routes, Route("/stream", endless), WebSocketRoute("/ws", greet)])
    return Gate(app, role_of, Tokens(tokens or {}), limits or Limits())


async def ask(gate: Gate, *requests: tuple[str, str, dict[str, Any]]) -> list[tuple[int, Any, Any]]:
    server = HttpServer(gate, Listen())
    url = await server.start()
    try:
        answers = []
        async with aiohttp.ClientSession() as session:
            for method, path, options in requests:
                async with session.request(method, url + path, **options) as response:
                    answers.append((response.status, json.loads(await response.read()), response.headers))
        return answers
    finally:
        await server.stop()


def bearer(token: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {token}"}}


@pytest.mark.parametrize(
    ("path", "options", "status"),
    [
        ("/health", {}, 200),
        ("/submit", {}, 401),
        ("/submit", bearer("wrong"), 401),
        ("/submit", bearer("client-tokenx"), 401),
        ("/submit", {"headers": {"Authorization": "Basic client-token"}}, 401),
        ("/submit", bearer("client-token"), 200),
        ("/submit", bearer("instance-token"), 403),
        ("/result", bearer("instance-token"), 200),
        ("/result", bearer("admin-token"), 200),
        ("/nothing", bearer("wrong"), 401),
    ],
)
def test_a_token_opens_what_its_role_may(path: str, options: dict[str, Any], status: int) -> None:
    tokens = {"client": ["client-token"], "instance": ["instance-token"], "admin": ["admin-token"]}
    ((found, answer, headers),) = asyncio.run(ask(application(tokens), ("GET", path, options)))
    assert found == status
    if status >= 400:
        assert answer["detail"]
    assert ("WWW-Authenticate" in headers) == (status == 401)


def test_without_tokens_everything_is_open() -> None:
    assert asyncio.run(ask(application(), ("GET", "/submit", {})))[0][0] == 200


def test_a_body_over_the_limit_is_refused_and_the_next_request_works() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 100

    answers = asyncio.run(
        ask(
            application(limits=Limits(body_bytes=500)),
            ("POST", "/submit", {"data": b"x" * 500}),
            ("POST", "/submit", {"data": b"x" * 501}),
            ("POST", "/submit", {"data": chunks()}),
            ("POST", "/submit", {"data": b"y"}),
        )
    )
    assert [(status, answer.get("length")) for status, answer, _ in answers] == [
        (200, 500),
        (413, None),
        (413, None),
        (200, 1),
    ]
    assert "500" in answers[1][1]["detail"]


def test_a_caller_that_asks_too_often_is_told_to_wait() -> None:
    gate = application(limits=Limits(rate_per_s=0.001, burst=3))
    answers = asyncio.run(ask(gate, *[("GET", "/submit", {})] * 5))
    assert [status for status, _, _ in answers] == [200, 200, 200, 429, 429]
    assert answers[-1][2]["Retry-After"] == "1"


def test_a_websocket_needs_a_token_too() -> None:
    async def connect() -> tuple[str, int]:
        server = HttpServer(application({"client": ["t"]}), Listen())
        url = await server.start()
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(url + "/ws", **bearer("t")) as socket:
                greeting = await socket.receive_str()
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(url + "/ws")
        await server.stop()
        return greeting, refused.value.status

    assert asyncio.run(connect()) == ("hello", 403)


def test_an_open_stream_does_not_keep_the_server() -> None:
    async def stop_with_a_stream() -> float:
        server = HttpServer(application(), Listen(stop_within_s=1))
        url = await server.start()
        async with aiohttp.ClientSession() as session:
            stream = await session.get(url + "/stream")
            await stream.content.readline()
            started = time.monotonic()
            await server.stop()
            took = time.monotonic() - started
            stream.close()
        return took

    assert asyncio.run(stop_with_a_stream()) < 4


def test_what_can_not_be_served_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidInput, match=f"127.0.0.1:{port} can not be bound"):
            asyncio.run(HttpServer(application(), Listen(port=port)).start())
    with pytest.raises(InvalidInput, match="certificate"):
        asyncio.run(HttpServer(application(), Listen(certificate="/no/such.pem", key="/no/such.key")).start())
