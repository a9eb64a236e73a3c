"""Routes that are asked thousands of times a second: plain ASGI in front of the framework, bytes in and bytes out.

A framework's route costs more than all that happens behind it. These are still the application's: they pass the same
gate, give the same errors, and stand in its OpenAPI document.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from pilotage.api.http.wire import EXPECTED, problem

log = structlog.get_logger()

Answer = tuple[int, bytes]
"""Status and JSON body."""

Handler = Callable[[bytes, Scope], Awaitable[Answer]]
"""From body and scope to the answer; raises the errors of `wire`."""

_JSON = (b"content-type", b"application/json")


class Hot:
    """Answers the given (method, path) pairs itself, and hands everything else on."""

    def __init__(self, app: ASGIApp, handlers: Mapping[tuple[str, str], Handler]) -> None:
        self._app = app
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        handler = self._handlers.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if handler is None:
            await self._app(scope, receive, send)
            return
        message = await receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            parts = [body]
            while message.get("more_body"):
                message = await receive()
                parts.append(message.get("body", b""))
            body = b"".join(parts)
        if message["type"] != "http.request":
            return
        status, answer = await answered(handler, body, scope)
        headers = [_JSON, (b"content-length", b"%d" % len(answer))]
        if status == 429:
            headers.append((b"retry-after", b"1"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def direct(self, scope: Scope) -> Handler | None:
        """The handler of a request that needs nothing else of the application."""
        return self._handlers.get((scope["method"], scope["path"]))


async def answered(handler: Handler, body: bytes, scope: Scope) -> Answer:
    """The handler's answer, or that of its error."""
    try:
        return await handler(body, scope)
    except EXPECTED as error:
        status, told = problem(error)
        return status, msgspec.json.encode(told)
    except Exception:
        log.exception("a request failed", path=scope["path"])
        return 500, b'{"detail":"Internal server error"}'


def schemas(forms: Mapping[tuple[str, str], tuple[type, type, str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """OpenAPI paths and components of hot routes: per (method, path) body, answer, summary, example."""
    kinds = [kind for body, answer, _, _ in forms.values() for kind in (body, answer)]
    found, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    paths: dict[str, Any] = {}
    for index, ((method, path), (_, _, summary, example)) in enumerate(forms.items()):
        body, answer = found[2 * index], found[2 * index + 1]
        paths.setdefault(path, {})[method.lower()] = {
            "summary": summary,
            "operationId": f"{method.lower()}{path.replace('/', '_')}",
            "requestBody": {"required": True, "content": {"application/json": {"schema": body, "example": example}}},
            "responses": {
                "200": {"description": "Done", "content": {"application/json": {"schema": answer}}},
                **{status: ERRORS[status] for status in ("401", "409", "413", "422", "429", "503")},
            },
        }
    return paths, components


def _error(description: str) -> dict[str, Any]:
    schema = {"type": "object", "required": ["detail"], "properties": {"detail": {}}}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


ERRORS: dict[str, dict[str, Any]] = {
    "400": _error("The request is broken"),
    "401": _error("No valid token"),
    "404": _error("No such thing"),
    "409": _error("Its state does not allow this"),
    "413": _error("The body is too large"),
    "422": _error("A field is not valid: `detail` names it and says why"),
    "429": _error("Too much at once: come again later"),
    "503": _error("Not now: no instance, no database, or another process leads"),
}
"""What an answer that is no success looks like."""
