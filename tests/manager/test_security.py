"""Who may call: tokens, client certificates, rates; and that secrets stay secret."""

from __future__ import annotations

import socket
import subprocess
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from pilotage.api.grpc.encode import V2
from pilotage.api.grpc.gate import Gate
from pilotage.app.manager.role import Role
from pilotage.app.manager.settings import ManagerSettings
from pilotage.model.errors import InvalidInput
from pilotage.registry.profiles import profile_named
from tests.cli.test_simulate import pilotage
from tests.manager.process import ManagerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LIST = "/manager.v2.Manager/ListSchedulers"
ASKED = V2.ListSchedulersRequest(hostname="h", ip="10.0.0.1").SerializeToString()


def code(channel: grpc.Channel, method: str = LIST, raw: bytes = ASKED, **more: Any) -> str:
    """The status of a unary call."""
    try:
        channel.unary_unary(method)(raw, timeout=20, **more)
    except grpc.RpcError as refused:
        return str(refused.code().name)
    return "OK"


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[ManagerProcess]:
    running = ManagerProcess(tmp_path, f"sqlite:///{tmp_path}/m.sqlite3", tokens="sesame, second").start()
    yield running
    assert running.stop() == 0
    assert "sesame" not in running.log()


def test_with_tokens_only_who_has_one_gets_an_answer(guarded: ManagerProcess) -> None:
    with grpc.insecure_channel(guarded.grpc) as channel:
        for method in (LIST, "/manager.Manager/GetScheduler", "/manager.v2.Manager/CreateModel"):
            assert code(channel, method) == "UNAUTHENTICATED"
        stream = channel.stream_unary("/manager.v2.Manager/KeepAlive")
        with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
            stream(iter([b""]))
        for told, expected in (("Bearer sesame", "OK"), ("Bearer second", "OK"), ("Bearer sesam", "UNAUTHENTICATED")):
            assert code(channel, metadata=[("authorization", told)]) == expected
        health = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert health(b"", timeout=20), "whether it is there may be asked by anybody"
    assert guarded.http_call("GET", "/api/v1/clusters")[0] == 200
    guarded.token = "wrong"
    assert guarded.http_call("GET", "/api/v1/clusters")[0] == 401
    assert guarded.http_call("GET", "/metrics")[0] == 401
    assert guarded.http_call("GET", "/healthz")[0] == 200


def certificates(folder: Path) -> dict[str, bytes]:
    """An authority, and a server and a host that it knows."""
    run = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    subject = ["-subj", "/CN=authority", "-keyout", "authority.key", "-out", "authority.pem"]
    subprocess.run([*run, *subject], cwd=folder, check=True, capture_output=True)
    for name in ("server", "host"):
        signed = ["-CA", "authority.pem", "-CAkey", "authority.key", "-addext", "subjectAltName=IP:127.0.0.1"]
        subject = ["-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem"]
        subprocess.run([*run, *subject, *signed], cwd=folder, check=True, capture_output=True)
    return {path.name: path.read_bytes() for path in folder.glob("*.[pk]e[my]")}


def test_with_an_authority_only_its_certificates_get_in(tmp_path: Path) -> None:
    pems = certificates(tmp_path)
    manager = ManagerProcess(
        tmp_path,
        f"sqlite:///{tmp_path}/m.sqlite3",
        tls_certificate="server.pem",
        tls_key="server.key",
        tls_client_authority="authority.pem",
    ).start()
    known = grpc.ssl_channel_credentials(pems["authority.pem"], pems["host.key"], pems["host.pem"])
    unknown = grpc.ssl_channel_credentials(pems["authority.pem"])
    with grpc.secure_channel(manager.grpc, known) as channel:
        assert code(channel) == "OK"
    with grpc.secure_channel(manager.grpc, unknown) as channel:
        assert code(channel) == "UNAVAILABLE"
    with grpc.insecure_channel(manager.grpc) as channel:
        assert code(channel) == "UNAVAILABLE"
    assert manager.http.startswith("https://")
    assert manager.stop() == 0


