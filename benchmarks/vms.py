"""How many VM requests a second become durable, reserved and acknowledged claims?

The limit beside it, in the same run and interleaved: consume, commit, acknowledge in batches, with the same broker,
queue, prefetch, batch size and database (which syncs its log), and nothing decided. Both write for every request its
row of state, as it will be looked at, and the message to a receiver; claims write the claim, its line of history and
the use of its host besides. Both with one process and with two that share the queue.
"""

import asyncio
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any
from uuid import uuid4

import structlog
from msgspec import Struct
from sqlalchemy import text

from benchmarks.report import Row, publish
from pilotage.adapters.rabbitmq.consumer import Consumer
from pilotage.adapters.rabbitmq.link import Link
from pilotage.adapters.rabbitmq.publisher import Publisher
from pilotage.adapters.rabbitmq.topology import Topology
from pilotage.adapters.sql.engine import open_engine, reading
from pilotage.adapters.sql.migrate import migrate
from pilotage.adapters.sql.vms.inventory import import_hosts
from pilotage.adapters.sql.vms.rows import run_rows
from pilotage.adapters.sql.vms.verify import verify
from pilotage.adapters.sql.writer import Writer
from pilotage.app.allocator import spare_the_collector
from pilotage.app.vms.metrics import WorkerMetrics
from pilotage.app.vms.role import TURN_S
from pilotage.app.vms.worker import Worker
from pilotage.engine.placer import Placer
from pilotage.engine.request_queue import Message
from pilotage.kernel.policies import named
from pilotage.model.host import Host
from pilotage.model.vm import SchedulingRequest, encode_request
from tests.integration.postgres import running_postgres
from tests.integration.rabbitmq import running_broker

REQUESTS, HOSTS, ROUNDS, BATCH, PREFETCH = 12_000, 2_000, 11, 1_000, 2_000
SIZES = ((1, 2048), (2, 4096), (2, 8192), (4, 16_384))
ARMS = tuple((kind, processes) for processes in (1, 2) for kind in ("raw", "claims"))
NAMES = {"raw": "consume, commit, acknowledge", "claims": "claims"}


class Measured(Struct):
    """Seconds on the wall until all was committed, of CPU in all processes, and claims that were decided again."""

    wall: float
    cpu: float
    refused: int


class Told(Struct):
    """What the processes of one measurement share: counts, and when to begin and end."""

    done: Any
    ready: Any
    go: Event
    stop: Event
    results: Any


