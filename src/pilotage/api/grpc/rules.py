"""What each field of a request may hold, in both wire forms; a broken rule names the field."""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import DecodeError, Message

from pilotage.api.names import check_hostname, check_ip
from pilotage.model.errors import InvalidInput

Rule = Callable[[str, Any], None]

TEXT_CHARACTERS = 1024
HOST_INFO_ENTRIES = 64
FEATURES = 64
JSON_BYTES = 1 << 20
SOURCES = range(3)


def parse(kind: type[Message], raw: bytes) -> Any:
    """Return the message in ``raw``, checked. Raises `InvalidInput` naming the field."""
    message = kind()
    try:
        message.ParseFromString(raw)
    except DecodeError:
        raise InvalidInput("message", f"is no {kind.DESCRIPTOR.name}") from None
    check(message)
    return message


def check(message: Message) -> None:
    """Raise `InvalidInput` for the first field that breaks its rule."""
    descriptor = message.DESCRIPTOR
    for field, rule in RULES[descriptor.name].items():
        if field in descriptor.fields_by_name:
            rule(field, getattr(message, field))


def _source(field: str, value: int) -> None:
    if value not in SOURCES:
        raise InvalidInput(field, f"is no source type: {value}")


def _ip_or_empty(field: str, value: str) -> None:
    if value:
        check_ip(field, value)


def _text(field: str, value: str) -> None:
    if len(value) > TEXT_CHARACTERS:
        raise InvalidInput(field, f"has {len(value):,} characters; at most {TEXT_CHARACTERS:,} are allowed")


def _port(field: str, value: int) -> None:
    if not 1024 <= value < 65535:
        raise InvalidInput(field, f"must be a port from 1024 to 65534, got {value}")


def _port_or_zero(field: str, value: int) -> None:
    if value:
        _port(field, value)


def _cluster(field: str, value: int) -> None:
    if value < 1:
        raise InvalidInput(field, "must be the id of a cluster, from 1 up")


def _seed_peer_type(field: str, value: str) -> None:
    if value not in ("super", "strong", "weak"):
        raise InvalidInput(field, f"must be super (strong and weak are taken from old peers), got {value[:60]!r}")


def _host_info(field: str, value: dict[str, str]) -> None:
    if len(value) > HOST_INFO_ENTRIES:
        raise InvalidInput(field, f"has {len(value):,} entries; at most {HOST_INFO_ENTRIES} are allowed")
    for key, text in value.items():
        _text(f"{field}[{key[:60]!r}]", text)


def _features(field: str, value: list[str]) -> None:
    if len(value) > FEATURES:
        raise InvalidInput(field, f"has {len(value):,} entries; at most {FEATURES} are allowed")
    for index, feature in enumerate(value):
        _text(f"{field}[{index}]", feature)


def _json(field: str, value: bytes) -> None:
    import json

    if len(value) > JSON_BYTES:
        raise InvalidInput(field, f"has {len(value):,} bytes; at most {JSON_BYTES:,} are allowed")
    try:
        told = json.loads(value) if value else {}
    except (ValueError, RecursionError):
        raise InvalidInput(field, "is no JSON") from None
    if not isinstance(told, dict | None):
        raise InvalidInput(field, "must be a JSON object")


def _model(field: str, value: Message) -> None:
    for share in ("recall", "precision", "f1_score"):
        told = getattr(value, share, 0.0)
        if not 0 <= told <= 1:
            raise InvalidInput(f"{field}.{share}", f"must be from 0 to 1, got {told}")
    for error in ("mse", "mae"):
        told = getattr(value, error, 0.0)
        if not 0 <= told < float("inf"):
            raise InvalidInput(f"{field}.{error}", f"must be a number from 0 up, got {told}")


_who: dict[str, Rule] = {"source_type": _source, "hostname": check_hostname, "ip": check_ip}
_member: dict[str, Rule] = {**_who, "idc": _text, "location": _text, "port": _port}
_of_scheduler_cluster: dict[str, Rule] = {**_who, "ip": _ip_or_empty, "scheduler_cluster_id": _cluster}
_of_seed_peer_cluster: dict[str, Rule] = {**_who, "ip": _ip_or_empty, "seed_peer_cluster_id": _cluster}

RULES: dict[str, dict[str, Rule]] = {
    "ListSchedulersRequest": {
        **_who,
        "idc": _text,
        "location": _text,
        "host_info": _host_info,
        "version": _text,
        "commit": _text,
    },
    "GetSchedulerRequest": _of_scheduler_cluster,
    "UpdateSchedulerRequest": {
        **_member,
        "scheduler_cluster_id": _cluster,
        "features": _features,
        "config": _json,
    },
    "GetSeedPeerRequest": _of_seed_peer_cluster,
    "DeleteSeedPeerRequest": _of_seed_peer_cluster,
    "ListSeedPeersRequest": {**_who, "version": _text, "commit": _text},
    "UpdateSeedPeerRequest": {
        **_member,
        "type": _seed_peer_type,
        "download_port": _port,
        "seed_peer_cluster_id": _cluster,
        "object_storage_port": _port_or_zero,
    },
    "ListApplicationsRequest": _who,
    "KeepAliveRequest": {**_who, "ip": _ip_or_empty, "cluster_id": _cluster},
    "CreateModelRequest": {
        "hostname": check_hostname,
        "ip": check_ip,
        "create_gnn_request": _model,
        "create_mlp_request": _model,
    },
}
