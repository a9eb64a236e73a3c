"""Asks a running manager over HTTP, for the commands that people type."""

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from pilotage.app.manager.settings import ManagerSettings
from pilotage.model.errors import InvalidInput

TIMEOUT_S = 30
PAGE = 1000


class ManagerClient:
    """One manager: the one at ``url``, else the one of the settings, with the first of their tokens."""

    def __init__(self, url: str | None, settings: ManagerSettings) -> None:
        scheme = "https" if settings.tls_certificate else "http"
        self._url = (url or f"{scheme}://{settings.http}").rstrip("/")
        if urllib.parse.urlsplit(self._url).scheme not in ("http", "https"):
            raise InvalidInput("--manager", f"must be a URL like http://127.0.0.1:8080, got {self._url!r}")
        self._token = settings.tokens.get_secret_value().split(",")[0].strip()

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Return the JSON of a call below /api/v1. Raises `InvalidInput` with what the manager said."""
        asked = {name: value for name, value in query.items() if value is not None}
        url = f"{self._url}/api/v1{path}" + (f"?{urllib.parse.urlencode(asked)}" if asked else "")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"content-type": "application/json"}, method=method)
        if self._token:
            request.add_header("authorization", f"Bearer {self._token}")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
                text = response.read()
        except urllib.error.HTTPError as refused:
            raise InvalidInput("manager", _detail(refused.read())) from None
        except (urllib.error.URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise InvalidInput("manager", f"{self._url} does not answer ({reason}); see `pilotage manager`") from None
        return json.loads(text) if text else None

    def rows(self, path: str, **query: Any) -> list[Any]:
        """Return all rows of a list, page by page."""
        rows: list[Any] = []
        while True:
            page = self.call("GET", path, page=len(rows) // PAGE + 1, per_page=PAGE, **query)
            rows += page
            if len(page) < PAGE:
                return rows

    def cluster(self, name: str) -> Any:
        """Return the cluster of that name or id. Raises `InvalidInput`."""
        if name.isascii() and name.isdigit():
            return self.call("GET", f"/clusters/{name}")
        found = self.rows("/clusters", name=name)
        if not found:
            raise InvalidInput("cluster", f"there is none called {name!r}; see `pilotage cluster list`")
        return found[0]


def _detail(body: bytes) -> str:
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")[:200] or "refused without a word"
