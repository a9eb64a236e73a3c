"""What goes on for long: server-sent events, the original's two WebSockets."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from msgspec import Raw, Struct
from starlette.websockets import WebSocket, WebSocketDisconnect

from pilotage.api.http.leading import Leading
from pilotage.api.http.original import Result, record, take_result
from pilotage.api.http.wire import EXPECTED, decode
from pilotage.model.errors import InvalidInput
from pilotage.model.routing import COMPLETED
from pilotage.service.events import Event, Watcher
from pilotage.service.ports import NotLeading

BEAT_S = 15
"""Seconds of silence after which a comment is sent, so that nobody in between closes the stream."""

GREETING_S = 10
"""Seconds in which an instance on a WebSocket must say who it is."""


class _Word(Struct):
    type: str
    instance_id: str = ""
    messages: list[Raw] = []


def router(leading: Leading) -> APIRouter:
    """The streams."""
    routes = APIRouter()

    @routes.get("/api/v1/events", summary="Every change, as server-sent events", tags=["v1"])
    async def events(
        after: Annotated[int | None, Query(ge=0, le=2**62, description="go on after this event")] = None,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> StreamingResponse:
        hub = leading.service.hub
        if after is None and last_event_id and last_event_id.isdigit():
            after = int(last_event_id)
        return StreamingResponse(_lines(leading, hub.watch(after)), media_type="text/event-stream", headers=_HEADERS)

    @routes.websocket("/ws/task_events")
    async def task_events(socket: WebSocket) -> None:
        await socket.accept()
        await _push_events(leading, socket)

    @routes.websocket("/ws/result_submit")
    async def result_submit(socket: WebSocket) -> None:
        await socket.accept()
        await _take_results(leading, socket)

    return routes


_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


async def _lines(leading: Leading, watcher: Watcher) -> AsyncIterator[bytes]:
    hub = leading.service.hub
    try:
        yield b"retry: 1000\n: welcome\n\n"
        while not watcher.closed:
            taken = await watcher.take(BEAT_S)
            yield b"".join(map(_line, taken)) if taken else b": still here\n\n"
    finally:
        hub.leave(watcher)


def _line(event: Event) -> bytes:
    data = event.data
    if event.kind == "task":
        names = ("id", "status", "instance", "model", "at")
        data = dict(zip(names, data, strict=True))
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.number, event.kind.encode(), msgspec.json.encode(data))


async def _push_events(leading: Leading, socket: WebSocket) -> None:
    """Completed tasks with their results to whoever listens; ``ping`` gets ``pong``."""
    try:
        hub = leading.service.hub
    except NotLeading as error:
        await socket.close(1013, str(error))
        return
    watcher = hub.watch()
    listening = asyncio.create_task(_answer_pings(socket))
    try:
        while not watcher.closed and not listening.done():
            for event in await watcher.take(1):
                if event.kind == "task" and event.data[1] == COMPLETED:
                    await _send_completed(leading, socket, event.data[0])
        if not listening.done():
            await socket.close(1001, "the service stops")
    except (WebSocketDisconnect, RuntimeError):
        pass  # it went away while something was sent
    finally:
        hub.leave(watcher)
        listening.cancel()


async def _send_completed(leading: Leading, socket: WebSocket, task_id: str) -> None:
    try:
        await leading.service.stored()  # events are told as things happen, and this one has the result in it
        row = await leading.service.find(task_id)
    except EXPECTED:  # forgotten meanwhile, or the service leads no longer
        return
    data = record(row) | {"replica_id": None}
    await socket.send_text(msgspec.json.encode({"event": "task_completed", "data": data}).decode())


async def _answer_pings(socket: WebSocket) -> None:
    try:
        while True:
            if await _receive(socket) == b"ping":
                await socket.send_text("pong")
    except (WebSocketDisconnect, RuntimeError):
        return


async def _take_results(leading: Leading, socket: WebSocket) -> None:
    """An instance says who it is, then delivers results one by one or in batches."""
    try:
        async with asyncio.timeout(GREETING_S):
            word = decode(await _receive(socket), _Word)
        if word.type != "register" or not word.instance_id:
            raise ValueError
    except (InvalidInput, TimeoutError, ValueError):
        await socket.close(1008, "say {type: register, instance_id} first")
        return
    except WebSocketDisconnect:
        return
    await _say(socket, {"type": "registered", "instance_id": word.instance_id})
    try:
        while True:
            for answer in await _answers(leading, await _receive(socket)):
                await _say(socket, answer)
    except (WebSocketDisconnect, RuntimeError):
        return


async def _answers(leading: Leading, body: bytes) -> list[dict[str, Any]]:
    try:
        word = decode(body, _Word)
        if word.type == "ping":
            return [{"type": "pong"}]
        if word.type == "batch":
            return [answer for each in word.messages for answer in await _answers(leading, bytes(each))]
        if word.type == "task_ack":
            return []
        if word.type != "result":
            return [{"type": "error", "message": f"unknown type {word.type!r:.40}"}]
        result = decode(body, Result)
        done = await take_result(leading, result)
    except EXPECTED as error:
        return [{"type": "error", "message": str(error)}]
    success = done.status == "success"
    return [{"type": "ack", "task_id": result.task_id, "success": success, "message": done.message}]


async def _receive(socket: WebSocket) -> bytes:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    text = message.get("text")
    return text.encode() if text is not None else bytes(message.get("bytes") or b"")


async def _say(socket: WebSocket, told: dict[str, Any]) -> None:
    await socket.send_text(msgspec.json.encode(told).decode())
