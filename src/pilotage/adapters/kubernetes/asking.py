"""One request to an API server, as whoever an `Access` says."""

from collections.abc import Mapping
from typing import NamedTuple

import aiohttp
import msgspec
from yarl import URL

from pilotage.adapters.kubernetes.kubeconfig import Access
from pilotage.model.errors import InvalidInput


class Reply(NamedTuple):
    """What the server said."""

    status: int
    reason: str
    body: bytes

    @property
    def words(self) -> str:
        """The server's own words in brackets, if it is a Status that it sent."""
        try:
            message = msgspec.json.decode(self.body, type=dict[str, object]).get("message")
        except msgspec.DecodeError:
            return ""
        return f" ({message:.300})" if isinstance(message, str) and message else ""


async def ask(
    session: aiohttp.ClientSession,
    access: Access,
    path: str,
    *,
    method: str = "GET",
    query: Mapping[str, str] | None = None,
    body: object = None,
) -> Reply:
    """Send a request, with ``body`` as JSON; raises `InvalidInput` if the server can not be reached or trusted."""
    headers = {**access.headers(), "Accept": "application/json"}
    if body is not None:
        headers["Content-Type"] = "application/json"
    try:
        async with session.request(
            method,
            URL(access.server + path).with_query(query or {}),
            data=None if body is None else msgspec.json.encode(body),
            headers=headers,
            ssl=access.tls if access.tls is not None else True,
            server_hostname=access.tls_name,
            proxy=access.proxy,
            allow_redirects=False,  # a token goes nowhere else
        ) as answer:
            return Reply(answer.status, answer.reason or "", await answer.read())
    except aiohttp.ClientConnectorCertificateError as error:
        reason = f"its certificate is not trusted: {error.certificate_error}"
        raise InvalidInput(access.where, f"{access.server}: {reason}") from error
    except (TimeoutError, aiohttp.ClientError, OSError) as error:
        reason = str(error) or "no answer in time"
        raise InvalidInput(access.where, f"{access.server} can not be asked: {reason}") from error
