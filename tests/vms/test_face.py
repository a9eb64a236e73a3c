"""The face as people use it: commands and HTTP, on SQLite, with real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pilotage.app.vms.strategies import Strategies
from pilotage.app.vms_config import load_vms_settings
from pilotage.model.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOSTS = """
hosts:
  - {name: bm01, cpu: 16, memory: 32768, max_vms: 20, rack: r1}
  - {name: bm02, cpu: 32, memory: 65536, pool: high-performance, dedicated: true}
"""
WANTED = {"requested_cpu": 4, "requested_memory": 8192, "requested_pool": "default", "dedicated": False}


def pilotage(folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pilotage", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=60,
    )


@contextmanager
def working(folder: Path, *options: str, **environment: str) -> Iterator[str]:
    """A worker with an API on a free port; yields its URL, ends it as an operator does. What it tells is in ``log``."""
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "pilotage", "worker", "--listen", "127.0.0.1:0", *options],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield line.partition("HTTP on ")[2].strip()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate(timeout=30)
        log.close()


def call(url: str, body: Any = None, method: str = "", **headers: str) -> tuple[int, Any]:
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers}, method=method or None)
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "hosts.yaml").write_text(HOSTS)
    assert pilotage(tmp_path, "nodes", "import", "hosts.yaml").stdout == "2 added\n"
    return tmp_path


def test_a_vm_from_request_to_release(folder: Path) -> None:
    with working(folder) as url:
        done = pilotage(folder, "submit", "--cpu", "4", "--memory", "8192", "--task-id", "vm-1", "--wait")
        assert (done.stdout, done.returncode) == ("vm-1  success  bm01\n", 0)

        status, accepted = call(f"{url}/schedule", WANTED)
        assert status == 202
        assert accepted["status"] == "queued"
        lines = "\n".join(json.dumps({**WANTED, "task_id": f"many-{i}", "requested_cpu": 8}) for i in range(3))
        many = pilotage(folder, "submit", "-", "--wait", "--json", stdin=lines)
        assert many.returncode == 1, "one of them does not fit"
        results = [json.loads(line) for line in many.stdout.splitlines()]
        assert sorted(each["status"] for each in results) == ["failed", "failed", "success"]

        _, told = call(f"{url}/status/vm-1")
        assert (told["selected_node"], told["claim_id"], told["claim_state"]) == ("bm01", "vm-1.1", "reserved")
        assert [each["status"] for each in told["history"]] == ["queued", "running", "success"]
        assert told["processing_ms"] > 0
        assert call(f"{url}/claims/vm-1.1/confirm", {"token": told["token"]})[1]["state"] == "confirmed"
        assert call(f"{url}/claims/vm-1.1/renew", {"seconds": 5})[0] == 409
        assert call(f"{url}/tasks/vm-1/cancel", {})[0] == 409
        assert call(f"{url}/claims/vm-1.1/release", {})[1]["state"] == "released"
        assert call(f"{url}/tasks?status=success")[1]["tasks"]
    listed = json.loads(pilotage(folder, "nodes", "list", "--json").stdout.splitlines()[0])
    assert listed["used"]["vms"] == 2
    assert pilotage(folder, "nodes", "remove", "bm01").returncode == 2
    assert pilotage(folder, "nodes", "drain", "bm01").stdout == "bm01  draining\n"
    assert "✓ sound" in pilotage(folder, "verify", "--settled").stdout


def test_bad_requests_are_told_field_and_reason(folder: Path) -> None:
    with working(folder, PILOTAGE_VMS_TOKENS="t0ken") as url:
        right = {"Authorization": "Bearer t0ken"}
        assert call(f"{url}/tasks")[0] == 401
        for body, field in (
            (b"not json", "body"),
            (b"[]", "body"),
            ({**WANTED, "requested_cpu": -1}, "requested_cpu"),
            ({**WANTED, "requested_cpu": "4"}, "requested_cpu"),
            ({**WANTED, "requested_memory": 10**15}, "requested_memory"),
            ({**WANTED, "colour": "red"}, "colour"),
            ({**WANTED, "callback_url": "http://169.254.169.254/"}, "callback_url"),
            ({"requested_cpu": 1}, "requested_memory"),
        ):
            status, told = call(f"{url}/schedule", body, **right)
            assert (status, told["field"]) == (422, field), told
        assert call(f"{url}/schedule", b"x" * 10_000_000, **right)[0] == 413
        assert call(f"{url}/schedule", {**WANTED, "task_id": "a"}, **right)[0] == 202
        assert call(f"{url}/schedule", {**WANTED, "task_id": "a", "requested_cpu": 5}, **right)[0] == 409
        assert call(f"{url}/status/none", **right)[0] == 404
        assert call(f"{url}/tasks?limit=0", **right)[0] == 422
        assert call(f"{url}/claims/none/confirm", {}, **right)[0] == 404
        assert call(f"{url}/claims/a.1/confirm", {"token": "x"}, **right)[0] == 422
    assert pilotage(folder, "submit", "--cpu", "-1", "--memory", "5").stderr == (
        "error: request: requested_cpu: must be `int` >= 1\n"
    )


def test_a_dead_letter_is_mended_and_sent_again(folder: Path) -> None:
    import sqlite3

    with sqlite3.connect(folder / "pilotage-vms.sqlite3") as database:
        database.execute("INSERT INTO vm_queue (message_id, body) VALUES ('m1', ?)", (b'{"requested_cpu": 0}',))
    database.close()
    with working(folder):
        (folder / "mended.json").write_text(json.dumps(WANTED))
        for _ in range(100):
            listed = pilotage(folder, "deadletter", "list").stdout
            if "m1" in listed:
                break
        assert "malformed  m1  requested_cpu: must be `int` >= 1" in listed
        assert json.loads(pilotage(folder, "deadletter", "show", "1").stdout)["body"] == '{"requested_cpu": 0}'
        assert pilotage(folder, "deadletter", "retry", "1").returncode == 2
        again = pilotage(folder, "deadletter", "retry", "1", "--body", "mended.json")
        assert again.stdout == "m1.retry-1  queued\n"
        assert pilotage(folder, "deadletter", "list").stdout == "No dead letters.\n"
    assert pilotage(folder, "verify").returncode == 0


def test_strategies_by_pool_and_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "strategy"
    strategies = Strategies("hybrid,gpu=spread", file=str(file))
    assert [strategies(pool).name for pool in ("default", "gpu")] == ["hybrid", "spread"]
    assert not strategies.look()
    file.write_text("cpu\n")
    assert strategies.look()
    assert strategies("gpu").name == "cpu"
    for wrong in ("gpu=spread", "cpu,memory", "nonsense", "=cpu"):
        file.write_text(wrong)
        with pytest.raises(InvalidInput):
            strategies.look()
        assert strategies("any").name == "cpu", "what can not be read changes nothing"


def test_virtflow_s_environment_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environment = {
        "RABBITMQ_URL": "amqp://guest:guest@mq:5672/",
        "POSTGRES_CONN": "host=db port=5433 user=me password=p@ss dbname=vms sslmode=disable",
        "SCHEDULING_STRATEGY": "memory",
    }
    settings = load_vms_settings(None, {"strategy": None}, environment)
    assert settings.rabbitmq == "amqp://guest:guest@mq:5672/"
    assert settings.database == "postgresql://me:p%40ss@db:5433/vms"
    assert settings.strategy == "memory"
    monkeypatch.setenv("PILOTAGE_VMS_STRATEGY", "spread")
    environment |= {"PILOTAGE_VMS_STRATEGY": "spread", "POSTGRES_CONN": "postgres://me@db/vms"}
    settings = load_vms_settings(None, {"rabbitmq": ""}, environment)
    assert (settings.strategy, settings.rabbitmq, settings.database) == ("spread", "", "postgresql://me@db/vms")
    monkeypatch.delenv("PILOTAGE_VMS_STRATEGY")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "config.yaml").write_text("vms:\n  strategy: binpack\n  batch: 7\n")
    assert load_vms_settings(None, {}, {}).batch == 7
