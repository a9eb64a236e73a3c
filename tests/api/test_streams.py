"""The original's two WebSockets on a real service: completed tasks out, results in."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.api.running import FakeInstance, Service, eventually, running, settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def fake() -> Iterator[FakeInstance]:
    fake = FakeInstance(dialect="info")
    yield fake
    fake.close()


def socket(service: Service, path: str, **options: Any) -> ClientConnection:
    return connect(service.url.replace("http", "ws", 1) + path, open_timeout=30, close_timeout=30, **options)


def told(connection: ClientConnection) -> Any:
    return json.loads(connection.recv(timeout=30))


def submitted(service: Service) -> str:
    return str(service.post("/queue/submit", {"model_name": "m", "task_input": {"x": 1}})["task_id"])


@contextmanager
def greeted(service: Service, fake: FakeInstance) -> Iterator[ClientConnection]:
    with socket(service, "/ws/result_submit") as connection:
        connection.send(json.dumps({"type": "register", "instance_id": f"127.0.0.1:{fake.port}"}))
        assert told(connection) == {"type": "registered", "instance_id": f"127.0.0.1:{fake.port}"}
        yield connection


def result(fake: FakeInstance, task_id: str, content: Any) -> dict[str, Any]:
    place = f"127.0.0.1:{fake.port}"
    return {"type": "result", "task_id": task_id, "instance_id": place, "execution_time": 12.5, "result": content}


def test_results_come_in_one_by_one_and_in_batches(service: Service, fake: FakeInstance) -> None:
    fake.register(service)
    ids = [submitted(service) for _ in range(3)]
    with greeted(service, fake) as connection:
        connection.send(json.dumps(result(fake, ids[0], {"n": 0})))
        first = told(connection)
        assert (first["type"], first["task_id"], first["success"]) == ("ack", ids[0], True)
        batch = {"type": "batch", "messages": [result(fake, each, {"n": at}) for at, each in enumerate(ids[1:], 1)]}
        connection.send(json.dumps(batch))
        assert [told(connection)["task_id"] for _ in range(2)] == ids[1:]
        connection.send(json.dumps({"type": "ping"}))
        assert told(connection) == {"type": "pong"}
    for at, each in enumerate(ids):
        assert service.post("/result/fetch", {"task_id": each}) == {"result": {"n": at}}
        assert service.get(f"/api/v1/tasks/{each}")["run_ms"] == 12.5


def test_a_bad_message_is_answered_and_the_connection_goes_on(service: Service, fake: FakeInstance) -> None:
    fake.register(service)
    task_id = submitted(service)
    with greeted(service, fake) as connection:
        for message, complaint in [
            ("not JSON", "body: is not JSON"),
            ('{"type": "song"}', "unknown type 'song'"),
            ('{"type": "result", "task_id": "x"}', "is required"),
            (json.dumps(result(fake, task_id, "text")), "result: Expected `object`"),
        ]:
            connection.send(message)
            answer = told(connection)
            assert answer["type"] == "error"
            assert complaint in answer["message"]
        connection.send(json.dumps(result(fake, task_id, {})))
        assert told(connection)["success"]


@pytest.mark.parametrize("greeting", ["{}", "hello", '{"type": "register"}'])
def test_who_does_not_say_who_it_is_is_sent_away(service: Service, greeting: str) -> None:
    with socket(service, "/ws/result_submit") as connection:
        connection.send(greeting)
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(timeout=30)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008
    assert "register" in closed.value.rcvd.reason


def test_every_listener_hears_of_every_completed_task(service: Service, fake: FakeInstance) -> None:
    fake.register(service)
    with socket(service, "/ws/task_events") as one, socket(service, "/ws/task_events") as other:
        one.send("ping")
        assert one.recv(timeout=30) == "pong"
        eventually(lambda: service.inside is not None and service.inside.hub.watchers == 2)
        task_id = submitted(service)
        word = result(fake, task_id, {"text": "hi"})
        assert service.post("/result/submit", word)["status"] == "success"
        for connection in (one, other):
            event = told(connection)
            assert event["event"] == "task_completed"
            assert (event["data"]["task_id"], event["data"]["result"]) == (task_id, {"text": "hi"})
            assert event["data"]["task_status"] == "completed"
    assert service.inside is not None
    eventually(lambda: service.inside is not None and service.inside.hub.watchers == 0)


def test_a_stop_ends_open_connections(tmp_path: Path) -> None:
    service = Service(settings(tmp_path)).start()
    with socket(service, "/ws/task_events") as connection:
        connection.send("ping")
        assert connection.recv(timeout=30) == "pong"
        service.stop()
        with pytest.raises(ConnectionClosed):
            connection.recv(timeout=30)


def test_each_needs_a_token_of_its_role(tmp_path: Path) -> None:
    with running(tmp_path, client_tokens="c", instance_tokens="i") as service:
        for path, right, wrong in (("/ws/task_events", "c", "i"), ("/ws/result_submit", "i", "c")):
            with socket(service, path, additional_headers={"Authorization": f"Bearer {right}"}):
                pass
            for headers in ({}, {"Authorization": f"Bearer {wrong}"}):
                with pytest.raises(InvalidStatus) as refused, socket(service, path, additional_headers=headers):
                    pass
                assert refused.value.response.status_code == 403
