"""A real PostgreSQL that the tests start for themselves: temporary folder, free port, unprivileged user, no fsync."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.servers import require, started

if TYPE_CHECKING:
    from collections.abc import Iterator

_SETTINGS = {"max_connections": "200", "listen_addresses": "127.0.0.1"}
_FORGETFUL = {"fsync": "off", "full_page_writes": "off"}


class Postgres:
    """A server of our own: `start`, `stop` (clean or by a kill), databases by number.

    ``durable``: commits reach the disk, as in production; tests do without.
    """

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        self._settings = _SETTINGS if durable else _SETTINGS | _FORGETFUL
        self.initdb, self.program = require("initdb"), require("postgres")
        self.folder = folder
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        # PostgreSQL refuses to run as root: whoever is nobody owns its folder then.
        self._user = None if os.geteuid() else pwd.getpwnam("nobody")
        if self._user:
            os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        self._run([str(self.initdb), "-D", str(folder / "data"), "-U", "pilotage", "-A", "trust", "-E", "UTF8", "-N"])

    def start(self) -> None:
        settings = [each for name, value in self._settings.items() for each in ("-c", f"{name}={value}")]
        command = [str(self.program), "-D", str(self.folder / "data"), "-p", str(self.port), "-k", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([*command, *settings], stdout=log, stderr=log, **self._as_user())
        for _ in range(600):
            if self._answers():
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        pytest.fail("PostgreSQL did not start:\n" + (self.folder / "log").read_text(errors="replace")[-2000:])

    def stop(self, *, kill: bool = False) -> None:
        """Stop it: clients are thrown out; ``kill``: as if the power failed."""
        if self._process is None:
            return
        if kill:
            # Its children notice that the first process is gone and leave; its lock file stays, as after a crash.
            self._process.send_signal(signal.SIGQUIT)
        else:
            self._process.send_signal(signal.SIGINT)
        self._process.wait(30)
        self._process = None

    def database(self) -> str:
        """The URL of a new empty database."""
        name = f"test{next(self._numbers)}_{os.getpid()}"
        psql = self.program.parent / "psql"
        self._run([str(psql), *self._at(), "-d", "postgres", "-qc", f"CREATE DATABASE {name}"])
        return f"postgresql://pilotage@127.0.0.1:{self.port}/{name}"

    def _at(self) -> list[str]:
        return ["-h", "127.0.0.1", "-p", str(self.port), "-U", "pilotage"]

    def _answers(self) -> bool:
        try:
            ready = self.program.parent / "pg_isready"
            return subprocess.run([str(ready), *self._at()], capture_output=True, check=False).returncode == 0
        except OSError:
            return False

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.folder, **self._as_user())
        assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"

    def _as_user(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}


@contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[Postgres]:
    """A started server, gone afterwards; the test is skipped (or fails in CI) where PostgreSQL is not installed."""
    with started("postgres", partial(Postgres, durable=durable)) as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server per test process; ask it for a `database` of your own, and do not stop it."""
    with running_postgres() as server:
        yield server


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new empty database of each kind that is spoken; needs the fixture `postgres`, too."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/test.sqlite3"
    database: str = request.getfixturevalue("postgres").database()
    return database
