"""Kill -9 of service and instances, restarts of the database: every accepted task ends, and completes once.

``PILOTAGE_FAULT_TASKS=10000`` makes it the long run (10,000 tasks, a kill every few seconds).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, text

from pilotage.adapters.sql.engine import open_engine, reading
from pilotage.adapters.sql.migrate import migrate
from pilotage.client import ApiError, AsyncClient
from tests.api.running import Service, eventually, settings
from tests.integration.postgres import running_postgres

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.postgres import Postgres

TASKS = int(os.environ.get("PILOTAGE_FAULT_TASKS", "150"))
LONG = TASKS > 1000

SQLITE_WITNESS = """
CREATE TRIGGER witness AFTER UPDATE OF status ON tasks_task WHEN NEW.status IN ('completed', 'failed')
BEGIN INSERT INTO seen VALUES (NEW.id, NEW.status); END
"""
POSTGRES_WITNESS = """
CREATE FUNCTION witness() RETURNS trigger AS $$
BEGIN
  IF NEW.status IN ('completed', 'failed') THEN INSERT INTO seen VALUES (NEW.id, NEW.status); END IF;
  RETURN NEW;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER witness AFTER UPDATE OF status ON tasks_task FOR EACH ROW EXECUTE FUNCTION witness();
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Supervised:
    """A process that is started again whenever it is gone."""

    def __init__(self, *arguments: str, port: int, log: Path) -> None:
        self._port = port
        self._command = [sys.executable, "-m", "pilotage", *arguments, "--port", str(port)]
        self._log = log
        self.starts = 0
        self.start()

    def start(self) -> None:
        self.starts += 1
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def is_up(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port), 1).close()
        except OSError:
            return False
        return True

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.start()

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def witness(url: str) -> Engine:
    """Migrate, and let the database itself write down every end of a task, whoever causes it."""
    engine = open_engine(url)
    migrate(engine, "tasks")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE seen (id TEXT, status TEXT)"))
        connection.execute(text(SQLITE_WITNESS if url.startswith("sqlite") else POSTGRES_WITNESS))
    return engine


async def submit_all(url: str) -> dict[int, str]:
    """All tasks, each again and again until it is accepted; the key makes it one task however often that is."""
    ids: dict[int, str] = {}
    gate = asyncio.Semaphore(16)
    async with AsyncClient(url, patience_s=300, timeout_s=20) as client:

        async def one(number: int) -> None:
            async with gate:
                task = await client.submit("echo", {"n": number}, idempotency_key=f"task-{number}")
                ids[number] = task["id"]
                await asyncio.sleep(0.02 if not LONG else 0.1)

        await asyncio.gather(*map(one, range(TASKS)))
    return ids


async def statistics(client: AsyncClient) -> Any:
    try:
        return await client.statistics()
    except ApiError:
        return None


async def chaos(
    procs: dict[str, Supervised], database: Postgres | None, done: asyncio.Event, seed: int
) -> Counter[str]:
    """Kill something every few seconds until all is submitted; a fixed number of kills in the short run."""
    rng, killed = random.Random(seed), Counter[str]()
    names = [*procs, *(["database"] if database else [])]
    while not done.is_set() or sum(killed.values()) < len(names):
        name = names[sum(killed.values()) % len(names)] if not LONG else rng.choice(names)
        while name != "database" and not procs[name].is_up():  # what is not there yet can not be killed
            await asyncio.sleep(0.05)
        await asyncio.sleep(rng.uniform(1.5, 4))
        killed[name] += 1
        if name == "database":
            assert database
            await asyncio.to_thread(database.stop, kill=True)
            await asyncio.to_thread(database.start)
        else:
            await asyncio.to_thread(procs[name].kill)
    return killed


async def storm(url: str, procs: dict[str, Supervised], database: Postgres | None, seed: int) -> Any:
    done = asyncio.Event()
    trouble = asyncio.create_task(chaos(procs, database, done, seed))
    ids = await submit_all(url)
    done.set()
    killed = await trouble
    async with AsyncClient(url, patience_s=120) as client:
        give_up = time.monotonic() + 240
        while True:
            told = await statistics(client)
            if told and told["waiting"] + told["on_instances"] == 0:
                return ids, killed
            assert time.monotonic() < give_up, told
            await asyncio.sleep(0.2)


