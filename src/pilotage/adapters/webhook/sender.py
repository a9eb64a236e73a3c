"""Sends one message over HTTP, to public addresses only unless a network was named.

The address that is checked is the address that is connected to: names are resolved by our own resolver, which hands
on nothing that may not be reached, so a name that changes between check and connection gains nothing.
"""

import asyncio
import socket
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec import Struct
from yarl import URL

from pilotage.adapters.webhook.signature import EVENT_HEADER, HEADER, sign
from pilotage.model.errors import InvalidInput

_ANSWER_BYTES = 4096
Network = IPv4Network | IPv6Network


class Answer(Struct, frozen=True):
    """What came of a message: an HTTP status, or an error. 2xx is delivered; ``hopeless`` will not get better."""

    status: int | None
    error: str
    took_ms: float

    @property
    def delivered(self) -> bool:
        """Whether the receiver took it."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def hopeless(self) -> bool:
        """Whether the receiver said that it never will: gone."""
        return self.status == 410


class Refused(OSError):  # noqa: N818 - reads as a statement
    """The address may not be reached."""


class Allowed:
    """Where messages may go: hosts by pattern (``*.example.com``, ``hooks:8443``), networks that are not public."""

    def __init__(self, hosts: Sequence[str] = (), networks: Sequence[str] = ()) -> None:
        self._hosts = [each.strip().lower() for each in hosts if each.strip()]
        try:
            self._networks: list[Network] = [ip_network(each.strip()) for each in networks if each.strip()]
        except ValueError as error:
            raise InvalidInput("webhook networks", str(error)) from None

    def check_callback(self, url: str) -> None:
        """Raise `InvalidInput` unless the host of a requester's URL is among the allowed ones."""
        host, port = checked_url("callback_url", url)
        names = (host, f"{host}:{port}")
        if not any(fnmatchcase(name, pattern) for pattern in self._hosts for name in names):
            raise InvalidInput("callback_url", f"{host}:{port} is not among the hosts that callbacks may go to")

    def reaches(self, address: str) -> bool:
        """Whether an address may be connected to."""
        ip = ip_address(address.partition("%")[0])
        mapped = getattr(ip, "ipv4_mapped", None)
        ip = mapped or ip
        return (ip.is_global and not ip.is_multicast) or any(
            ip.version == network.version and ip in network for network in self._networks
        )


def checked_url(field: str, text: str) -> tuple[str, int]:
    """Host and port of an http(s) URL without user or password; raises `InvalidInput` for anything else."""
    try:
        url = URL(text)
        host, port = (url.host or "").lower(), url.port
    except ValueError as error:
        raise InvalidInput(field, f"is no address: {error}") from None
    if url.scheme not in ("http", "https") or not host or port is None:
        raise InvalidInput(field, "must be http://HOST... or https://HOST...")
    if url.user is not None or url.password is not None:
        raise InvalidInput(field, "must not hold a user or password")
    return host, port


class _Resolver(AbstractResolver):
    """Resolves through the system and keeps only addresses that may be reached."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        results: list[ResolveResult] = []
        for kind, _, proto, _, address in found:
            if self._allowed.reaches(str(address[0])):
                results.append(
                    ResolveResult(
                        hostname=host,
                        host=str(address[0]),
                        port=port,
                        family=kind,
                        proto=proto,
                        flags=socket.AI_NUMERICHOST,
                    )
                )
        if not results:
            raise Refused(f"{host} has no address that may be reached")
        return results

    async def close(self) -> None:
        """Nothing is held."""


class Sender:
    """One HTTP client for all receivers. Slow ones hold one connection each, and only for ``timeout_s``."""

    def __init__(self, allowed: Allowed, *, timeout_s: float = 10.0, connections: int = 64) -> None:
        self._allowed = allowed
        connector = aiohttp.TCPConnector(
            resolver=_Resolver(allowed), limit=connections, limit_per_host=8, use_dns_cache=False
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )

    async def send(self, url: str, body: bytes, event_id: str, secret: str) -> Answer:
        """Post ``body``, signed if there is a secret. Never raises for what a receiver or a network does."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": event_id, EVENT_HEADER: event_id}
        if secret:
            headers[HEADER] = sign(secret, body, int(time.time()))
        started = time.monotonic()
        status, error = None, ""
        try:
            host, _ = checked_url("url", url)
            self._check_literal(host)
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                await response.content.read(_ANSWER_BYTES)
                status = response.status
                error = "" if 200 <= status < 300 else f"answered {status}"
        except TimeoutError:
            error = "no answer in time"
        except (aiohttp.ClientError, OSError, InvalidInput, ValueError) as failed:
            error = f"{type(failed).__name__}: {failed}"[:300]
        return Answer(status, error, round((time.monotonic() - started) * 1000, 1))

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    def _check_literal(self, host: str) -> None:
        """An address that is written out does not pass through the resolver."""
        try:
            ip_address(host.partition("%")[0])
        except ValueError:
            return
        if not self._allowed.reaches(host):
            raise Refused(f"{host} may not be reached")
