"""What every request passes first: size, rate, token. Pure ASGI, a few microseconds when all is well."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from hmac import compare_digest

import msgspec
from msgspec import Struct
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pilotage.api.http.hot import Handler

PUBLIC = ""
"""The role that a path needs when anybody may ask for it."""

ADMIN = "admin"
"""The role that may do everything."""

CALLERS = 10_000
"""Callers whose rate is remembered."""

READ_AWAY_BYTES = 64 * 1024 * 1024
"""How much of a body that is refused for its size is read, and thrown away."""

READ_AWAY_S = 10.0
"""And for how long."""

RoleOf = Callable[[str, str], str]
"""From method (``GET``, ``WEBSOCKET``) and path to the role that is needed; `PUBLIC`: none."""


class Limits(Struct, frozen=True):
    """``body_bytes`` per request; ``rate_per_s`` requests a second and caller (0: any), ``burst`` of them at once."""

    body_bytes: int = 1_048_576
    rate_per_s: float = 0
    burst: int = 100


class Tokens:
    """Bearer tokens by role, kept as digests and compared in constant time. Empty: everybody is everything."""

    def __init__(self, tokens: Mapping[str, Iterable[str]]) -> None:
        self._digests = [(sha256(each.encode()).digest(), role) for role, many in tokens.items() for each in many]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def role(self, token: bytes) -> str | None:
        """The role of a token, None if it is not known. The time taken does not depend on which is right."""
        offered, found = sha256(token).digest(), None
        for digest, role in self._digests:
            if compare_digest(offered, digest):
                found = role
        return found


class Gate:
    """Refuses with 401, 403, 413 or 429 and a JSON ``detail``; everything else goes on to ``app``.

    Who asks is left in ``scope["state"]["caller"]`` (the role, or the client's address without tokens).
    """

    def __init__(self, app: ASGIApp, role_of: RoleOf, tokens: Tokens, limits: Limits) -> None:
        self._app = app
        self._role_of = role_of
        self._tokens = tokens
        self._limits = limits
        self._direct: Callable[[Scope], Handler | None] = getattr(app, "direct", lambda _: None)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge one request or connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        length, token = _told(scope)
        refusal = self._refusal(scope, token)
        if refusal is None and length > self._limits.body_bytes:
            refusal = 413, f"the body has {length} bytes; {self._limits.body_bytes} are allowed"
        if refusal is not None:
            await _refuse(scope, receive, send, *refusal, unread=length > self._limits.body_bytes)
        elif scope["type"] == "websocket" or length or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
        else:
            await self._counted(scope, receive, send)

    def direct(self, scope: Scope) -> Handler | None:
        """The handler of a request with a body that passes the gate, if the application has one; see `Hot.direct`."""
        handler = self._direct(scope)
        if handler is None:
            return None
        length, token = _told(scope)
        return handler if 0 < length <= self._limits.body_bytes and self._refusal(scope, token) is None else None

    def _refusal(self, scope: Scope, token: bytes) -> tuple[int, str] | None:
        caller = (scope.get("client") or ("", 0))[0]
        if self._tokens:
            needed = self._role_of(scope.get("method", "WEBSOCKET"), scope["path"])
            role = self._tokens.role(token) if token else None
            if needed != PUBLIC:
                if role is None:
                    return 401, "a valid token is needed: Authorization: Bearer TOKEN"
                if role not in (needed, ADMIN):
                    return 403, f"this token has the role {role!r}; {needed!r} is needed"
            caller = sha256(token).hexdigest()[:16] if role else caller
        if self._limits.rate_per_s and not self._has_room(caller):
            return 429, f"more than {self._limits.rate_per_s:g} requests a second"
        return None

    def _has_room(self, caller: str) -> bool:
        """Take one request from the caller's bucket; False: it is empty."""
        now = time.monotonic()
        level, at = self._buckets.pop(caller, (float(self._limits.burst), now))
        level = min(float(self._limits.burst), level + (now - at) * self._limits.rate_per_s)
        allowed = level >= 1
        self._buckets[caller] = (level - 1 if allowed else level, now)
        if len(self._buckets) > CALLERS:
            self._buckets.popitem(last=False)
        return allowed

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Collect a body that did not say its length, within the limit, and hand it on as one piece."""
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._limits.body_bytes:
                told = f"the body has more than the {self._limits.body_bytes} bytes that are allowed"
                await _refuse(scope, receive, send, 413, told, unread=bool(message.get("more_body")))
                return
            if not message.get("more_body"):
                break
        whole: list[Message] = [{"type": "http.request", "body": b"".join(parts), "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self._app(scope, replay, send)


def _told(scope: Scope) -> tuple[int, bytes]:
    """Length of the body and token, as the headers say."""
    length, token = 0, b""
    for name, value in scope["headers"]:
        if name == b"content-length":
            length = int(value) if value.isdigit() else 0
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            token = value[7:].strip()
    return length, token


async def _read_away(receive: Receive) -> None:
    """Let a client finish sending, within bounds: one that is cut off while it sends never reads why."""
    size, more = 0, True
    with suppress(TimeoutError):
        async with asyncio.timeout(READ_AWAY_S):
            while more and size < READ_AWAY_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                more = bool(message.get("more_body"))


async def _refuse(
    scope: Scope, receive: Receive, send: Send, status: int, detail: str, *, unread: bool = False
) -> None:
    """Answer with the reason; ``unread``: the client may still be sending, and is let finish after the answer."""
    if scope["type"] == "websocket":
        await receive()  # the connection's request, which may only then be answered
        await send({"type": "websocket.close", "code": 1008, "reason": detail})
        return
    headers = [(b"content-type", b"application/json")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    elif status == 429:
        headers.append((b"retry-after", b"1"))
    elif status == 413:
        headers.append((b"connection", b"close"))
    body = msgspec.json.encode({"detail": detail})
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": unread})
    if unread:
        await _read_away(receive)
        await send({"type": "http.response.body", "body": b""})
