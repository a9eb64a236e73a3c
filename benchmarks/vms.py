"""How many VM requests a second become durable, reserved and acknowledged claims?

The limit beside it, in the same run and interleaved: consume, commit, acknowledge in batches, with the same broker,
queue, prefetch, batch size and database (which syncs its log), and nothing decided. Both write for every request its
row of state, as it will be looked at, and the message to a receiver; claims write the claim, its line of history and
the use of its host besides.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import structlog
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

REQUESTS, HOSTS, ROUNDS, BATCH, PREFETCH = 12_000, 2_000, 5, 1_000, 2_000
SIZES = ((1, 2048), (2, 4096), (2, 8192), (4, 16_384))


def run() -> None:
    """Measure and publish."""
    import uvloop

    spare_the_collector()
    sys.setswitchinterval(TURN_S)

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with (
        tempfile.TemporaryDirectory() as folder,
        running_broker(Path(folder)) as broker,
        running_postgres(durable=True) as server,
    ):
        rounds = []
        for _ in range(ROUNDS):
            raw = uvloop.run(measure(broker.url, server.database(), raw_consumer))
            placed = uvloop.run(measure(broker.url, server.database(), worker))
            rounds.append((raw, placed))
    rows: list[Row] = []
    for name, which in (("consume, commit, acknowledge", 0), ("claims", 1)):
        rates = sorted(REQUESTS / each[which][0] for each in rounds)
        cpu = sorted(each[which][1] * 1e6 / REQUESTS for each in rounds)
        rows.append(
            {
                "what": name,
                "requests/s (median)": round(rates[ROUNDS // 2]),
                "least": round(rates[0]),
                "most": round(rates[-1]),
                "CPU us a request": round(cpu[ROUNDS // 2]),
            }
        )
    ratios = sorted(raw[0] / placed[0] for raw, placed in rounds)
    of_cpu = sorted(raw[1] / placed[1] for raw, placed in rounds)
    publish(
        "vms",
        f"VM requests on a quorum queue with PostgreSQL, {HOSTS:,} hosts, one process, batches of {BATCH}",
        rows,
        [
            f"claims / raw: {ratios[ROUNDS // 2]:.2f} (all: {', '.join(f'{each:.2f}' for each in ratios)}); bar 0.50",
            f"by CPU of the process: {of_cpu[ROUNDS // 2]:.2f}",
            "every request committed with its claim, history and host's use, then acknowledged; the checker passed",
        ],
    )


Consume = Callable[[Consumer, str, Writer], Awaitable[tuple[float, float]]]


async def measure(broker: str, database: str, consume: Consume) -> tuple[float, float]:
    """Fill a new queue, then drain it; return seconds on the wall and of CPU."""
    topology = Topology(queue=f"bench.{uuid4().hex[:8]}")
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
    engine = open_engine(database)
    migrate(engine, "vms")
    writer = Writer(engine)
    hosts = [Host(name=f"bm{i:04}", cpu=128, memory=524_288, max_vms=60) for i in range(HOSTS)]
    writer.run(lambda c: import_hosts(c, hosts, source="bench")).result()
    link = Link(broker, topology, confirms=False)
    consumer = Consumer(link, prefetch=PREFETCH)
    await link.open()
    try:
        return await consume(consumer, database, writer)
    finally:
        await link.close()
        writer.close()
        engine.dispose()


async def raw_consumer(consumer: Consumer, database: str, writer: Writer) -> tuple[float, float]:
    """State and message of each request, once, in one statement; a batch a transaction, one acknowledgement."""
    columns = {"task_id": "text", "digest": "text", "request": "text", "history": "text", "event_id": "text"}
    statement = (
        "WITH told AS MATERIALIZED (SELECT * FROM {rows}), state AS (INSERT INTO task_status (task_id, status,"
        " updated_at, digest, request, history, created_at, finished_at, processing_ms, event_id) "
        "SELECT task_id, 'success', 0, digest, request, history, 0, 0, 0, event_id FROM told "
        "ON CONFLICT (task_id) DO NOTHING) "
        "INSERT INTO vm_outbox (kind, event_id, receiver, task_id, payload, state, created_at, next_at) "
        "SELECT 'webhook', event_id, 'bench', task_id, request, 'pending', 0, 0 FROM told ON CONFLICT DO NOTHING"
    )
    history = "".join(f'{{"status":"{each}","at":1800000000.123456}}\n' for each in ("queued", "running", "success"))
    digest = "0" * 32
    done, wall, cpu = 0, time.perf_counter(), time.process_time()
    while done < REQUESTS:
        batch = await consumer.batch(BATCH, 0.002)
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
        done += len(batch)
    return time.perf_counter() - wall, time.process_time() - cpu


async def worker(consumer: Consumer, database: str, writer: Writer) -> tuple[float, float]:
    """The worker as it runs in production."""
    engine = open_engine(database)
    metrics = WorkerMetrics()
    placer = Placer(lambda _: named("hybrid"))
    placing = Worker("bench", consumer, engine, writer, placer, metrics, receivers=("bench",), batch=BATCH)
    running = asyncio.ensure_future(placing.run())
    while not placer.seq and not running.done():  # it learns the hosts once
        await asyncio.sleep(0.001)
    wall, cpu = time.perf_counter(), time.process_time()
    while sum(metrics.outcomes.values()) < REQUESTS and not running.done():
        await asyncio.sleep(0.005)
    took = time.perf_counter() - wall, time.process_time() - cpu
    await placing.stop()
    await running
    with reading(engine) as connection:
        verdict = verify(connection, settled=True)
        assert not verdict.problems, verdict.problems
        assert connection.execute(text("SELECT count(*) FROM vm_claims")).scalar_one() == REQUESTS
    engine.dispose()
    return took
