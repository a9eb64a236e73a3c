"""The fault run: real workers, broker and database, and everything that goes wrong at once.

Run it long:  ``PILOTAGE_FAULT_REQUESTS=20000 pytest tests/vms/test_faults.py -s``
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from pilotage.adapters.rabbitmq.link import Link
from pilotage.adapters.rabbitmq.publisher import Publisher
from pilotage.adapters.rabbitmq.topology import Topology
from pilotage.adapters.sql.engine import open_engine, reading
from pilotage.adapters.sql.vms.lifecycle import confirm, release
from pilotage.adapters.sql.writer import Writer
from pilotage.adapters.webhook.signature import EVENT_HEADER, HEADER, is_signed
from pilotage.engine.request_queue import Message
from pilotage.model.group import Group
from pilotage.model.vm import SchedulingRequest, encode_request
from pilotage.testing.fault_proxy import FaultProxy
from tests.integration.rabbitmq import Broker
from tests.vms.cloud import request

if TYPE_CHECKING:
    from tests.integration.postgres import Postgres

SECRET = "s3cret"
TASK_IDS = "ids.txt"
USUAL_START_S = 5.0
"""How long the first worker may take to come up on a machine that is not busy with other things."""


class Outside(ThreadingHTTPServer):
    """The inventory and the receivers: each answers, is slow, fails, or tells less than it knows."""

    daemon_threads = True

    def __init__(self, hosts: list[dict[str, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hosts = hosts
        self.mood = "well"
        self.heard: Counter[str] = Counter()
        """Event ids that were taken, and how often."""
        self.forged = 0
        self.refused = 0
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Outside

    def do_GET(self) -> None:
        hosts = self.server.hosts
        if self.server.mood == "out":
            self._answer(500, b"")
        else:  # a lost table: it must not empty the cloud
            self._answer(200, json.dumps(hosts[:3] if self.server.mood == "poor" else hosts).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signed = is_signed(SECRET, body, self.headers.get(HEADER, ""), time.time())
        event = self.headers.get(EVENT_HEADER, "")
        if self.server.mood == "slow":
            time.sleep(random.uniform(0, 2))
        if self.server.mood == "out" and random.random() < 0.7:
            with self.server.lock:
                self.server.refused += 1
            self._answer(503, b"")
            return
        with self.server.lock:
            self.server.forged += not signed or json.loads(body)["event_id"] != event
            self.server.heard[event] += 1
        self._answer(204, b"")

    def _answer(self, status: int, body: bytes) -> None:
        with suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Run:
    """One fault run. ``report`` tells what was done, for people."""

    def __init__(self, folder: Path, broker: Broker, postgres: Postgres, *, requests: int, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.requests = requests
        self.broker = broker
        self.postgres = postgres
        self.database_url = postgres.database()
        self.name = self.database_url.rpartition("/")[2]
        self.faults: Counter[str] = Counter()
        self.workers: dict[int, subprocess.Popen[bytes]] = {}
        self.said: dict[int, int] = {}
        """How long each worker's log was when it started."""
        self.single_active = False
        self._deck: list[str] = []
        count = max(20, requests // 50)
        amounts = {"cpu": 64, "memory": 262_144, "max_vms": 48}
        self.outside = Outside([{"name": f"bm{i:04}", "rack": f"r{i // 8}", **amounts} for i in range(count)])
        self._doors = ExitStack()
        self.broker_door = self._doors.enter_context(FaultProxy("127.0.0.1", broker.port))
        self.at_once, self.pace_s = (20, 0.5) if requests < 2000 else (200, 2.0)
        """So many requests are published, then there is a pause: faults are to come while they do."""
        self.database_door = self._doors.enter_context(FaultProxy("127.0.0.1", postgres.port))

    def wanted(self) -> list[SchedulingRequest]:
        made = []
        for i in range(self.requests):
            rule = Group(name=f"g{i // 400}", rule="anti-affinity", scope="rack", at_most=3)
            made.append(
                request(
                    f"vm-{i}",
                    requested_cpu=self.random.choice((1, 1, 2, 2, 4)),
                    requested_memory=self.random.choice((1024, 2048, 8192)),
                    group=rule if i % 100 == 0 else None,
                    requested_pool="nowhere" if i % 500 == 1 else "default",
                )
            )
        return made

    # -- processes -----------------------------------------------------------------------------------------------

    def start_worker(self, number: int) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "SKEW_S": "10" if self.requests < 2000 else "60",
            "RABBITMQ_URL": f"amqp://guest:guest@127.0.0.1:{self.broker_door.port}/",
            "POSTGRES_CONN": f"postgresql://pilotage@127.0.0.1:{self.database_door.port}/{self.name}",
            "PILOTAGE_VMS_QUEUE": f"faults.{self.name}",
            "PILOTAGE_VMS_INVENTORY": f"{self.outside.url}/hosts",
            "PILOTAGE_VMS_INVENTORY_S": "1",
            "PILOTAGE_VMS_LISTEN": "",
            "PILOTAGE_VMS_PREFETCH": "400",
            "PILOTAGE_VMS_BATCH": "100",
            "PILOTAGE_VMS_LEASE_S": "2",
            "PILOTAGE_VMS_SINGLE_ACTIVE": str(self.single_active).lower(),
            "PILOTAGE_VMS_DELIVERY_LIMIT": "1000",
            "PILOTAGE_VMS_WEBHOOK_NETWORKS": "127.0.0.0/8",
            "PILOTAGE_VMS_WEBHOOK_PAUSE_S": "0.1",
            "PILOTAGE_VMS_WEBHOOK_ATTEMPTS": "60",
            "PILOTAGE_VMS_WEBHOOK_TIMEOUT_S": "5",
            "PILOTAGE_VMS_RECEIVERS": json.dumps(
                [{"name": "hook", "url": f"{self.outside.url}/hook", "secret": SECRET}]
            ),
        }
        with (self.folder / f"worker{number}.log").open("ab") as log:
            self.said[number] = log.tell()
            command = [sys.executable, "-m", "tests.vms.skewed", "worker", "--name", f"w{number}"]
            self.workers[number] = subprocess.Popen(
                command, env=environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def revive(self) -> None:
        """Start what ended, however it ended, as an init system does."""
        for number, process in list(self.workers.items()):
            if process.poll() is not None:
                self.start_worker(number)

    def await_workers(self, within_s: float) -> None:
        """Until every worker says that it is up: one that is asked to stop while it still imports just dies of it."""
        deadline = time.monotonic() + within_s
        for number in self.workers:
            log = self.folder / f"worker{number}.log"
            while f"worker w{number}\n".encode() not in log.read_bytes()[self.said[number] :]:
                assert time.monotonic() < deadline, f"worker {number} did not start: {log.read_text()[-2000:]}"
                self.revive()
                time.sleep(0.1)

    def end_workers(self, how: signal.Signals) -> list[int]:
        for process in self.workers.values():
            if process.poll() is None:
                process.send_signal(how)
        codes = [process.wait(60) for process in self.workers.values()]
        self.workers.clear()
        return codes

    def close(self) -> None:
        self.end_workers(signal.SIGKILL)
        self._doors.close()
        self.outside.shutdown()
        self.outside.server_close()

    # -- faults --------------------------------------------------------------------------------------------------

    def harm(self) -> None:
        """One fault, drawn from a deck in which every kind is, kills most often."""
        if not self._deck:
            self._deck = ["kill"] * 6 + ["cut broker", "cut database"] * 2
            self._deck += ["stall broker", "stall database", "inventory", "poor inventory", "slow receiver", "clock"]
            self._deck += ["restart database", "kill database", "restart broker", "kill broker", "clock"]
            self.random.shuffle(self._deck)
        kind = self._deck.pop()
        self.faults[kind] += 1
        door = self.broker_door if "broker" in kind else self.database_door
        if kind == "kill":
            self.random.choice(list(self.workers.values())).kill()
        elif kind.startswith("cut"):
            door.cut()
        elif kind.startswith("stall"):
            door.stall()
            time.sleep(self.random.uniform(0.5, 3))
            door.resume()
        elif kind.endswith("database"):
            self.postgres.stop(kill=kind.startswith("kill"))
            self.postgres.start()
        elif kind in ("restart broker", "kill broker"):
            (self.broker.stop if kind.startswith("restart") else self.broker.kill)()
            self.broker.start()
        elif kind == "clock":
            self.random.choice(list(self.workers.values())).send_signal(signal.SIGUSR1)
        self.outside.mood = {"inventory": "out", "poor inventory": "poor", "slow receiver": "slow"}.get(kind, "well")

    # -- traffic -------------------------------------------------------------------------------------------------

    async def publish(self, wanted: list[SchedulingRequest]) -> None:
        """All requests, out of order, some of them twice, with some that are none in between."""
        link = Link(
            self.broker.url, Topology(f"faults.{self.name}", 1000), confirms=True, pause_s=0.1, longest_pause_s=1
        )
        publisher = Publisher(link, retries=200, timeout_s=20, longest_pause_s=1)
        bodies = [Message(each.task_id, encode_request(each)) for each in wanted]
        bodies += self.random.sample(bodies, len(bodies) // 20)
        bodies += [Message(f"bad-{i}", b'{"requested_cpu": -1}') for i in range(self.requests // 200)]
        self.random.shuffle(bodies)
        await link.open()
        try:
            for start in range(0, len(bodies), self.at_once):
                faults = await publisher.publish_all(bodies[start : start + self.at_once])
                assert not any(faults), faults
                await asyncio.sleep(self.pace_s)
        finally:
            await link.close()

    def operate(self, stop: threading.Event) -> None:
        """An operator who confirms and releases claims all the while."""
        database = open_engine(self.database_url)
        writer = Writer(database, patience_s=120)
        try:
            while not stop.wait(0.3):
                with suppress(DBAPIError):
                    with reading(database) as connection:
                        query = text(
                            "SELECT claim_id FROM vm_claims WHERE state <> 'released' ORDER BY random() LIMIT 4"
                        )
                        claims = list(connection.execute(query).scalars())
                    for i, claim_id in enumerate(claims):
                        verb = release if i == 0 else confirm
                        with suppress(Exception):
                            writer.run(lambda c, v=verb, x=claim_id: v(c, x, time.time())).result(150)
        finally:
            writer.close()
            database.dispose()

    def ended(self) -> tuple[int, int]:
        """Tasks with an end, and messages that are still to be delivered."""
        database = open_engine(self.database_url)
        try:
            with reading(database) as connection:
                final = "SELECT count(*) FROM task_status WHERE status IN ('success', 'failed', 'cancelled')"
                pending = "SELECT count(*) FROM vm_outbox WHERE state = 'pending'"
                return tuple(int(connection.execute(text(each)).scalar_one()) for each in (final, pending))  # type: ignore[return-value]
        except DBAPIError:
            return 0, -1
        finally:
            database.dispose()

    def wait(self, until: Any, within_s: float, what: str) -> None:
        deadline = time.monotonic() + within_s
        while not until(*self.ended()):
            assert time.monotonic() < deadline, f"{what} took more than {within_s:g} s: {self.ended()} {self.faults}"
            self.revive()
            time.sleep(0.3)


def fault_run(run: Run, *, pause_s: tuple[float, float], within_s: float) -> dict[str, Any]:
    """Publish, harm, wait, kill the leader, stop; return what was seen."""
    started = time.monotonic()
    wanted = run.wanted()
    expected = len(wanted) + run.requests // 200
    (run.folder / TASK_IDS).write_text("\n".join(each.task_id for each in wanted))
    for number in range(3):
        run.start_worker(number)
    run.wait(lambda final, pending: pending >= 0, 120, "the first worker")
    # Where starting takes long, faults that come as fast as elsewhere would leave no time to work at all.
    slower = max(1.0, (time.monotonic() - started) / USUAL_START_S)
    within_s *= slower
    time.sleep(3 * slower)  # until then a broker of 3.10 may forget a new quorum queue when it is killed
    stop = threading.Event()
    operator = threading.Thread(target=run.operate, args=(stop,), daemon=True)
    operator.start()
    tail = max(len(wanted) // 10, 20)
    traffic = threading.Thread(target=lambda: asyncio.run(run.publish(wanted[:-tail])), daemon=True)
    traffic.start()
    most = expected - tail
    while traffic.is_alive() or run.ended()[0] < most:
        assert time.monotonic() - started < within_s, f"not done in time: {run.ended()} of {most}, {run.faults}"
        run.harm()
        run.revive()
        time.sleep(slower * run.random.uniform(*pause_s))
    run.outside.mood = "well"

    run.end_workers(signal.SIGTERM)
    run.single_active = True
    for number in range(2):
        run.start_worker(number)
    asyncio.run(run.publish(wanted[-tail:]))
    for _ in range(2):
        leader = None
        while leader is None:
            assert time.monotonic() - started < within_s, "nobody leads"
            leader = _leader(run)
            time.sleep(0.2)
        leader.kill()
        leader.wait()
        run.faults["kill leader"] += 1
        run.revive()
    run.wait(lambda final, pending: final >= expected and pending == 0, 180 * slower, "the end")
    stop.set()
    operator.join(160)
    run.await_workers(60)
    codes = run.end_workers(signal.SIGTERM)
    return {
        "requests": len(wanted),
        "seconds": round(time.monotonic() - started, 1),
        "slower": round(slower, 2),
        "faults": dict(run.faults),
        "webhooks": len(run.outside.heard),
        "webhooks twice": sum(count > 1 for count in run.outside.heard.values()),
        "webhooks refused": run.outside.refused,
        "exit codes": codes,
    }


def _leader(run: Run) -> subprocess.Popen[bytes] | None:
    """The worker that the lease names."""
    database = open_engine(run.database_url)
    try:
        with reading(database) as connection:
            query = text("SELECT holder FROM lease WHERE name = 'vms'")
            holder = connection.execute(query).scalar() or ""
    finally:
        database.dispose()
    return next((each for each in run.workers.values() if f"/{each.pid}/" in holder), None)
