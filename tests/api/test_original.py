"""A client and instances written against the original work unchanged; the faults it had are not here."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from tests.api.running import FakeInstance, Service, eventually, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def fakes() -> Iterator[Any]:
    made: list[FakeInstance] = []

    def make(*arguments: Any, **more: Any) -> FakeInstance:
        made.append(FakeInstance(*arguments, **more))
        return made[-1]

    yield make
    for each in made:
        each.close()


def submit(service: Service, model: str = "m", **more: Any) -> Any:
    return service.post("/queue/submit", {"model_name": model, "task_input": {"prompt": "hello"}, **more})


def free_port() -> int:
    fake = FakeInstance()
    fake.close()
    return fake.port


# ---------------------------------------------------------------- the API, as its tests describe it


def test_health(service: Service) -> None:
    told = service.get("/health")
    assert (told["status"], told["service"]) == ("healthy", "scheduler")
    assert told["version"]


def test_register_info_remove(service: Service, fakes: Any) -> None:
    assert service.get("/queue/info") == {"status": "success", "queues": []}
    one, two = fakes("m1"), fakes("m2")
    first, second = one.register(service), two.register(service)
    assert UUID(first) != UUID(second)
    queues = service.get("/queue/info")["queues"]
    assert {(each["model_name"], each["ti_uuid"]) for each in queues} == {("m1", first), ("m2", second)}
    assert all(each["waiting_time_expect"] == 0 == each["waiting_time_error"] for each in queues)
    assert [each["ti_uuid"] for each in service.get("/queue/info?model_name=m2")["queues"]] == [second]
    told = service.post("/ti/remove", {"ti_uuid": first})
    assert (told["status"], told["ti_uuid"]) == ("success", first)
    assert [each["ti_uuid"] for each in service.get("/queue/info")["queues"]] == [second]


def test_remove_of_what_is_not_there(service: Service, fakes: Any) -> None:
    unknown = "7b0b1a3e-0000-4000-8000-000000000000"
    told = service.post("/ti/remove", {"ti_uuid": unknown})
    assert (told["status"], told["ti_uuid"]) == ("error", unknown)
    assert "not found" in told["message"]
    told = service.post("/ti/remove", {"ti_uuid": "rubbish"})
    assert told["status"] == "error"
    assert "Invalid UUID format" in told["message"]


def test_the_later_forms_of_register_and_remove(service: Service, fakes: Any) -> None:
    fake = fakes(model="given", dialect="info")
    identity = fake.register(service, model_name="given")
    place = {"host": "127.0.0.1", "port": fake.port}
    assert service.post("/ti/remove", place) == {
        "status": "success",
        "message": "TaskInstance removed",
        **place,
        "ti_uuid": identity,
    }
    told = service.post("/ti/remove", place)
    assert (told["status"], told["ti_uuid"]) == ("error", None)


@pytest.mark.parametrize("dialect", ["status", "info"])
def test_submit_query_complete(service: Service, fakes: Any, dialect: str) -> None:
    fake = fakes(dialect=dialect)
    identity = fake.register(service)
    before = time.time()
    told = submit(service, metadata={"size": 3})
    assert (told["status"], told["scheduled_ti"]) == ("success", identity)
    record = service.get(f"/task/query?task_id={told['task_id']}")
    assert record["task_status"] == "scheduled"
    assert before <= record["submit_time"] <= time.time()
    (sent,) = eventually(lambda: fake.received)
    assert sent["metadata"] == {"size": 3}
    assert sent["task_input" if dialect == "info" else "input_data"] == {"prompt": "hello"}
    # An instance reports under the id that it knows the task by.
    name = fake.name if dialect == "status" else f"127.0.0.1:{fake.port}"
    notice = {"task_id": sent["task_id"], "instance_id": name, "execution_time": 7.5}
    done = service.post("/notify/task_complete", notice)
    assert done["status"] == "success"
    assert 0 < done["total_time_ms"] < 20_000
    record = service.get(f"/task/query?task_id={told['task_id']}")
    assert (record["task_status"], record["result"]) == ("completed", None)


def test_five_submissions_can_all_be_queried(service: Service, fakes: Any) -> None:
    fakes().register(service)
    ids = {submit(service)["task_id"] for _ in range(5)}
    assert len(ids) == 5
    assert {service.get(f"/task/query?task_id={each}")["task_status"] for each in ids} == {"scheduled"}


def test_errors_of_submit_and_query(service: Service, fakes: Any) -> None:
    body = {"model_name": "m", "task_input": {}}
    assert service.call("POST", "/queue/submit", body) == (503, {"detail": "No TaskInstances configured"})
    fakes("other").register(service)
    status, told = service.call("POST", "/queue/submit", body)
    assert status == 503
    assert "No available instances for model type m" in told["detail"]
    fakes("m", replicas=0).register(service)
    assert service.call("POST", "/queue/submit", body)[0] == 503
    assert service.call("GET", "/task/query?task_id=nope") == (404, {"detail": "Task nope not found"})
    assert service.call("GET", "/task/query")[0] == 422
    for bad in ({}, {"model_name": "m"}, {"model_name": 3, "task_input": {}}, {"model_name": "m", "task_input": 5}):
        status, told = service.call("POST", "/queue/submit", bad)
        assert status == 422
        assert told["detail"][0]["loc"][0] == "body"
    assert told["detail"][0]["loc"] == ["body", "task_input"]


def test_a_notice_of_an_unknown_instance_is_a_warning(service: Service) -> None:
    notice = {"task_id": "t", "instance_id": "nobody", "execution_time": 1}
    assert service.post("/notify/task_complete", notice)["status"] == "warning"
    assert service.post("/result/submit", {**notice, "result": {}})["status"] == "error"


def test_mixed_models_go_to_their_own_instances(service: Service, fakes: Any) -> None:
    one, two = fakes("a"), fakes("b")
    one.register(service)
    two.register(service)
    for _ in range(4):
        submit(service, "a")
        submit(service, "b")
    eventually(lambda: len(one.received) == 4 == len(two.received))


def test_a_result_is_kept_and_can_be_fetched(service: Service, fakes: Any) -> None:
    fake = fakes(dialect="info")
    fake.register(service)
    task_id = submit(service)["task_id"]
    assert service.post("/result/fetch", {"task_id": task_id}) is None
    word = {"task_id": task_id, "instance_id": f"127.0.0.1:{fake.port}", "execution_time": 4, "result": {"text": "hi"}}
    assert service.post("/result/submit", word)["status"] == "success"
    assert service.post("/result/fetch", {"task_id": task_id}) == {"result": {"text": "hi"}}
    record = service.get(f"/task/query?task_id={task_id}")
    assert (record["task_status"], record["result"]) == ("completed", {"text": "hi"})
    told = service.get("/task/all_tasks")
    assert told["total_tasks"] == 1
    assert told["tasks"][0]["task_id"] == task_id
    assert set(told["tasks"][0]) >= {"task_status", "scheduled_ti", "submit_time", "model_name", "completion_time"}


def test_a_callers_uuid_is_kept_and_anything_else_replaced(service: Service, fakes: Any) -> None:
    fakes().register(service)
    mine = "0b7d9c1e-5a6f-4c3d-9e8f-001122334455"
    assert submit(service, task_id=mine)["task_id"] == mine
    assert service.call("POST", "/queue/submit", {"model_name": "m", "task_input": {}, "task_id": mine})[0] == 409
    assert UUID(submit(service, task_id="mine")["task_id"])


def test_a_batch(service: Service, fakes: Any) -> None:
    fake = fakes()
    identity = fake.register(service)
    tasks = [{"task_input": {"n": n}, "metadata": {"n": n}} for n in range(5)]
    told = service.post("/queue/submit_batch", {"model_name": "m", "tasks": tasks})
    assert (told["status"], told["total_tasks"], told["successful_tasks"], told["failed_tasks"]) == ("success", 5, 5, 0)
    assert [each["index"] for each in told["results"]] == list(range(5))
    assert {each["scheduled_ti"] for each in told["results"]} == {identity}
    eventually(lambda: sorted(each["input_data"]["n"] for each in fake.received) == list(range(5)))
    told = service.post("/queue/submit_batch", {"model_name": "none", "tasks": tasks})
    assert (told["status"], told["failed_tasks"]) == ("error", 5)
    assert "none" in told["results"][0]["error"]


@pytest.mark.parametrize("name", ["shortest_queue", "round_robin", "weighted", "probabilistic"])
def test_every_strategy_can_be_set_and_serves(service: Service, fakes: Any, name: str) -> None:
    some = [fakes() for _ in range(3)]
    for each in some:
        each.register(service)
    assert service.post("/scheduler/set", {"name": name}) == {"status": "success", "message": "OK"}
    for _ in range(30):
        submit(service)
    eventually(lambda: sum(len(each.received) for each in some) == 30)
    counts = [len(each.received) for each in some]
    assert min(counts) >= (10 if name == "round_robin" else 4), counts


def test_an_unknown_strategy_or_mode_changes_nothing(service: Service) -> None:
    told = service.post("/scheduler/set", {"name": "fastest"})
    assert told["status"] == "error"
    assert "round_robin" in told["message"]
    assert service.post("/scheduler/predict_mode", {"mode": "default"})["status"] == "success"
    told = service.post("/scheduler/predict_mode", {"mode": "lookup_table"})
    assert told["status"] == "error", "there is no table"


def test_clear_forgets_everything(service: Service, fakes: Any) -> None:
    fakes().register(service)
    task_id = submit(service)["task_id"]
    submit(service)
    assert service.post("/task/clear", {})["cleared_count"] == 2
    assert service.call("GET", f"/task/query?task_id={task_id}")[0] == 404
    assert service.get("/task/all_tasks")["total_tasks"] == 0
    assert service.get("/queue/info")["queues"][0]["waiting_time_expect"] == 0


# ---------------------------------------------------------------- the original's faults, each shown to be none here


def test_fault_1_a_port_nobody_listens_on_and_the_same_port_twice(service: Service, fakes: Any) -> None:
    dead = service.post("/ti/register", {"host": "127.0.0.1", "port": free_port()})
    assert dead["status"] == "success"
    assert "does not answer yet" in dead["message"]
    fake = fakes()
    assert fake.register(service) == fake.register(service), "greeted again, not entered again"
    assert len(service.get("/api/v1/instances")["instances"]) == 2


def test_fault_2_only_dead_instances(service: Service) -> None:
    service.post("/ti/register", {"host": "127.0.0.1", "port": free_port(), "model_name": "m"})
    started = time.monotonic()
    status, told = service.call("POST", "/queue/submit", {"model_name": "m", "task_input": {}})
    assert (status, "away" in told["detail"]) == (503, True)
    assert time.monotonic() - started < 2


def test_fault_3_a_dead_instance_does_not_stop_the_others_notices(service: Service, fakes: Any) -> None:
    dying, living = fakes(), fakes()
    dying.register(service)
    living.register(service)
    dying.close()
    eventually(lambda: [each["state"] for each in service.get("/api/v1/instances")["instances"]] == ["away", "ready"])
    task_id = submit(service)["task_id"]
    (sent,) = eventually(lambda: living.received)
    notice = {"task_id": sent["task_id"], "instance_id": living.name, "execution_time": 1}
    assert service.post("/notify/task_complete", notice)["status"] == "success"
    # The notice may come before the acknowledgement that says whose id that is: then it counts a moment later.
    eventually(lambda: service.get(f"/task/query?task_id={task_id}")["task_status"] == "completed")


def test_fault_4_an_instance_that_never_answers_holds_up_nobody(service: Service, fakes: Any) -> None:
    good, hanging = fakes(), fakes()
    hanging.register(service)
    good.register(service)
    service.post("/scheduler/set", {"name": "round_robin"})
    hanging.answers = {"/queue/enqueue": 20.0, "/status": 20.0, "/info": 20.0}
    slowest = 0.0
    for _ in range(10):
        for path, body in (("/queue/submit", {"model_name": "m", "task_input": {}}), ("/health", None)):
            started = time.monotonic()
            assert service.call("POST" if body else "GET", path, body)[0] == 200
            slowest = max(slowest, time.monotonic() - started)
    assert slowest < 3, "the original froze for 29.5 s"
    eventually(lambda: len(good.received) == 10)


def test_fault_5_a_result_before_the_acknowledgement_is_kept(service: Service, fakes: Any) -> None:
    fake = fakes()
    fake.register(service)
    released = threading.Event()

    def slow(body: Any) -> tuple[int, Any]:
        fake.received.append(body)
        released.wait(5)
        return 200, {"task_id": "its-own-id", "queue_size": 1, "enqueue_time": 0.0}

    fake.answers["/queue/enqueue"] = slow
    task_id = submit(service)["task_id"]
    eventually(lambda: fake.received)
    notice = {"task_id": "its-own-id", "instance_id": fake.name, "execution_time": 1}
    assert service.post("/notify/task_complete", notice)["status"] == "success"
    released.set()
    eventually(lambda: service.get(f"/task/query?task_id={task_id}")["task_status"] == "completed")


def test_fault_6_a_notice_from_inside_the_enqueue_handler(service: Service, fakes: Any) -> None:
    fake = fakes()
    fake.register(service)
    took: list[float] = []

    def eager(body: Any) -> tuple[int, Any]:
        started = time.monotonic()
        notice = {"task_id": "inner", "instance_id": fake.name, "execution_time": 1}
        assert service.post("/notify/task_complete", notice)["status"] == "success"
        took.append(time.monotonic() - started)
        return 200, {"task_id": "inner", "queue_size": 1, "enqueue_time": 0.0}

    fake.answers["/queue/enqueue"] = eager
    task_id = submit(service)["task_id"]
    eventually(lambda: service.get(f"/task/query?task_id={task_id}")["task_status"] == "completed")
    assert took[0] < 2


def test_fault_7_round_robin_takes_turns_within_each_model(service: Service, fakes: Any) -> None:
    service.post("/scheduler/set", {"name": "round_robin"})
    some = {name: [fakes(name), fakes(name)] for name in ("a", "b")}
    for pair in some.values():
        for each in pair:
            each.register(service)
    for _ in range(40):
        submit(service, "a")
        submit(service, "b")
    eventually(lambda: sum(len(each.received) for pair in some.values() for each in pair) == 80)
    assert [[len(each.received) for each in pair] for pair in some.values()] == [[20, 20], [20, 20]]


def test_fault_8_twenty_in_twenty_out_leave_nothing_expected(service: Service, fakes: Any) -> None:
    service.post("/scheduler/set", {"name": "shortest_queue"})
    fake = fakes(dialect="info")
    fake.register(service)
    for _ in range(20):
        submit(service, metadata={"server_time_cost": 247})
    (queue,) = service.get("/queue/info")["queues"]
    assert queue["waiting_time_expect"] == pytest.approx(20 * 247, rel=0.1)
    assert queue["waiting_time_error"] == pytest.approx((20 * 0.05 * 247) ** 0.5, rel=0.01)
    eventually(lambda: len(fake.received) == 20)
    for sent in fake.received:
        notice = {"task_id": sent["task_id"], "instance_id": f"127.0.0.1:{fake.port}", "execution_time": 247}
        service.post("/notify/task_complete", notice)
    (queue,) = service.get("/queue/info")["queues"]
    assert (queue["waiting_time_expect"], queue["waiting_time_error"]) == (0, 0)


def test_fault_9_an_enqueue_that_is_refused_goes_to_another_instance(service: Service, fakes: Any) -> None:
    service.post("/scheduler/set", {"name": "round_robin"})
    refusing, free = fakes(), fakes()
    refusing.register(service)
    free.register(service)
    refusing.answers["/queue/enqueue"] = lambda _: (503, {"detail": "full"})
    ids = [submit(service)["task_id"] for _ in range(4)]
    eventually(lambda: len(free.received) == 4)
    history = [service.get(f"/api/v1/tasks/{each}")["history"] for each in ids]
    assert Counter(map(len, history)) == {0: 2, 1: 2}
    assert "full" in next(each for each in history if each)[0]["reason"]


def test_fault_10_the_same_notice_again_changes_nothing(service: Service, fakes: Any) -> None:
    fake = fakes()
    fake.register(service)
    submit(service)
    (sent,) = eventually(lambda: fake.received)
    notice = {"task_id": sent["task_id"], "instance_id": fake.name, "execution_time": 1}
    assert "total_time_ms" in service.post("/notify/task_complete", notice)
    for _ in range(3):
        told = service.post("/notify/task_complete", notice)
        assert told["status"] == "success"
        assert "total_time_ms" not in told
    told = service.get("/api/v1/statistics")
    assert (told["ended"]["completed"], told["times"]["count"]) == (1, 1)


def test_fault_11_an_idle_instance_without_a_model(service: Service, fakes: Any) -> None:
    fakes(model=None).register(service)
    (queue,) = service.get("/queue/info")["queues"]
    assert queue["model_name"] == "unknown"


def test_fault_12_a_query_right_after_the_result(service: Service, fakes: Any) -> None:
    fake = fakes(dialect="info")
    fake.register(service)
    for number in range(20):
        task_id = submit(service)["task_id"]
        word = {"task_id": task_id, "instance_id": f"127.0.0.1:{fake.port}", "execution_time": 1}
        service.post("/result/submit", {**word, "result": {"n": number}})
        assert service.get(f"/task/query?task_id={task_id}")["result"] == {"n": number}


def test_fault_13_many_submits_at_once_are_all_accepted(service: Service, fakes: Any) -> None:
    fake = fakes(dialect="info")
    fake.register(service)
    bodies = [json.dumps({"model_name": "m", "task_input": {"n": n}}) for n in range(50)]
    connections = [http.client.HTTPConnection(service.url.partition("//")[2], timeout=30) for _ in bodies]
    for connection, body in zip(connections, bodies, strict=True):
        connection.request("POST", "/queue/submit", body)
    answers = [connection.getresponse() for connection in connections]
    assert [answer.status for answer in answers] == [200] * 50
    assert len({json.loads(answer.read())["task_id"] for answer in answers}) == 50
    for connection in connections:
        connection.close()
    # One that did not answer in time on a busy machine may be sent again, so each comes at least once.
    eventually(lambda: {each["task_input"]["n"] for each in fake.received} == set(range(50)))


@pytest.mark.parametrize("name", ["probabilistic", "shortest_queue", "weighted", "round_robin"])
def test_fault_14_an_instance_that_comes_after_the_strategy(service: Service, fakes: Any, name: str) -> None:
    first = fakes()
    first.register(service)
    service.post("/scheduler/set", {"name": name})
    submit(service)
    late = fakes()
    late.register(service)
    for _ in range(20):
        submit(service)
    assert eventually(lambda: len(late.received)) >= 1


def test_fault_15_a_stop_ends_the_process_whatever_is_open(tmp_path: Path, fakes: Any) -> None:
    fake = fakes()
    with running(tmp_path) as service:
        fake.register(service)
        fake.answers["/queue/enqueue"] = 20.0
        for _ in range(50):
            submit(service)
        stream = http.client.HTTPConnection(service.url.partition("//")[2], timeout=30)
        stream.request("GET", "/api/v1/events")
        assert stream.getresponse().status == 200
        started = time.monotonic()
        service.stop()
        assert time.monotonic() - started < 8
        stream.close()
