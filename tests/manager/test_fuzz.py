"""Bytes that nobody meant, on every method of both forms: a clear status, and the manager lives on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilotage.api.grpc.encode import V1, V2
from tests.manager.clients import Client
from tests.manager.process import BOUND_S, ManagerProcess, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

METHODS = [
    (f"/{service.full_name}/{method.name}", method.input_type)
    for wire in (V1, V2)
    for service in wire.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
CLEAR = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED"}


@pytest.fixture(scope="module")
def channel(manager: ManagerProcess) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(manager.grpc, [("grpc.max_send_message_length", -1)]) as channel:
        yield channel


def status(channel: grpc.Channel, method: str, raw: bytes) -> str:
    try:
        if method.endswith("KeepAlive"):
            channel.stream_unary(method)(iter([raw]), timeout=20)
        else:
            channel.unary_unary(method)(raw, timeout=20)
    except grpc.RpcError as refused:
        return str(refused.code().name)
    return "OK"


def test_the_server_tells_its_services(channel: grpc.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="manager.v2.Manager"),
    ]
    services, described = stub.ServerReflectionInfo(iter(asked))
    names = {service.name for service in services.list_services_response.service}
    assert {"manager.Manager", "manager.v2.Manager", "grpc.health.v1.Health"} <= names
    assert described.file_descriptor_response.file_descriptor_proto


texts = st.one_of(st.text(max_size=20), st.sampled_from(["host-1", "10.0.0.1", "::1", "a|b", "x" * 2000, "{}", "\x00"]))


def values(field: Any) -> st.SearchStrategy[Any]:
    """Values of a field: plausible, extreme, and of its nested messages."""
    if field.message_type is not None:
        if field.message_type.GetOptions().map_entry:
            return st.dictionaries(texts, texts, max_size=4)
        return messages(field.message_type)
    kind = field.cpp_type
    if kind in (field.CPPTYPE_INT32, field.CPPTYPE_ENUM):
        return st.sampled_from([0, 1, 2, 8002, 65000, 7, -1, 2**31 - 1, -(2**31)])
    if kind == field.CPPTYPE_UINT64:
        return st.sampled_from([0, 1, 2, 2**32, 2**63, 2**64 - 1])
    if kind == field.CPPTYPE_DOUBLE:
        return st.sampled_from([0.0, 0.5, -1.0, float("nan"), float("inf")])
    if field.type == field.TYPE_BYTES:
        return st.one_of(st.binary(max_size=20), st.sampled_from([b"{}", b"[]", b"nul", b'{"a":' * 5000]))
    return texts


def messages(kind: Any) -> st.SearchStrategy[dict[str, Any]]:
    fields = {}
    for field in kind.fields:
        value = values(field)
        repeated = field.is_repeated and not (field.message_type and field.message_type.GetOptions().map_entry)
        fields[field.name] = st.lists(value, max_size=100) if repeated else value
    return st.fixed_dictionaries({}, optional=fields)


def built(kind: Any, told: dict[str, Any]) -> bytes:
    from google.protobuf.message_factory import GetMessageClass

    return bytes(GetMessageClass(kind)(**told).SerializeToString())


@given(data=st.data(), method=st.sampled_from(METHODS))
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_message_gets_a_clear_status(channel: grpc.Channel, data: st.DataObject, method: Any) -> None:
    name, kind = method
    raw = built(kind, data.draw(messages(kind)))
    if data.draw(st.booleans()):  # a bit that the line flipped
        raw += data.draw(st.binary(max_size=5))
    assert status(channel, name, raw) in CLEAR


@given(raw=st.binary(max_size=200), method=st.sampled_from(METHODS))
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_bytes_get_a_clear_status(channel: grpc.Channel, raw: bytes, method: Any) -> None:
    assert status(channel, method[0], raw) in CLEAR


def test_lists_of_ten_thousand_and_huge_messages(channel: grpc.Channel) -> None:
    many = V2.UpdateSchedulerRequest(hostname="a", ip="::1", port=8002, scheduler_cluster_id=1)
    many.features.extend(["schedule"] * 10_000)
    assert status(channel, "/manager.v2.Manager/UpdateScheduler", many.SerializeToString()) == "INVALID_ARGUMENT"
    places = V1.ListSchedulersRequest(hostname="a", ip="::1", host_info={f"k{i}": "v" for i in range(10_000)})
    assert status(channel, "/manager.Manager/ListSchedulers", places.SerializeToString()) == "INVALID_ARGUMENT"
    assert status(channel, "/manager.Manager/ListSchedulers", b"x" * (65 << 20)) == "RESOURCE_EXHAUSTED"


def ranked(manager: ManagerProcess) -> Any:
    return manager.api("GET", "/discovery?hostname=host&ip=10.0.0.1&idc=good")


@pytest.mark.parametrize(
    "scopes", ["{", "[1, 2]", '"text"', '{"cidrs": "10.0.0.0/8"}', '{"idc": 3}', '{"hostnames": ["("]}', "[" * 10_000]
)
def test_scopes_that_somebody_wrote_into_the_database_harm_only_their_cluster(
    manager: ManagerProcess, client: Client, scopes: str
) -> None:
    import sqlite3

    name = f"broken-{abs(hash(scopes))}"
    made = manager.api("POST", "/clusters", {"name": name, "scopes": {"idc": "good"}})["id"]
    me = {"hostname": name, "ip": "10.0.0.9"}
    client.call("v2", "UpdateScheduler", **me, port=8002, scheduler_cluster_id=made)
    client.open(name)
    client.send(name, **me, cluster_id=made)
    wait_until(lambda: name in client.hostnames(), BOUND_S)
    path = manager.database.removeprefix("sqlite:///")
    with sqlite3.connect(path, timeout=30) as database:
        database.execute("UPDATE manager_revision SET revision = revision + 1")
        change = "UPDATE manager_scheduler_cluster SET scopes = ?, revision = (SELECT revision FROM manager_revision)"
        database.execute(f"{change} WHERE id = ?", (scopes, made))
        (revision,) = database.execute("SELECT revision FROM manager_revision").fetchone()
    database.close()

    wait_until(lambda: ranked(manager)["revision"] >= revision, BOUND_S)
    assert name in client.hostnames(idc="good")
    assert manager.api("GET", f"/clusters/{made}")["name"] == name, "people can still see and mend it"
    assert next(each["score"] for each in ranked(manager)["clusters"] if each["cluster_id"] == made) == 0
    client.close(name)
