"""Workers end to end on a real database: the queue of the database stands in for the broker."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from pilotage.engine.placer import Placer
from pilotage.engine.request_queue import Delivery
from pilotage.kernel.policies import named
from pilotage.model.claim import Change
from pilotage.model.group import Group
from pilotage.model.vm import SchedulingRequest, encode_request
from tests.vms.cloud import Cloud, host, request, work_until

if TYPE_CHECKING:
    from collections.abc import Callable


def ends(cloud: Cloud) -> dict[str, int]:
    query = text("SELECT status, count(*) FROM task_status GROUP BY status")
    rows = cloud.read(lambda c: [tuple(row) for row in c.execute(query)])
    return dict(rows)


@pytest.mark.asyncio
async def test_two_workers_place_everything_once_and_over_commit_nothing(cloud: Cloud) -> None:
    cloud.bring_in(*(host(f"bm{i}", cpu=16, max_vms=6, rack=f"r{i % 3}") for i in range(12)))
    spread = Group(name="db", rule="anti-affinity", scope="rack")
    wanted = [request(f"vm{i}", requested_cpu=1 + i % 5, group=spread if i % 40 == 0 else None) for i in range(120)]
    cloud.submit(*wanted)
    workers = [cloud.worker(f"w{i}", batch=10)[0] for i in range(2)]

    await work_until(workers, lambda: ends(cloud).get("queued", 0) + ends(cloud).get("running", 0) == 0)

    verdict = cloud.verdict(settled=True, expected=[each.task_id for each in wanted])
    assert verdict.problems == []
    assert verdict.tasks == 120
    full = cloud.status("vm119")
    assert ends(cloud)["failed"] > 0, "the load was meant to be too much"
    assert sum(ends(cloud).values()) == 120
    failed = next(s for s in (cloud.status(each.task_id) for each in wanted) if s["status"] == "failed")
    assert failed["error_class"] == "unsatisfiable_now"
    assert "has room now" in failed["error"]
    assert full["history"][0]["status"] == "queued"


@pytest.mark.asyncio
async def test_what_fails_while_committing_ends_the_worker_and_does_not_hang_it(cloud: Cloud) -> None:
    def fail() -> None:
        raise RuntimeError("nobody thought of it")

    cloud.bring_in(host("bm1"))
    cloud.submit(*(request(f"vm{i}") for i in range(3)))
    worker = cloud.worker(batch=1, on_settled=fail)[0]
    run = asyncio.ensure_future(worker.run())
    ended, _ = await asyncio.wait((run,), timeout=20)
    run.cancel()
    assert ended
    with pytest.raises(RuntimeError, match="nobody thought of it"):
        run.result()


@pytest.mark.asyncio
async def test_what_can_never_fit_is_told_apart(cloud: Cloud) -> None:
    cloud.bring_in(host("bm1", traits=("ssd",)), host("bm2", dedicated=True, cpu=64))
    never = {
        "pool": request("pool", requested_pool="gpu"),
        "cpu": request("cpu", requested_cpu=9),
        "trait": request("trait", traits_required=("gpu",)),
        "forbidden": request("forbidden", traits_forbidden=("ssd",)),
    }
    cloud.submit(*never.values(), request("now", requested_memory=16_384), request("later", requested_memory=16_384))
    await work_until([cloud.worker()[0]], lambda: ends(cloud).get("queued", 0) == 0)
    assert {name: cloud.status(name)["error_class"] for name in never} == dict.fromkeys(never, "unsatisfiable_ever")
    assert cloud.status("pool")["error"] == "requested_pool: no host is in pool 'gpu'; known: default"
    assert sorted(str(cloud.status(name)["error_class"]) for name in ("now", "later")) == ["None", "unsatisfiable_now"]
    assert cloud.verdict(settled=True).problems == []


@pytest.mark.asyncio
async def test_a_bad_message_becomes_a_letter_and_a_failed_task(cloud: Cloud) -> None:
    cloud.bring_in(host())
    bodies = {
        "negative": b'{"task_id": "negative", "requested_cpu": -1, "requested_memory": 1, "requested_pool": "default"}',
        "m2": b"not json",
    }
    rows = [{"id": name, "body": body} for name, body in bodies.items()]
    cloud.run(lambda c: c.execute(text("INSERT INTO vm_queue (message_id, body) VALUES (:id, :body)"), rows).rowcount)
    cloud.submit(request("good"))
    await work_until([cloud.worker()[0]], lambda: ends(cloud).get("queued", 0) == 0 and sum(ends(cloud).values()) == 3)
    assert cloud.status("good")["status"] == "success"
    assert cloud.status("negative")["error"] == "requested_cpu: must be `int` >= 1"
    assert cloud.status("m2")["error_class"] == "malformed"
    letters = cloud.read(lambda c: c.execute(text("SELECT field FROM vm_dead_letters ORDER BY field")).scalars().all())
    assert letters == ["body", "requested_cpu"]
    assert cloud.verdict(settled=True).problems == []


class ThreeAtATime:
    """A queue that hands out three at most, and notes how many are settled at once; ``begun`` is called first."""

    def __init__(self, *requests: SchedulingRequest, begun: Callable[[], object]) -> None:
        self._begun = begun
        self.left = [Delivery(0, i, encode_request(each), each.task_id) for i, each in enumerate(requests)]
        self.settled: list[int] = []
        self._asked: list[int] = []
        self._stopped = asyncio.Event()

    async def batch(self, at_most: int, linger_s: float) -> list[Delivery]:
        if not self._asked:
            self._begun()
        self._asked.append(at_most)
        if not self.left:
            await self._stopped.wait()
        part, self.left = self.left[: min(3, at_most)], self.left[min(3, at_most) :]
        return part

    async def settle(self, deliveries: list[Delivery]) -> None:
        self.settled.append(len(deliveries))

    async def give_back(self, deliveries: list[Delivery]) -> None:
        raise AssertionError("nothing fails here")

    async def stop(self) -> None:
        self._stopped.set()


@pytest.mark.asyncio
async def test_a_batch_grows_part_by_part_while_another_is_committed(cloud: Cloud) -> None:
    cloud.bring_in(host("bm1", cpu=64, memory=65_536))
    go_on = threading.Event()
    queue = ThreeAtATime(
        *(request(f"vm{i}") for i in range(30)), begun=lambda: cloud.writer.run(lambda _: go_on.wait(30))
    )
    worker, metrics = cloud.worker(queue=queue, batch=10)
    running = asyncio.ensure_future(work_until([worker], lambda: metrics.outcomes["success"] == 30))
    while len(queue.left) > 17:  # three are being committed, ten are decided
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert len(queue.left) == 17, "what there is no room for is not asked for"
    go_on.set()
    await running
    assert queue.settled[1] > 3
    assert max(queue.settled) <= 10
    assert sum(queue.settled) == 30
    assert cloud.verdict(settled=True).problems == []


@pytest.mark.asyncio
async def test_what_comes_again_after_it_was_placed_is_done(cloud: Cloud) -> None:
    cloud.bring_in(host())
    cloud.submit(request("t1"))
    worker, metrics = cloud.worker()
    again = [
        {"id": "t1", "body": encode_request(request("t1"))},
        {"id": "t1", "body": encode_request(request("t1", dedicated=True))},
    ]

    def done() -> bool:
        if metrics.outcomes["success"] == 1 and again:
            rows = [again.pop(0)]
            cloud.run(
                lambda c: c.execute(text("INSERT INTO vm_queue (message_id, body) VALUES (:id, :body)"), rows).rowcount
            )
        return metrics.outcomes["duplicate"] == 1 and metrics.outcomes["conflict"] == 1

    await work_until([worker], done)
    assert cloud.used()["vms"] == 1
    assert cloud.verdict(settled=True).problems == []


def test_history_is_known_only_with_the_rows_that_it_names() -> None:
    """A rejection that was decided in between must not count as one on the newest knowledge."""
    placer = Placer(lambda _: named("hybrid"))
    placer.seq = 3
    line = {"worker": "", "pool": "", "claim_id": "", "task_id": "", "group_rule": "", "place": ""}
    amounts = {"cpu": 0, "memory": 0, "storage": 0, "gpu": 0, "vms": 0}
    assert placer.follow([Change(seq=4, kind="host", host="bm1", **line, **amounts)]) == {"bm1"}
    assert placer.seq == 3
