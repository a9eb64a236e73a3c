"""Objects of a cluster from files, as `kubectl get -o json` or `-o yaml` writes them; several documents are welcome."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct, field

from pilotage.adapters.kubernetes.objects import (
    Namespace,
    Node,
    Pod,
    PriorityClass,
    ReplicationController,
    Service,
    Workload,
)
from pilotage.adapters.kubernetes.surroundings import Surroundings
from pilotage.model.errors import InvalidInput

LARGEST = 2 * 2**30
"""Bytes of one file: more is no dump of a cluster."""


KIN: dict[str, type[Any]] = {
    "Namespace": Namespace,
    "Service": Service,
    "ReplicationController": ReplicationController,
    "ReplicaSet": Workload,
    "StatefulSet": Workload,
}
"""Kinds that tell which pods belong together."""


class Objects(Struct):
    """What the files hold: nodes, pods and priority classes, and what else tells which pods belong together.

    ``others`` counts objects by kind that are passed over.

    ``broken``: pods that can not be read, with the reason.
    """

    nodes: list[Node] = field(default_factory=list)
    pods: list[Pod] = field(default_factory=list)
    classes: list[PriorityClass] = field(default_factory=list)
    surroundings: Surroundings = field(default_factory=Surroundings)
    broken: list[tuple[str, str]] = field(default_factory=list)
    others: dict[str, int] = field(default_factory=dict)


def read_objects(names: Iterable[str]) -> Objects:
    """Read files (``-``: standard input); raises `InvalidInput` naming file and object for what can not be used."""
    found = Objects()
    for name in names:
        for document in read_documents(name):
            _file(name, document, found)
    if not found.nodes:
        raise InvalidInput("objects", "no node is among them (kubectl get nodes,pods -A -o json > cluster.json)")
    return found


def read_documents(name: str) -> list[Any]:
    """Return the JSON or YAML documents of a file; empty ones are left out."""
    try:
        if name == "-":
            text = sys.stdin.buffer.read(LARGEST + 1)
        else:
            path = Path(name)
            if path.stat().st_size > LARGEST:
                raise InvalidInput(name, "is larger than 2 GiB")
            text = path.read_bytes()
    except OSError as error:
        raise InvalidInput(name, f"can not be read: {error.strerror or error}") from error
    try:
        if text.lstrip()[:1] in (b"{", b"["):
            return [msgspec.json.decode(text)]
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        return [document for document in yaml.load_all(text, loader) if document is not None]
    except (msgspec.DecodeError, UnicodeDecodeError, yaml.YAMLError) as error:
        where = " ".join(str(error).split())
        raise InvalidInput(name, f"is neither JSON nor YAML: {where:.200}") from error


def _file(name: str, document: Any, found: Objects) -> None:
    for each in _items(name, document):
        add_object(name, each, found)


def add_object(where: str, each: dict[str, Any], found: Objects) -> None:
    """Read one object into ``found``; raises `InvalidInput` for one other than a pod that can not be read."""
    kind = each.get("kind")
    if kind == "Pod":
        try:
            found.pods.append(msgspec.convert(each, Pod, strict=True))
        except msgspec.ValidationError as error:
            found.broken.append((_key(each), str(error)))
    elif kind == "Node":
        found.nodes.append(_convert(where, each, Node))
    elif kind == "PriorityClass":
        found.classes.append(_convert(where, each, PriorityClass))
    elif kind in KIN:
        found.surroundings.add(_convert(where, each, KIN[kind]), kind)
    else:
        found.others[str(kind)] = found.others.get(str(kind), 0) + 1


def _items(name: str, document: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects of a document: itself, or the items of a list."""
    if isinstance(document, list):
        document = {"kind": "List", "items": document}
    if not isinstance(document, dict):
        raise InvalidInput(name, f"must hold objects of Kubernetes, got {json.dumps(document, default=str):.60}")
    kind = document.get("kind")
    if not isinstance(kind, str):
        raise InvalidInput(name, "an object has no kind: it must be one of Kubernetes (kubectl get ... -o json)")
    if not kind.endswith("List"):
        yield document
        return
    items = document.get("items") or []
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, dict):
            raise InvalidInput(name, f"an item of {kind} is no object: {item!r:.60}")
        yield from _items(name, item if "kind" in item else {"kind": kind[: -len("List")], **item})


def _convert(name: str, each: dict[str, Any], kind: type[Any]) -> Any:
    try:
        return msgspec.convert(each, kind, strict=True)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{name}: {each['kind']} {_key(each)}", str(error)) from error


def _key(each: dict[str, Any]) -> str:
    meta = each.get("metadata")
    meta = meta if isinstance(meta, dict) else {}
    if each.get("kind") == "Pod":
        return f"{meta.get('namespace') or 'default'}/{meta.get('name', '')}"
    return str(meta.get("name", ""))