def test_more_calls_than_allowed_are_told_so_and_the_rest_is_served(tmp_path: Path) -> None:
    settings = {"calls_per_s": "10", "calls_burst": "20"}
    manager = ManagerProcess(tmp_path, f"sqlite:///{tmp_path}/m.sqlite3", **settings).start()
    with grpc.insecure_channel(manager.grpc) as channel:
        told = [code(channel) for _ in range(100)]
    assert told[:20] == ["OK"] * 20
    assert told.count("RESOURCE_EXHAUSTED") >= 50
    assert b"pilotage_manager_refused_total " in manager.http_call("GET", "/metrics")[2]
    manager.stop()


class Context:
    """What a gate sees of a call."""

    def invocation_metadata(self) -> tuple[()]:
        return ()


def test_the_bucket_fills_with_time_and_no_fuller() -> None:
    now = [0.0]
    gate = Gate(rate=10, burst=5, monotonic=lambda: now[0])
    context: Any = Context()
    assert sum(gate.refuse(context) is None for _ in range(20)) == 5
    now[0] = 0.25
    assert sum(gate.refuse(context) is None for _ in range(20)) == 2
    now[0] = 1000.0
    assert sum(gate.refuse(context) is None for _ in range(20)) == 5
    assert gate.refused == 48


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"tls_key": "x.pem"}, "manager.tls_certificate: is needed for TLS"),
        ({"tls_certificate": "no.pem", "tls_key": "no.pem"}, "manager.tls_certificate: no.pem can not be read"),
        ({"require": "luck"}, "require: 'luck' is no term"),
        ({"redis": "http://x"}, "manager.redis: is no URL"),
        ({"database": "mysql://x"}, "database: "),
        ({"grpc": "nowhere"}, "manager.grpc: must be HOST:PORT"),
        ({"grpc": "127.0.0.1:99999"}, "manager.grpc: must be HOST:PORT"),
        ({"http": "127.0.0.1:1x"}, "manager.http: must be HOST:PORT"),
        ({"http": "TAKEN"}, "listen: 127.0.0.1:"),
        ({"grpc": "TAKEN"}, "manager.grpc: 127.0.0.1:"),
    ],
)
@pytest.mark.asyncio
async def test_a_setting_that_can_not_be_used_is_named(tmp_path: Path, settings: dict[str, str], error: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        said = {name: taken if value == "TAKEN" else value for name, value in settings.items()}
        free = {"database": f"sqlite:///{tmp_path}/m.sqlite3", "grpc": "127.0.0.1:0", "http": "127.0.0.1:0"}
        role = Role(ManagerSettings.model_validate({**free, **said}))
        with pytest.raises(InvalidInput) as refused:
            await role.start()
        await role.stop()
    assert str(refused.value).startswith(error)


def test_a_bad_setting_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = pilotage("manager", "--grpc", "nowhere", "--http", "", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert [line for line in done.stderr.splitlines() if not line.startswith("{")] == [
        "error: manager.grpc: must be HOST:PORT, got 'nowhere'"
    ]


@pytest.mark.parametrize("face", ["grpc", "http"])
def test_a_port_in_use_is_one_line_up_to_the_end_of_the_process(tmp_path: Path, face: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        said = [word for name in ("grpc", "http") for word in (f"--{name}", taken if name == face else "127.0.0.1:0")]
        done = pilotage("manager", *said, "--database", "sqlite:///m.sqlite3", folder=tmp_path)
    lines = [line for line in done.stderr.splitlines() if "add_port.cc" not in line]  # gRPC's own
    assert (done.returncode, done.stdout, len(lines)) == (2, "", 1), done.stderr
    assert lines[0].startswith("error: ")
    assert taken in lines[0]


def test_an_unknown_profile_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"profile: 'v1' is unknown; known: v2\.0\.8, "):
        profile_named("v1")
