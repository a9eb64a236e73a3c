"""The client, the command line and the embedded form against a real service with real instances."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pilotage import AsyncClient, Client, Scheduler
from pilotage.client import ApiError, TaskFailed
from pilotage.model.errors import InvalidInput
from tests.api.running import Service, eventually, instance

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service.url, patience_s=3) as client:
        yield client


def ready(client: Client, number: int = 1) -> None:
    eventually(lambda: [each["state"] for each in client.instances()] == ["ready"] * number)


def test_submit_and_get_the_result(client: Client, service: Service) -> None:
    with instance(service.url, slots=2):
        ready(client)
        task = client.submit("m", {"prompt": "hello"}, metadata={"size": 3}, priority=2, tenant="lab")
        found = client.wait(task["id"], 10)
        assert (found["status"], found["input"], found["priority"]) == ("completed", {"prompt": "hello"}, 2)
        assert found["run_ms"] > 4
        assert found["submitted"] <= found["scheduled"] <= found["finished"]
        assert client.result(task["id"])["model"] == "m"


def test_a_function_of_the_users_own_runs(client: Client, service: Service) -> None:
    def upper(content: Any, _: Any) -> Any:
        if "text" not in content:
            raise KeyError("text")
        return {"text": content["text"].upper()}

    with instance(service.url, upper, model="upper"):
        ready(client)
        assert client.result(client.submit("upper", {"text": "abc"})["id"], 10) == {"text": "ABC"}
        with pytest.raises(TaskFailed, match="KeyError") as failed:
            client.result(client.submit("upper", {})["id"], 10)
        assert failed.value.task["status"] == "failed"


def test_the_same_key_makes_one_task(service: Service) -> None:
    async def submit() -> set[str]:
        async with AsyncClient(service.url) as client:
            tasks = await asyncio.gather(*(client.submit("m", {"n": 1}, idempotency_key="k") for _ in range(20)))
            with pytest.raises(ApiError, match="another task") as refused:
                await client.submit("m", {"n": 2}, idempotency_key="k")
            assert refused.value.status == 409
            other = await client.submit("m", {"n": 2}, idempotency_key="k", tenant="t2")
            return {task["id"] for task in tasks} | {other["id"]}

    assert len(asyncio.run(submit())) == 2
    assert service.get("/api/v1/statistics")["submitted"] == 2


def test_pages_filters_cancel_and_explain(client: Client) -> None:
    ids = [task["id"] for task in client.submit_many("a", [{"n": n} for n in range(7)])]
    ids += [client.submit("b")["id"]]
    assert [task["id"] for task in client.tasks()] == ids[::-1]
    assert [task["id"] for task in client.tasks(model="b")] == ids[-1:]
    assert list(client.tasks(status="completed")) == []
    assert client.cancel(ids[0])["status"] == "cancelled"
    assert [task["id"] for task in client.tasks(status="cancelled")] == ids[:1]
    with pytest.raises(ApiError, match="cancelled already") as refused:
        client.cancel(ids[0])
    assert refused.value.status == 409
    told = client.explain(ids[1])
    assert "no instance of model a is ready" in told["because"]
    assert "register" in told["would_help"]
    with pytest.raises(ApiError, match="not found") as refused:
        client.task("nope")
    assert refused.value.status == 404


def test_pages_are_cut_where_asked(service: Service, client: Client) -> None:
    client.submit_many("a", [{"n": n} for n in range(25)])
    first = service.get("/api/v1/tasks?limit=10")
    second = service.get(f"/api/v1/tasks?limit=10&cursor={first['next']}")
    third = service.get(f"/api/v1/tasks?limit=10&cursor={second['next']}")
    assert [len(page["tasks"]) for page in (first, second, third)] == [10, 10, 5]
    assert third["next"] is None
    assert len({task["id"] for page in (first, second, third) for task in page["tasks"]}) == 25


def test_a_deadline_passes(client: Client) -> None:
    task = client.submit("nobody", deadline_s=0.2)
    assert client.wait(task["id"], 10)["status"] == "expired"


def test_events_tell_every_step_and_go_on_where_they_broke_off(client: Client, service: Service) -> None:
    with instance(service.url):
        ready(client)
        stream = client.events(after=0)
        task = client.submit("m")
        seen = []
        for event in stream:
            if event["kind"] == "task" and event["data"]["id"] == task["id"]:
                seen.append(event)
                if event["data"]["status"] == "completed":
                    break
        stream.close()
        statuses = [event["data"]["status"] for event in seen]
        assert (statuses[0], statuses[-1]) == ("scheduled", "completed")
        again = client.events(after=seen[0]["number"])
        assert next(again)["number"] == seen[0]["number"] + 1
        again.close()


def test_drain_and_resume(service: Service, client: Client) -> None:
    with instance(service.url):
        ready(client)
        (one,) = client.instances()
        assert service.post(f"/api/v1/instances/{one['id']}/drain", {})["state"] == "draining"
        assert service.call("POST", f"/api/v1/instances/{one['id']}/drain", {})[0] == 409
        task = client.submit("m")
        assert task["status"] == "queued"
        assert service.post(f"/api/v1/instances/{one['id']}/resume", {})["state"] == "ready"
        assert client.wait(task["id"], 10)["status"] == "completed"
        assert service.call("POST", "/api/v1/instances/nope/drain", {})[0] == 404


def test_a_service_that_is_not_there(tmp_path: Path) -> None:
    with Client("http://127.0.0.1:1", patience_s=0.1) as client, pytest.raises(ApiError, match="can not be reached"):
        client.submit("m")


def run(*arguments: str, url: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pilotage", "task", *arguments, "--url", url]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_the_command_line(service: Service, client: Client) -> None:
    with instance(service.url):
        ready(client)
        done = run("submit", "m", "--input", '{"run_ms": 1}', "--wait", url=service.url)
        assert (done.returncode, json.loads(done.stdout)["model"]) == (0, "m"), done.stderr
        waiting = run("submit", "other", url=service.url).stdout.strip()
        listed = json.loads(run("list", "--json", url=service.url).stdout)
        assert [task["status"] for task in listed] == ["queued", "completed"]
        assert "is cancelled" in run("cancel", waiting, url=service.url).stdout
        assert json.loads(run("query", waiting, url=service.url).stdout)["status"] == "cancelled"
        bad = run("submit", "m", "--input", "[1]", url=service.url)
        assert (bad.returncode, bad.stderr) == (2, 'error: input: must be an object, as in \'{"prompt": "hello"}\'\n')
        gone = run("query", "nope", url=service.url)
        assert (gone.returncode, gone.stderr) == (2, "error: service: Task nope not found\n")


def test_the_embedded_form(tmp_path: Path) -> None:
    config = {"database": f"sqlite:///{tmp_path}/e.sqlite3", "probe_every_s": 0.1}
    with Scheduler(config) as scheduler:
        waiting = scheduler.submit("later", {"n": 1})
        with instance(scheduler.url, slots=3):
            eventually(lambda: scheduler.total_capacity() == {"m": 3})
            assert scheduler.result(scheduler.submit("m", {"n": 1}), 10)["model"] == "m"
            scheduler.set_strategy("round_robin")
            assert [each["state"] for each in scheduler.instance_statuses()] == ["ready"]
            assert scheduler.timing_statistics()["count"] == 1
    with Scheduler(config) as scheduler:
        assert scheduler.query(waiting)["status"] == "queued", "it was stored"
        scheduler.cancel(waiting)
        assert scheduler.query(waiting)["status"] == "cancelled"
    with pytest.raises(InvalidInput, match="strategy"):
        Scheduler({**config, "strategy": "fastest"})
