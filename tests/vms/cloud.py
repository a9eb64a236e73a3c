"""A database with hosts in it, and short ways to do what workers and operators do."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pilotage.adapters.sql.engine import reading
from pilotage.adapters.sql.vms.claims import commit
from pilotage.adapters.sql.vms.hosts import read_hosts
from pilotage.adapters.sql.vms.inventory import Imported, import_hosts
from pilotage.adapters.sql.vms.queue import SqlQueue
from pilotage.adapters.sql.vms.requests import status_of, submit
from pilotage.adapters.sql.vms.verify import Verdict, verify
from pilotage.adapters.sql.writer import Writer
from pilotage.app.vms.metrics import WorkerMetrics
from pilotage.app.vms.worker import Worker
from pilotage.engine.placer import Placer
from pilotage.kernel.policies import named
from pilotage.model.claim import Batch, Committed, Decided, Letter
from pilotage.model.host import Host
from pilotage.model.vm import SchedulingRequest, encode_request

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Engine

    from pilotage.engine.request_queue import RequestQueue

T = TypeVar("T")


def host(name: str = "bm1", **fields: Any) -> Host:
    return Host(**{"name": name, "cpu": 8, "memory": 16_384, **fields})


def request(task_id: str = "t1", **fields: Any) -> SchedulingRequest:
    wanted = {"requested_cpu": 2, "requested_memory": 1024, "requested_pool": "default", **fields}
    return SchedulingRequest(task_id=task_id, **wanted)


def decided(wanted: SchedulingRequest, on: str = "", **fields: Any) -> Decided:
    """A request as a worker would hand it in: placed on a host, or failed."""
    return Decided(
        **{
            "task_id": wanted.task_id,
            "digest": wanted.digest,
            "request": encode_request(wanted).decode(),
            "received_at": 1e9,
            "decided_at": 1e9,
            "pool": wanted.requested_pool,
            "cpu": wanted.requested_cpu,
            "memory": wanted.requested_memory,
            "storage": wanted.requested_storage,
            "gpu": wanted.requested_gpu,
            "host": on,
            **fields,
        }
    )


@dataclass
class Cloud:
    database: Engine
    writer: Writer

    def run(self, work: Callable[[Connection], T]) -> T:
        return self.writer.run(work).result(30)

    def read(self, query: Callable[..., T], *arguments: Any, **options: Any) -> T:
        with reading(self.database) as connection:
            return query(connection, *arguments, **options)

    def bring_in(self, *hosts: Host, **options: Any) -> Imported:
        return self.run(lambda c: import_hosts(c, hosts, **{"source": "test", **options}))

    def commit(self, *batch: Decided, letters: Sequence[Letter] = (), **fields: Any) -> Committed:
        options = {"worker": "w", "now": 1e9, "known": 0, "read": 0, **fields}
        return self.run(lambda c: commit(c, Batch(decided=list(batch), letters=list(letters), **options)))

    def submit(self, *requests: SchedulingRequest) -> list[Any]:
        return self.run(lambda c: submit(c, requests, time.time(), through_broker=False))

    def used(self, name: str = "bm1") -> dict[str, int]:
        return self.read(read_hosts, [name])[name].used

    def status(self, task_id: str) -> dict[str, Any]:
        return self.read(status_of, task_id)

    def verdict(self, **options: Any) -> Verdict:
        return self.read(verify, **options)

    def worker(
        self, name: str = "w0", strategy: str = "hybrid", queue: RequestQueue | None = None, **options: Any
    ) -> tuple[Worker, WorkerMetrics]:
        metrics = WorkerMetrics()
        queue = queue or SqlQueue(self.writer, name, poll_s=0.01)
        placer = Placer(lambda pool: named(strategy), seed=sum(name.encode()))
        return Worker(name, queue, self.database, self.writer, placer, metrics, idle_s=0.05, **options), metrics


async def work_until(workers: Sequence[Worker], done: Callable[[], bool], within_s: float = 30) -> None:
    """Run workers until ``done`` says so, then stop them; what they raise is raised."""
    runs = [asyncio.ensure_future(worker.run()) for worker in workers]
    try:
        async with asyncio.timeout(within_s):
            while not done():
                for run in runs:
                    if run.done():
                        run.result()
                await asyncio.sleep(0.02)
    finally:
        for worker in workers:
            await worker.stop()
        await asyncio.wait_for(asyncio.gather(*runs), 30)
