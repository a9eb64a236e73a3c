"""How many VM requests a second become durable, reserved and acknowledged claims?

The limit beside it, in the same run and interleaved: consume, commit one row per request in batches, acknowledge, with
the same broker, queue, prefetch, batch size and database, and no deciding.
"""

import asyncio
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
from pilotage.app.vms.worker import Worker
from pilotage.engine.placer import Placer
from pilotage.engine.request_queue import Message
from pilotage.kernel.policies import named
from pilotage.model.host import Host
from pilotage.model.vm import SchedulingRequest, encode_request
from tests.integration.postgres import running_postgres
from tests.integration.rabbitmq import running_broker

REQUESTS, HOSTS, ROUNDS, BATCH, PREFETCH = 8_000, 2_000, 3, 500, 1_500
SIZES = ((1, 2048), (2, 4096), (2, 8192), (4, 16_384))


def run() -> None:
    """Measure and publish."""
    import uvloop

    spare_the_collector()

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory() as folder, running_broker(Path(folder)) as broker, running_postgres() as server:
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
    """One row per request, a batch a transaction, one acknowledgement: nothing is decided."""
    columns = {"id": "text", "body": "text"}
    statement = (
        "INSERT INTO vm_outbox (kind, event_id, receiver, task_id, payload, state, created_at, next_at) "
        "SELECT 'raw', id, '', id, body, 'done', 0, 0 FROM {rows} WHERE true ON CONFLICT DO NOTHING"
    )
    done, wall, cpu = 0, time.perf_counter(), time.process_time()
    while done < REQUESTS:
        batch = await consumer.batch(BATCH, 0.002)
        rows = [{"id": each.message_id, "body": each.body.decode()} for each in batch]
        await asyncio.wrap_future(writer.run(lambda c, r=rows: run_rows(c, statement, columns, r).rowcount))  # type: ignore[misc]
        await consumer.settle(batch)
        done += len(batch)
    return time.perf_counter() - wall, time.process_time() - cpu


async def worker(consumer: Consumer, database: str, writer: Writer) -> tuple[float, float]:
    """The worker as it runs in production."""
    engine = open_engine(database)
    metrics = WorkerMetrics()
    placing = Worker(
        "bench", consumer, engine, writer, Placer(lambda _: named("hybrid")), metrics, batch=BATCH, linger_s=0.002
    )
    wall, cpu = time.perf_counter(), time.process_time()
    running = asyncio.ensure_future(placing.run())
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
