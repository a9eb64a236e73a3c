"""A real Redis that the tests start for themselves: a free port, a temporary folder, nothing kept."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.servers import require, started

if TYPE_CHECKING:
    from collections.abc import Iterator


class RedisServer:
    """A server of our own: `start` and `stop` as often as a test likes, always on the same port."""

    def __init__(self, folder: Path) -> None:
        self._program = require("redis-server")
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        told = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), "--save", ""]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([self._program, *told], stdout=log, stderr=log)
        for _ in range(400):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.025)
        pytest.fail("Redis did not start:\n" + (self._folder / "log").read_text(errors="replace")[-2000:])

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


@contextmanager
def running_redis() -> Iterator[RedisServer]:
    """A started server, gone afterwards; the test is skipped (or fails in CI) where Redis is not installed."""
    with started("redis-server", RedisServer) as server:
        yield server
