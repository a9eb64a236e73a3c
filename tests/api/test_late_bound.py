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
