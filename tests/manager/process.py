"""A manager as its users start it: a process with a database, stopped, killed and started again by tests."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INTERVAL_S = 0.8
"""Between keep-alive messages in these tests; three of them, a sweep and a refresh are the bound."""

BOUND_S = 3 * INTERVAL_S + 2


class ManagerProcess:
    """``pilotage manager`` on free ports; settings by environment, as ``keep_alive_interval_s="2"``."""

    def __init__(self, folder: Path, database: str, **settings: str) -> None:
        told = {"keep_alive_interval_s": str(INTERVAL_S), "refresh_s": "0.1", **settings}
        self._folder = folder
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("PILOTAGE_")}
        self._environment |= {f"PILOTAGE_MANAGER_{name.upper()}": value for name, value in told.items()}
        self.database = database
        self._process: subprocess.Popen[str] | None = None
        self.grpc = "127.0.0.1:0"
        self.http = "127.0.0.1:0"
        self.token = settings.get("tokens", "").split(",")[0]

    def start(self) -> ManagerProcess:
        """Start it; a second start takes the ports of the first."""
        command = [sys.executable, "-m", "pilotage", "manager", "--database", self.database]
        command += ["--grpc", self.grpc, "--http", self.http.removeprefix("http://")]
        with (self._folder / f"log-{id(self)}").open("a") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=self._environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        found = re.match(r"gRPC on (\S+), HTTP on (\S+)", said)
        assert found, f"{said!r} {self.log()}"
        self.grpc, self.http = found[1], found[2]
        return self

    def log(self) -> str:
        return (self._folder / f"log-{id(self)}").read_text()

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM)

    def pause(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        code = self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None
        return code

    def http_call(self, method: str, path: str, body: Any = None) -> Any:
        """An HTTP call; (status, headers, JSON or text)."""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.http + path, data, {"content-type": "application/json"}, method=method)
        if self.token:
            request.add_header("authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, dict(response.headers), _decoded(response.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, dict(refused.headers), _decoded(refused.read())

    def api(self, method: str, path: str, body: Any = None, status: int = 0) -> Any:
        """A call below /api/v1 that must succeed (or end with ``status``); the JSON."""
        code, _, told = self.http_call(method, "/api/v1" + path, body)
        assert code == status or (not status and code < 300), f"{method} {path}: {code} {told}"
        return told


def _decoded(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def wait_until(holds: Callable[[], bool], within_s: float) -> float:
    """Ask until it holds; the seconds it took. Fails after ``within_s``."""
    started = time.monotonic()
    while not holds():
        waited = time.monotonic() - started
        assert waited < within_s, f"not within {within_s} s"
        time.sleep(0.02)
    return time.monotonic() - started
