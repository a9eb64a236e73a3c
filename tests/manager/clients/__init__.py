"""Go programs that call a manager with the messages Dragonfly publishes; built on first use, kept outside the clone."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


@cache
def program(name: str) -> Path:
    """The client of that folder, by the hash of its sources; skipped, or failed in CI, where there is no Go."""
    sources = [HERE / name / each for each in ("go.mod", "go.sum", "main.go")]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    base = os.environ.get("PILOTAGE_CACHE") or f"{os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'}/pilotage"
    built = Path(base) / "manager-clients" / f"{name}-{digest}"
    if built.exists():
        return built
    go = shutil.which("go")
    if go is None:
        complaint = "the clients of tests/manager/clients need Go"
        if os.environ.get("PILOTAGE_REQUIRE_SERVERS") == "1":
            pytest.fail(complaint)
        pytest.skip(complaint)
    built.parent.mkdir(parents=True, exist_ok=True)
    with built.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test process may be building it
        if not built.exists():
            half = built.with_suffix(".half")
            command = [go, "build", "-p", "2", "-trimpath", "-mod=readonly", "-o", str(half), "."]
            done = subprocess.run(command, cwd=HERE / name, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{' '.join(command)} in {name}: {done.stderr}"
            half.rename(built)
    return built


class Refused(Exception):  # noqa: N818 - what the server did
    """A call ended with a status that is not OK."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Client:
    """The newest published client, running; one call at a time."""

    def __init__(self, address: str) -> None:
        self._process = subprocess.Popen(
            [program("newest"), address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def call(self, service: str, method: str, **request: Any) -> dict[str, Any]:
        """A unary call of service v1 or v2; the reply as JSON with the proto's names."""
        return self._say(service=service, method=method, request=request)

    def hostnames(self, service: str = "v2", **request: Any) -> list[str]:
        """The schedulers that a host is told, in order."""
        asked = {"hostname": "host-1", "ip": "10.0.0.1", **request}
        told = self.call(service, "ListSchedulers", **asked)
        return [each["hostname"] for each in told.get("schedulers", [])]

    def health(self, service: str) -> str:
        return str(self._say(health=service)["status"])

    def open(self, name: str, service: str = "v2") -> None:
        self._say(open=name, service=service)

    def send(self, name: str, **request: Any) -> None:
        self._say(send=name, request=request)

    def close(self, name: str) -> None:
        """End a stream and wait for the answer."""
        self._say(close=name)

    def cancel(self, name: str) -> None:
        self._say(cancel=name)

    def kill(self) -> None:
        """Die as a process dies whose machine goes on: without a word, its connections cut by the kernel."""
        self._process.kill()
        self.end()

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def _say(self, **line: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "code" in answer:
            raise Refused(answer["code"], answer.get("message", ""))
        return dict(answer.get("reply") or {})


def create_model(address: str, service: str, kind: str, hostname: str, ip: str, data: str) -> str:
    """CreateModel by the last release that had it; "OK " or code and message."""
    command = [program("v2_0_153"), address, service, kind, hostname, ip, data]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
