"""Requests made from the OpenAPI document, sensible and not: never a 500, never an answer that is not described."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from tests.api.running import FakeInstance, Service, running

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(tmp_path_factory.mktemp("fuzz")) as service:
        fake = FakeInstance("llama", "info")
        fake.register(service)
        yield service
        fake.close()


CASES = 6 if os.environ.get("HYPOTHESIS_PROFILE") != "thorough" else 200


def test_no_request_of_the_description_breaks_it(service: Service) -> None:
    """Every operation with generated values: an answer, never a server error."""
    document = schemathesis.openapi.from_url(f"{service.url}/openapi.json").exclude(path="/api/v1/events")
    asked = 0
    for operation in (each.ok() for each in document.get_all_operations()):

        @given(case=operation.as_strategy())
        @settings(max_examples=CASES, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        def ask(case: Any) -> None:
            nonlocal asked
            asked += 1
            response = case.call(timeout=20)
            assert response.status_code < 500 or response.status_code == 503, (
                f"{case.as_curl_command()}: {response.text}"
            )

        ask()
    assert asked > 100


BAD = [
    b" ",
    b"{",
    b"null",
    b"[]",
    b"\xff",
    b'{"model": "\x00"}',
    b'{"model": "a\\u0000b"}',
    b'{"model": "\\ud800"}',
    b"9" * 5000,
    b'{"model": "m", "input": ' + b"[" * 900 + b"]" * 900 + b"}",
    b'{"model": "m", "input": {"a": 1e999}, "priority": 1e9}',
    b'{"model": "m", "unknown": 1}',
    b'{"model": "m", "deadline_s": -1}',
    b'{"model": ""}',
    b'{"model": "' + b"x" * 300 + b'"}',
]


@pytest.mark.parametrize("body", BAD)
def test_a_bad_body_is_told_apart(service: Service, body: bytes) -> None:
    status, told = service.call("POST", "/api/v1/tasks", raw=body)
    assert status == 422, (status, told)
    assert told["detail"][0]["msg"]


def test_a_field_is_named(service: Service) -> None:
    for content, field in (
        ({"model": 5}, ["body", "model"]),
        ({}, ["body", "model"]),
        ({"model": "m", "input": []}, ["body", "input"]),
        ({"model": "m", "priority": "high"}, ["body", "priority"]),
        ({"model": "m", "id": "a b"}, ["body", "id"]),
    ):
        status, told = service.call("POST", "/api/v1/tasks", content)
        assert (status, told["detail"][0]["loc"]) == (422, field)
    status, told = service.call("POST", "/api/v1/tasks/batch", {"tasks": [{"model": "m"}, {"model": 1}]})
    assert (status, told["detail"][0]["loc"]) == (422, ["body", "tasks", "1", "model"])
    assert service.get("/api/v1/tasks?model=m")["tasks"] == [], "all or none"


def test_too_large(service: Service) -> None:
    body = b'{"model": "m", "input": {"a": "' + b"x" * 1_100_000 + b'"}}'
    assert service.call("POST", "/api/v1/tasks", raw=body)[0] == 413
    assert service.call("GET", "/health")[0] == 200
