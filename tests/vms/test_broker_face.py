"""The face over a real RabbitMQ: submitting, parking what names no task, and strategies that change meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import TYPE_CHECKING, Any

import aiormq
import pytest
from pamqp.commands import Basic

from tests.integration.rabbitmq import Broker, running_broker
from tests.vms.test_face import WANTED, call, pilotage, working

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOSTS = "hosts:\n" + "".join(f"  - {{name: bm{i:02}, cpu: 32, memory: 65536}}\n" for i in range(4))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running_broker(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture
def folder(tmp_path: Path, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RABBITMQ_URL", broker.url)
    monkeypatch.setenv("PILOTAGE_VMS_QUEUE", f"task.{tmp_path.name}")
    (tmp_path / "hosts.yaml").write_text(HOSTS)
    assert pilotage(tmp_path, "nodes", "import", "hosts.yaml").stdout == "4 added\n"
    return tmp_path


class Nameless(Basic.Properties):
    """The library gives every message an id; other publishers do not."""

    message_id = property(lambda _: None, lambda *_: None)


def publish(url: str, queue: str, *messages: tuple[bytes, str | None]) -> None:
    """As any program would: to the default exchange, with an id or without."""

    async def send() -> None:
        connection = await aiormq.connect(url)
        channel = await connection.channel()
        for body, message_id in messages:
            properties = Basic.Properties(message_id=message_id) if message_id else Nameless()
            await channel.basic_publish(body, routing_key=queue, properties=properties)
        await connection.close()

    asyncio.run(send())


def parked(url: str, queue: str) -> list[tuple[int, dict[str, Any]]]:
    """Length and headers of what is in the parking queue; it stays there."""

    async def look() -> list[tuple[int, dict[str, Any]]]:
        connection = await aiormq.connect(url)
        channel = await connection.channel()
        found = []
        while (message := await channel.basic_get(f"{queue}.parked")).body:
            found.append((len(message.body), dict(message.header.properties.headers or {})))
        await connection.close()
        return found

    return asyncio.run(look())


def test_requests_go_through_the_broker(folder: Path, broker: Broker) -> None:
    lines = "\n".join(json.dumps({**WANTED, "task_id": f"vm-{i}"}) for i in range(30))
    with working(folder):
        done = pilotage(folder, "submit", "-", "--wait", "--json", stdin=lines)
        assert [json.loads(line)["status"] for line in done.stdout.splitlines()] == ["success"] * 30, done.stderr
        publish(broker.url, os.environ["PILOTAGE_VMS_QUEUE"], (json.dumps(WANTED).encode(), "foreign"))
        told = pilotage(folder, "submit", "--cpu", "1", "--memory", "64", "--task-id", "last", "--wait")
        assert told.stdout.startswith("last  success"), told.stderr
    assert pilotage(folder, "verify", "--settled").returncode == 0


def test_requests_are_accepted_before_a_worker_is_there(folder: Path) -> None:
    assert pilotage(folder, "submit", "--cpu", "1", "--memory", "64", "--task-id", "early").stdout == "early  queued\n"
    with working(folder) as url:
        assert ended(url, "early")["status"] == "success"


def test_what_names_no_task_is_parked_with_its_reason(folder: Path, broker: Broker) -> None:
    queue = os.environ["PILOTAGE_VMS_QUEUE"]
    with working(folder) as url:
        nameless = json.dumps(WANTED).encode()
        publish(broker.url, queue, (b"\xff\x00 no json", None), (nameless, None), (b"x" * 10_000_000, None))
        publish(broker.url, queue, (b'{"requested_cpu": -1}', "named"))
        for _ in range(400):
            letters = call(f"{url}/deadletters")[1]["dead_letters"]
            if len(letters) == 4 and call(f"{url}/status/named")[0] == 200:
                break
            time.sleep(0.05)
        assert call(f"{url}/status/named")[1]["error_class"] == "malformed"
        listed = pilotage(folder, "deadletter", "list").stdout
        assert "malformed  -  task_id: is missing: give it in the body, or as the message's id" in listed
        assert "malformed  -  body: has 10,000,000 bytes; 65,536 are allowed" in listed
        assert "malformed  -  body: is not JSON" in listed
    there = parked(broker.url, queue)
    assert sorted(length for length, _ in there) == [10, len(nameless), 10_000_000], "whole, and not the one with an id"
    assert {headers["x-field"] for _, headers in there} == {"body", "task_id"}
    assert all(headers["x-reason"] for _, headers in there)
    assert pilotage(folder, "verify", "--settled").returncode == 0


def hosts_of(url: str, *names: str) -> set[str]:
    """Where VMs that are asked for one after the other land."""
    landed = set()
    for name in names:
        assert call(f"{url}/schedule", {**WANTED, "task_id": name, "requested_cpu": 1})[0] == 202
        landed.add(ended(url, name)["selected_node"])
    return landed


def ended(url: str, name: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while (told := call(f"{url}/status/{name}")[1]).get("status") not in ("success", "failed"):
        assert time.monotonic() < deadline, told
        time.sleep(0.05)
    return dict(told)


def test_the_environment_names_the_strategy_at_the_start(folder: Path) -> None:
    with working(folder, SCHEDULING_STRATEGY="binpack") as url:
        assert len(hosts_of(url, "a", "b", "c")) == 1
    with working(folder, SCHEDULING_STRATEGY="spread") as url:  # a new process, as when a deployment is rolled
        assert len(hosts_of(url, "d", "e", "f")) == 3


def mounted(folder: Path, version: int, text: str) -> None:
    """What the kubelet does with a ConfigMap: a new folder, and a link that is swapped."""
    data = folder / f"..{version}"
    data.mkdir()
    (data / "strategy").write_text(text)
    link = folder / "..new"
    link.symlink_to(data.name)
    link.rename(folder / "..data")
    if not (folder / "strategy").is_symlink():
        (folder / "strategy").symlink_to("..data/strategy")


@pytest.mark.parametrize("form", ["file", "environment file", "ConfigMap"])
def test_running_workers_switch_strategy(folder: Path, form: str) -> None:
    file = folder / "watched" / "strategy"
    file.parent.mkdir()

    def say(version: int, text: str) -> None:
        if form == "ConfigMap":
            mounted(file.parent, version, text)
        else:
            told = f"export RABBITMQ_URL=x\nSCHEDULING_STRATEGY='{text}'\n" if form == "environment file" else text
            file.write_text(told)

    say(1, "binpack")
    log = folder / "log"
    with working(folder, "--strategy-file", str(file)) as url:
        assert len(hosts_of(url, "a", "b", "c")) == 1
        say(2, "nonsense")
        _until(log, "put off")
        assert len(hosts_of(url, "d", "e")) == 1, "what can not be read changes nothing"
        say(3, "spread")
        _until(log, "strategy switched")
        assert len(hosts_of(url, "f", "g", "h")) == 3


def _until(log: Path, told: str) -> None:
    deadline = time.monotonic() + 20
    while told not in log.read_text(errors="replace"):
        assert time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.1)
