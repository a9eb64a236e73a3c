"""Finds the real servers that tests start for themselves; `make servers` installs them and starts none."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import pytest


@dataclass(frozen=True)
class Server:
    """A program: its name, the folders outside PATH where it may be, and arguments that print its version."""

    name: str
    folders: tuple[str, ...] = ()
    version_arguments: tuple[str, ...] = ("--version",)


SERVERS = (
    # Asking RabbitMQ's own programs for a version starts a daemon (epmd) that stays, so Erlang is asked
    # whether it runs, and the broker's folder has the version in its name.
    Server("erl", (), ("-noshell", "-eval", "io:put_chars(erlang:system_info(version)), halt().")),
    Server("rabbitmq-server", ("/usr/lib/rabbitmq/bin", "/usr/sbin"), ()),
    Server("epmd", (), ()),
    Server("postgres", ("/usr/lib/postgresql/*/bin",)),
    Server("initdb", ("/usr/lib/postgresql/*/bin",)),
    Server("redis-server"),
    Server("prometheus"),
    Server("chromium"),
    Server("openssl", (), ("version",)),
)


def find(server: Server) -> Path | None:
    """The program's path: in its own folders first (the newest version first), then on PATH."""
    for pattern in server.folders:
        root, _, rest = pattern.partition("*")
        found = [Path(pattern)] if not rest else list(Path(root).glob("*" + rest))
        for folder in sorted(found, key=lambda each: [int(n) for n in each.parts if n.isdigit()], reverse=True):
            program = folder / server.name
            if os.access(program, os.X_OK):
                return program
    on_path = shutil.which(server.name)
    return Path(on_path) if on_path else None


def require(name: str) -> Path:
    """The program; without it the test is skipped, or fails where servers are required (PILOTAGE_REQUIRE_SERVERS=1)."""
    program = find(next(server for server in SERVERS if server.name == name))
    if program is not None:
        return program
    complaint = f"{name} is not installed; run `make servers` (Debian, Ubuntu; as root)"
    if os.environ.get("PILOTAGE_REQUIRE_SERVERS") == "1":
        pytest.fail(complaint)
    pytest.skip(complaint)


class Startable(Protocol):
    """A server of a test's own."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


Own = TypeVar("Own", bound=Startable)


@contextmanager
def started(name: str, make: Callable[[Path], Own]) -> Iterator[Own]:
    """A started server in a folder of its own, both gone afterwards; without the program see `require`."""
    require(name)
    folder = Path(tempfile.mkdtemp(prefix=f"pilotage-{name}-"))
    server = None
    try:
        server = make(folder)
        server.start()
        yield server
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