def check(engine: Engine, ids: dict[int, str]) -> Counter[str]:
    """The proof: one row per accepted task, each ended, each end written once, each result its own."""
    with reading(engine) as connection:
        rows = connection.execute(text("SELECT id, status, error, result FROM tasks_task")).all()
        seen = Counter(connection.execute(text("SELECT id FROM seen")).scalars())
    assert len(ids) == TASKS == len(set(ids.values()))
    assert {row.id for row in rows} == set(ids.values()), "one task per key: none lost, none twice"
    number_of = {task_id: number for number, task_id in ids.items()}
    for row in rows:
        assert row.status in ("completed", "failed"), (row.id, row.status)
        assert seen[row.id] == 1, f"{row.id} ended {seen[row.id]} times"
        if row.status == "completed":
            assert bytes(row.result) == b'{"n":%d}' % number_of[row.id]
        else:
            assert row.error
    return Counter(row.status for row in rows)


def run_storm(url: str, folder: Path, database: Postgres | None) -> None:
    seed = random.SystemRandom().randrange(10**9)
    print(f"seed {seed}, {TASKS} tasks")
    engine = witness(url)
    function = folder / "echo.py"
    function.write_text("import time\ndef run(input, metadata):\n    time.sleep(0.005)\n    return {'n': input['n']}\n")
    port = free_port()
    here = f"http://127.0.0.1:{port}"
    procs = {"service": Supervised("serve", "--database", url, port=port, log=folder / "service.log")}
    for number in range(2):
        procs[f"instance {number}"] = Supervised(
            *("instance", "--model", "echo", "--scheduler", here, "--slots", "4"),
            *("--function", str(function)),
            port=free_port(),
            log=folder / f"instance{number}.log",
        )
    started = time.monotonic()
    try:
        ids, killed = asyncio.run(storm(here, procs, database, seed))
    finally:
        for each in procs.values():
            each.end()
    ends = check(engine, ids)
    engine.dispose()
    print(f"{time.monotonic() - started:.0f} s, killed {dict(killed)}, ended {dict(ends)}")
    assert all(killed[name] for name in procs)
    assert ends["completed"] > 0.9 * TASKS


def test_kills_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    run_storm(f"sqlite:///{tmp_path}/storm.sqlite3", tmp_path, None)


@pytest.mark.skipif(not LONG, reason="the long run only: PILOTAGE_FAULT_TASKS=10000")
def test_kills_and_database_restarts_lose_nothing(tmp_path: Path) -> None:
    with running_postgres() as server:
        run_storm(server.database(), tmp_path, server)


def test_another_service_takes_over(tmp_path: Path) -> None:
    """A standby on the same database answers 503 until the leader leaves, then goes on with its tasks."""
    first = Service(settings(tmp_path)).start()
    second = Service(settings(tmp_path)).start(leading=False)
    try:
        task = first.post("/api/v1/tasks", {"model": "m", "input": {"n": 1}})
        status, told = second.call("POST", "/api/v1/tasks", {"model": "m"})
        assert (status, "standby" in told["detail"]) == (503, True)
        assert second.call("GET", "/ready")[0] == 503
        assert second.get("/health")["role"] == "standby"
        first.stop()
        eventually(lambda: second.call("GET", "/ready")[0] == 200)
        assert second.get(f"/api/v1/tasks/{task['id']}")["status"] == "queued"
    finally:
        first.stop()
        second.stop()


def test_a_database_that_is_away_is_told(tmp_path: Path) -> None:
    with running_postgres() as server:
        service = Service(settings(tmp_path, database=server.database())).start()
        try:
            task = service.post("/api/v1/tasks", {"model": "m"})
            server.stop(kill=True)
            assert service.call("GET", "/api/v1/tasks") == (503, {"detail": "the database is away"})
            assert service.call("POST", "/api/v1/tasks", {"model": "m", "id": "x"})[0] == 503
            assert service.call("GET", "/health")[0] == 200
            server.start()
            assert eventually(lambda: service.call("GET", "/api/v1/tasks")[0] == 200)
            assert [each["id"] for each in service.get("/api/v1/tasks")["tasks"]] == [task["id"]]
        finally:
            service.stop()
