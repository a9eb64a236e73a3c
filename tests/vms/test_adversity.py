"""A disk that is full, a clock that jumps, an inventory in a database, an API that is asked nonsense."""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from sqlalchemy import event, text

from pilotage.adapters.sql.engine import open_engine
from pilotage.adapters.sql.migrate import migrate
from pilotage.adapters.sql.writer import Writer
from pilotage.app.vms.inventory import read_inventory
from pilotage.model.errors import InvalidInput, StorageDown
from tests.vms.cloud import Cloud, host, request, work_until
from tests.vms.test_face import HOSTS, WANTED, call, pilotage, working

if TYPE_CHECKING:
    from pathlib import Path


def finals(cloud: Cloud) -> int:
    query = text("SELECT count(*) FROM task_status WHERE status IN ('success', 'failed')")
    return int(cloud.read(lambda c: c.execute(query).scalar_one()))


@pytest.mark.asyncio
async def test_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    """SQLite may take no page more; when it may, everything goes on where it was."""
    database = open_engine(f"sqlite:///{tmp_path}/vms.sqlite3")
    limit = [2**30]

    @event.listens_for(database, "connect")
    def _limit(connection: Any, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {limit[0]}")

    migrate(database, "vms")
    writer = Writer(database, patience_s=0.5)
    cloud = Cloud(database, writer)
    cloud.bring_in(*(host(f"bm{i}", cpu=64, memory=65_536) for i in range(4)))
    cloud.submit(*(request(f"vm{i}", requested_cpu=1, requested_memory=64) for i in range(200)))
    # full to the last page: what is there can be read, and nothing can be written
    limit[0] = cloud.read(lambda c: int(c.execute(text("PRAGMA page_count")).scalar_one()))
    writer.close()
    database.dispose()
    writer = Writer(database, patience_s=0.5)
    cloud = Cloud(database, writer)
    with pytest.raises(StorageDown, match="disk is full"):
        cloud.submit(*(request(f"more{i}", owner="x" * 250) for i in range(200)))

    began = time.monotonic()

    def done() -> bool:
        if time.monotonic() - began > 2 and limit[0] < 2**30:
            assert finals(cloud) < 200, "the disk was meant to be full"
            limit[0] = 2**30
            database.dispose()
        return finals(cloud) == 200

    await work_until([cloud.worker()[0]], done)
    assert cloud.verdict(settled=True, expected=[f"vm{i}" for i in range(200)]).problems == []
    writer.close()
    database.dispose()


@pytest.mark.asyncio
async def test_clocks_that_jump_and_disagree_lose_nothing(cloud: Cloud) -> None:
    cloud.bring_in(*(host(f"bm{i}", cpu=32, memory=65_536) for i in range(6)))
    wanted = [request(f"vm{i}", requested_cpu=1, requested_memory=64, reservation_s=5) for i in range(150)]
    cloud.submit(*wanted)
    luck = random.Random(7)

    def clock() -> float:
        return time.time() + luck.uniform(-3600, 3600)

    workers = [cloud.worker(f"w{i}", batch=10, clock=clock)[0] for i in range(2)]
    await work_until(workers, lambda: finals(cloud) == 150)
    verdict = cloud.verdict(settled=True, expected=[each.task_id for each in wanted])
    assert verdict.problems == []
    taken = text("SELECT min(processing_ms) FROM task_status")
    assert cloud.read(lambda c: c.execute(taken).scalar_one()) >= 0


@pytest.mark.asyncio
async def test_an_inventory_in_a_database(url: str) -> None:
    database = open_engine(url)
    with database.begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE hosts (name TEXT, cpu INTEGER, memory BIGINT, pool TEXT, dedicated BOOLEAN, traits TEXT,"
                " usage_cpu FLOAT, rack TEXT, vms TEXT)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO hosts VALUES ('bm1', 16, 32768, 'default', false, 'ssd, nvme', 0.3, 'r1', NULL),"
                " ('bm2', 32, 65536, 'gpu', true, NULL, NULL, NULL, 'vm-1 vm-2')"
            )
        )
    first, second = await read_inventory(url)
    assert (first.name, first.cpu, first.memory, first.traits, first.usage_cpu) == (
        "bm1",
        16,
        32_768,
        ("ssd", "nvme"),
        0.3,
    )
    assert (second.pool, second.dedicated, second.vms, first.vms) == ("gpu", True, ("vm-1", "vm-2"), None)
    some = await read_inventory(f"{url}#SELECT name, cpu * 2 AS cpu, memory FROM hosts WHERE pool = 'gpu'")
    assert [(each.name, each.cpu, each.pool) for each in some] == [("bm2", 64, "default")]
    for query, told in (
        ("SELECT nothing FROM hosts", "nothing"),
        ("SELECT name, cpu FROM hosts", "bm1: .*memory"),
        ("SELECT name, -1 AS cpu, memory FROM hosts", "bm1: .*cpu"),
        ("SELECT *, 1 AS colour FROM hosts", "colour"),
    ):
        with pytest.raises(InvalidInput, match=told):
            await read_inventory(f"{url}#{query}")
    with pytest.raises(InvalidInput, match=r"read.?only"):
        await read_inventory(f"{url}#DELETE FROM hosts RETURNING name, cpu, memory")
    assert len(await read_inventory(url)) == 2
    database.dispose()


CASES = 8 if os.environ.get("HYPOTHESIS_PROFILE") != "thorough" else 200


def test_no_request_of_the_description_breaks_the_api(tmp_path: Path) -> None:
    """Every operation with values made from the OpenAPI document, sensible and not: an answer, never a 500."""
    (tmp_path / "hosts.yaml").write_text(HOSTS)
    pilotage(tmp_path, "nodes", "import", "hosts.yaml")
    with working(tmp_path) as url:
        assert call(f"{url}/schedule", {**WANTED, "task_id": "vm-1"})[0] == 202
        asked: dict[int, int] = {}
        document = schemathesis.openapi.from_url(f"{url}/openapi.json")
        for operation in (each.ok() for each in document.get_all_operations()):

            @given(case=operation.as_strategy())
            @settings(
                max_examples=CASES, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
            )
            def ask(case: Any) -> None:
                status = case.call(timeout=20).status_code
                asked[status] = asked.get(status, 0) + 1
                assert status < 500, case.as_curl_command()

            ask()
        assert sum(asked.values()) > 80
        assert any(status < 300 for status in asked)
        assert any(400 <= status < 500 for status in asked)
        for body in (b"", b"{", b"null", b"[]", b"\xff", b'{"task_id": "a\\u0000b"}', b"[" * 2000, b"9" * 5000):
            for route in ("schedule", "tasks", "claims/vm-1.1/confirm", "claims/vm-1.1/renew", "tasks/vm-1/cancel"):
                assert call(f"{url}/{route}", body)[0] < 500, (route, body)
    assert pilotage(tmp_path, "verify").returncode == 0