def run() -> None:
    """Measure and publish."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with (
        tempfile.TemporaryDirectory() as folder,
        running_broker(Path(folder)) as broker,
        running_postgres(durable=True) as server,
    ):
        rounds = [{arm: measure(broker.url, server.database(), *arm) for arm in ARMS} for _ in range(ROUNDS)]
    rows: list[Row] = []
    for kind, processes in ARMS:
        all_of = [each[kind, processes] for each in rounds]
        rates = sorted(REQUESTS / each.wall for each in all_of)
        cpu = sorted(each.cpu * 1e6 / REQUESTS for each in all_of)
        refused = sorted(each.refused for each in all_of)
        rows.append(
            {
                "what": NAMES[kind],
                "processes": processes,
                "requests/s (median)": round(rates[ROUNDS // 2]),
                "least": round(rates[0]),
                "most": round(rates[-1]),
                "CPU us a request": round(cpu[ROUNDS // 2]),
                "decided again": refused[ROUNDS // 2],
            }
        )
    notes = []
    for processes in (1, 2):
        pairs = [(each["raw", processes], each["claims", processes]) for each in rounds]
        ratios = sorted(raw.wall / claims.wall for raw, claims in pairs)
        of_cpu = sorted(raw.cpu / claims.cpu for raw, claims in pairs)
        told = ", ".join(f"{each:.2f}" for each in ratios)
        notes.append(
            f"claims / raw, {processes} against {processes} processes: {ratios[ROUNDS // 2]:.2f} (all: {told}); "
            f"by their CPU {of_cpu[ROUNDS // 2]:.2f}; bar 0.50"
        )
    publish(
        "vms",
        f"VM requests on a quorum queue with PostgreSQL, {HOSTS:,} hosts, batches of {BATCH}",
        rows,
        [
            *notes,
            "every request committed with its claim, history and host's use, then acknowledged; the checker passed",
        ],
    )


def measure(broker: str, database: str, kind: str, processes: int) -> Measured:
    """Fill a new queue, then let processes of a kind drain it."""
    topology = Topology(queue=f"bench.{uuid4().hex[:8]}")
    asyncio.run(_fill(broker, topology))
    engine = open_engine(database)
    migrate(engine, "vms")
    hosts = [Host(name=f"bm{i:04}", cpu=128, memory=524_288, max_vms=60) for i in range(HOSTS)]
    with engine.begin() as connection:
        import_hosts(connection, hosts, source="bench")
    context = multiprocessing.get_context("spawn")
    shared = Told(context.Value("q"), context.Semaphore(0), context.Event(), context.Event(), context.Queue())
    started = [
        context.Process(target=consume, args=(broker, topology, database, kind, number, shared))
        for number in range(processes)
    ]
    for each in started:
        each.start()
    for _ in started:
        assert shared.ready.acquire(timeout=60)
    shared.go.set()
    wall = time.perf_counter()
    while shared.done.value < REQUESTS and all(each.is_alive() for each in started):
        time.sleep(0.005)
    wall = time.perf_counter() - wall
    shared.stop.set()
    results = [shared.results.get(timeout=60) for _ in started]
    for each in started:
        each.join()
    if kind == "claims":
        with reading(engine) as connection:
            verdict = verify(connection, settled=True)
            assert not verdict.problems, verdict.problems
            assert connection.execute(text("SELECT count(*) FROM vm_claims")).scalar_one() == REQUESTS
    engine.dispose()
    return Measured(wall, sum(cpu for cpu, _ in results), sum(refused for _, refused in results))


async def _fill(broker: str, topology: Topology) -> None:
    link = Link(broker, topology, confirms=True)
    await link.open()
    bodies = [
        SchedulingRequest(
            requested_cpu=SIZES[i % 4][0], requested_memory=SIZES[i % 4][1], requested_pool="default", task_id=f"vm-{i}"
        )
        for i in range(REQUESTS)
    ]
    for start in range(0, REQUESTS, 1000):
        part = [Message(each.task_id, encode_request(each)) for each in bodies[start : start + 1000]]
        assert not any(await Publisher(link).publish_all(part))
    await link.close()


def consume(broker: str, topology: Topology, database: str, kind: str, number: int, shared: Told) -> None:
    """One process: make ready, wait for the start, work until told to stop."""
    import uvloop

    spare_the_collector()
    sys.setswitchinterval(TURN_S)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    uvloop.run(_consume(broker, topology, database, KINDS[kind], number, shared))


async def _consume(broker: str, topology: Topology, database: str, work: "Work", number: int, shared: Told) -> None:
    link = Link(broker, topology, confirms=False)
    consumer = Consumer(link, prefetch=PREFETCH)
    engine = open_engine(database)
    writer = Writer(engine)

    async def begin() -> float:
        """Say that all is ready, and connect with the others: the CPU used until then does not count."""
        shared.ready.release()
        await asyncio.to_thread(shared.go.wait)
        cpu = time.process_time()
        await link.open()
        return cpu

    shared.results.put(await work(consumer, database, writer, number, shared, begin))
    await link.close()
    writer.close()
    engine.dispose()


Begin = Callable[[], Awaitable[float]]
Work = Callable[[Consumer, str, Writer, int, Told, Begin], Awaitable[tuple[float, int]]]


async def _stopped(shared: Told) -> None:
    while not shared.stop.is_set():
        await asyncio.sleep(0.005)


async def raw_consumer(
    consumer: Consumer, database: str, writer: Writer, number: int, shared: Told, begin: Begin
) -> tuple[float, int]:
    """State and message of each request, once, in one statement; a batch a transaction, one acknowledgement."""
    columns = {"task_id": "text", "digest": "text", "request": "text", "history": "text", "event_id": "text"}
    statement = (
        "WITH told AS MATERIALIZED (SELECT * FROM {rows}), state AS (INSERT INTO task_status (task_id, status,"
        " updated_at, digest, request, history, created_at, finished_at, processing_ms, event_id) "
        "SELECT task_id, 'success', 0, digest, request, history, 0, 0, 0, event_id FROM told "
        "ON CONFLICT (task_id) DO NOTHING) "
        "INSERT INTO vm_outbox (kind, event_id, receiver, task_id, state, created_at, next_at) "
        "SELECT 'webhook', event_id, 'bench', task_id, 'pending', 0, 0 FROM told ON CONFLICT DO NOTHING"
    )
    history = "".join(f'{{"status":"{each}","at":1800000000.123456}}\n' for each in ("queued", "running", "success"))
    digest = "0" * 32

    async def work() -> None:
        while batch := await consumer.batch(BATCH, 0.002):
            rows = [
                {
                    "task_id": each.message_id,
                    "digest": digest,
                    "request": each.body.decode(),
                    "history": history,
                    "event_id": f"evt_{each.message_id:0>24}",
                }
                for each in batch
            ]
            await asyncio.wrap_future(writer.run(lambda c, r=rows: run_rows(c, statement, columns, r).rowcount))  # type: ignore[misc]
            await consumer.settle(batch)
            with shared.done.get_lock():
                shared.done.value += len(batch)

    await asyncio.wrap_future(writer.run(lambda _: None))  # connected before the start, as a worker is
    cpu = await begin()
    working = asyncio.ensure_future(work())
    await _stopped(shared)
    cpu = time.process_time() - cpu
    await consumer.stop()
    await working
    return cpu, 0


async def worker(
    consumer: Consumer, database: str, writer: Writer, number: int, shared: Told, begin: Begin
) -> tuple[float, int]:
    """The worker as it runs in production."""
    engine = open_engine(database)
    metrics = WorkerMetrics()
    placer = Placer(lambda _: named("hybrid"), seed=number)
    counted = 0

    def settled() -> None:
        nonlocal counted
        ended = metrics.outcomes["success"]
        with shared.done.get_lock():
            shared.done.value += ended - counted
        counted = ended

    placing = Worker(
        f"bench{number}",
        consumer,
        engine,
        writer,
        placer,
        metrics,
        receivers=("bench",),
        batch=BATCH,
        on_settled=settled,
    )
    running = asyncio.ensure_future(placing.run())
    while not placer.seq and not running.done():  # it learns the hosts once
        await asyncio.sleep(0.001)
    cpu = await begin()
    await _stopped(shared)
    cpu = time.process_time() - cpu
    await placing.stop()
    await running
    engine.dispose()
    return cpu, metrics.outcomes["refused"] + metrics.outcomes["stale"]


KINDS: dict[str, Work] = {"raw": raw_consumer, "claims": worker}
