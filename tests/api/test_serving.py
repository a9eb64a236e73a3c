"""What surrounds the tasks: TLS, metrics as Prometheus reads them, and what is forgotten when."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pilotage.model.errors import InvalidInput
from tests.api.running import FakeInstance, Service, eventually, running, settings
from tests.integration.servers import require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def fake() -> Iterator[FakeInstance]:
    fake = FakeInstance(dialect="info")
    yield fake
    fake.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for this machine, signed by itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    paths = folder / "certificate.pem", folder / "key.pem"
    command = [require("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", paths[0], "-keyout", paths[1]]
    subprocess.run([*command, *names], check=True, capture_output=True, timeout=60)
    return paths


def complete(service: Service, fake: FakeInstance, count: int = 1) -> list[str]:
    """So many tasks, each submitted and completed."""
    ids = []
    for _ in range(count):
        ids.append(service.post("/queue/submit", {"model_name": "m", "task_input": {"secret": "words"}})["task_id"])
        notice = {"task_id": ids[-1], "instance_id": f"127.0.0.1:{fake.port}", "execution_time": 40.0}
        assert service.post("/notify/task_complete", notice)["status"] == "success"
    return ids


def metrics(service: Service) -> dict[tuple[str, ...], float]:
    """Every sample: its name and its labels' values."""
    _, text = service.call("GET", "/metrics")
    families = text_string_to_metric_families(text.decode())
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


def test_it_speaks_tls_and_nothing_else(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    with running(tmp_path, certificate=str(certificate[0]), key=str(certificate[1])) as service:
        assert service.url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=certificate[0])
        with urllib.request.urlopen(service.url + "/health", context=trusting, timeout=30) as answer:
            assert json.load(answer)["role"] == "leader"
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(service.url + "/health", context=ssl.create_default_context(), timeout=30)
        with pytest.raises(OSError):  # noqa: PT011 - whatever way the connection breaks
            urllib.request.urlopen(service.url.replace("https", "http") + "/health", timeout=30)


def test_an_instance_delivers_to_a_scheduler_that_speaks_tls(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    with running(tmp_path, certificate=str(certificate[0]), key=str(certificate[1])) as service:
        command = [sys.executable, "-m", "pilotage", "instance", "--model", "m", "--run-ms", "1"]
        instance = subprocess.Popen(
            [*command, "--scheduler", service.url], env={**os.environ, "SSL_CERT_FILE": str(certificate[0])}
        )
        try:
            trusting = ssl.create_default_context(cafile=certificate[0])

            def ask(path: str, content: object = None) -> Any:
                data = None if content is None else json.dumps(content).encode()
                headers = {"Content-Type": "application/json"}
                request = urllib.request.Request(service.url + path, data, headers)
                with urllib.request.urlopen(request, context=trusting, timeout=30) as answer:
                    return json.load(answer)

            eventually(lambda: ask("/api/v1/instances")["instances"])
            task_id = ask("/queue/submit", {"model_name": "m", "task_input": {}})["task_id"]
            eventually(lambda: ask(f"/task/query?task_id={task_id}")["task_status"] == "completed")
        finally:
            instance.terminate()
            instance.wait(30)


def test_a_scheduler_that_is_no_url_is_told() -> None:
    command = [sys.executable, "-m", "pilotage", "instance", "--model", "m", "--scheduler", "localhost:8102"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "error: scheduler: 'localhost:8102' is no URL" in ended.stderr


def test_a_certificate_that_can_not_be_used_is_told(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    (tmp_path / "broken.pem").write_text("no certificate")
    for options in (
        {"certificate": str(tmp_path / "missing.pem"), "key": str(certificate[1])},
        {"certificate": str(tmp_path / "broken.pem"), "key": str(certificate[1])},
        {"certificate": str(certificate[0]), "key": str(certificate[0])},
    ):
        with pytest.raises(InvalidInput, match="certificate: can not be used"):
            Service(settings(tmp_path, **options)).start()


def test_metrics_are_what_happened(tmp_path: Path, fake: FakeInstance) -> None:
    with running(tmp_path, strategy="pilotage") as service:
        fake.register(service)
        place = f"127.0.0.1:{fake.port}"
        complete(service, fake, 3)
        service.post("/queue/submit", {"model_name": "m", "task_input": {}})
        service.post("/queue/submit", {"model_name": "m", "task_input": {}})
        found = metrics(service)
        assert found["pilotage_leading",] == 1
        assert found["pilotage_tasks_submitted_total",] == 5
        assert found["pilotage_tasks_ended_total", "completed"] == 3
        assert found["pilotage_tasks_ended_total", "failed"] == 0
        assert found["pilotage_tasks_waiting",] == 1
        assert found["pilotage_instance_tasks", place, "m"] == 1
        assert found["pilotage_instance_ready", place, "m"] == 1
        assert found["pilotage_instance_breaker", place] == 1
        assert found["pilotage_task_seconds_count",] == 3
        assert found["pilotage_task_seconds_bucket", "+Inf"] == 3
        assert 0 < found["pilotage_task_seconds_sum",] < 60
        bounds = [float(name[1]) for name in found if name[0] == "pilotage_task_seconds_bucket"]
        assert bounds == sorted(bounds)


def test_old_tasks_are_forgotten_and_those_that_have_not_ended_are_kept(tmp_path: Path, fake: FakeInstance) -> None:
    with running(tmp_path, keep_tasks=3) as service:
        fake.register(service)
        held = service.post("/queue/submit", {"model_name": "m", "task_input": {}})["task_id"]
        ids = complete(service, fake, 8)

        def kept() -> list[str]:
            return [each["id"] for each in service.get("/api/v1/tasks")["tasks"]]

        eventually(lambda: kept() == [*reversed(ids[-3:]), held])
        assert service.call("GET", f"/api/v1/tasks/{ids[0]}")[0] == 404
        assert service.get(f"/api/v1/tasks/{ids[-1]}")["status"] == "completed"
        assert service.get(f"/api/v1/tasks/{held}")["status"] in ("scheduled", "running")


def test_tasks_that_ended_too_long_ago_are_forgotten(tmp_path: Path, fake: FakeInstance) -> None:
    with running(tmp_path, keep_days=1 / 86_400) as service:
        fake.register(service)
        ids = complete(service, fake, 2)
        eventually(lambda: service.get("/api/v1/tasks")["tasks"] == [])
        assert service.post("/queue/submit", {"model_name": "m", "task_input": {}})["task_id"] not in ids
