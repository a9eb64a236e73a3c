"""The strategy `pilotage` in the service: tasks wait centrally, go to free slots, learn, and avoid what failed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pilotage.app.tasks.settings import ServeSettings
from tests.api.running import FakeInstance, Service, eventually, running


def submit(service: Service, **more: Any) -> str:
    told = service.post("/queue/submit", {"model_name": "m", "task_input": {"n": 1}, **more})
    return str(told["task_id"])


def sent_to(fake: FakeInstance) -> list[str]:
    return [str(body["task_id"]) for body in fake.received]


def test_it_is_the_default_and_binds_late(tmp_path: Path) -> None:
    assert ServeSettings().strategy == "pilotage"
    one = FakeInstance(dialect="info")
    with running(tmp_path, strategy="pilotage") as service:
        one.register(service)
        ids = [submit(service) for _ in range(3)]
        eventually(lambda: sent_to(one) == ids[:1])
        waiting = service.get(f"/task/query?task_id={ids[2]}")
        assert waiting["task_status"] == "queued"
        assert waiting["scheduled_ti"], "the planned instance"
    one.close()


def test_a_result_frees_the_slot_for_the_next(tmp_path: Path) -> None:
    fake = FakeInstance(dialect="info")
    with running(tmp_path, strategy="pilotage") as service:
        fake.register(service)
        ids = [submit(service) for _ in range(3)]
        for at, task_id in enumerate(ids):
            eventually(lambda at=at: sent_to(fake) == ids[: at + 1])
            done = {"task_id": task_id, "instance_id": f"127.0.0.1:{fake.port}", "execution_time": 20.0, "result": {}}
            service.post("/result/submit", done)
        status, metrics = service.call("GET", "/metrics")
        assert status == 200
        assert f'pilotage_instance_breaker{{instance="127.0.0.1:{fake.port}"}} 1.0' in str(metrics)
        assert [service.get(f"/task/query?task_id={each}")["task_status"] for each in ids] == ["completed"] * 3
    fake.close()


def test_what_one_refuses_goes_to_another(tmp_path: Path) -> None:
    bad, good = FakeInstance(dialect="info"), FakeInstance(dialect="info")
    bad.answers["/queue/submit"] = lambda _: (503, {"detail": "full"})
    with running(tmp_path, strategy="pilotage") as service:
        for each in (bad, good):
            each.register(service)
        task_id = submit(service)
        eventually(lambda: sent_to(good) == [task_id])
    bad.close()
    good.close()


def test_an_instance_that_refuses_again_and_again_is_left_alone(tmp_path: Path) -> None:
    """It answers its health checks and is always free; without a breaker it would be tried again and again."""
    bad, good = FakeInstance(dialect="info"), FakeInstance(dialect="info", replicas=300)
    refused: list[int] = []

    def refuse(_: object) -> tuple[int, dict[str, str]]:
        refused.append(1)
        return 503, {"detail": "full"}

    bad.answers["/queue/submit"] = refuse
    with running(tmp_path, strategy="pilotage", breaker_failures=2, breaker_pause_s=30.0) as service:
        for each in (bad, good):
            each.register(service)
        ids: list[str] = []
        while len(refused) < 2:
            ids.append(submit(service))
            assert len(ids) < 200, "it is never tried"
        ids += [submit(service) for _ in range(20)]
        eventually(lambda: sorted(sent_to(good)) == sorted(ids))
        assert len(refused) == 2
        assert service.get("/api/v1/statistics")["waiting"] == 0
    bad.close()
    good.close()


def test_a_task_that_can_hardly_start_in_time_is_refused_at_once(tmp_path: Path) -> None:
    fake = FakeInstance(dialect="info")
    with running(tmp_path, strategy="pilotage", admit_odds=0.5) as service:
        fake.register(service)
        stated = {"model": "m", "input": {}, "metadata": {"server_time_cost": 60_000}}
        for _ in range(3):
            service.post("/api/v1/tasks", stated)
        status, told = service.call("POST", "/api/v1/tasks", stated | {"deadline_s": 5.0})
        assert status == 429
        assert "deadline_s: the odds to start by its deadline are 0.00" in str(told)
        assert service.call("POST", "/api/v1/tasks", stated | {"deadline_s": 600.0})[0] == 200
    fake.close()


def test_a_restart_does_not_forget_what_was_learned(tmp_path: Path) -> None:
    fake = FakeInstance(dialect="info")

    def expected_ms(service: Service, end: bool) -> float:
        """What a task was expected to take when it was sent; ``end``: let it run for 40 ms by the instance's word."""
        task_id = submit(service)
        eventually(lambda: task_id in sent_to(fake))
        (made,) = service.get("/api/v1/decisions?limit=1")["decisions"]
        assert made["task"] == task_id
        if end:
            done = {"task_id": task_id, "instance_id": f"127.0.0.1:{fake.port}", "execution_time": 40.0, "result": {}}
            service.post("/result/submit", done)
        return float(made["expected_end"] - made["at"]) * 1000

    with running(tmp_path, strategy="pilotage") as service:
        fake.register(service)
        told = [expected_ms(service, end=True) for _ in range(20)]
        assert told[0] > 1000, "nothing is known"
    with running(tmp_path, strategy="pilotage") as service:
        eventually(lambda: [each["state"] for each in service.get("/api/v1/instances")["instances"]] == ["ready"])
        assert 35 < expected_ms(service, end=False) < 100
    fake.close()
