"""Reads the objects that scheduling looks at from an API server, page by page; it lists and does nothing else."""

from collections.abc import AsyncIterator

import aiohttp
import msgspec
from msgspec import Raw, Struct

from pilotage.adapters.kubernetes.asking import ask
from pilotage.adapters.kubernetes.files import Objects, add_object
from pilotage.adapters.kubernetes.kubeconfig import Access
from pilotage.model.errors import InvalidInput

LISTS = (
    ("Node", "/api/v1/nodes", ""),
    ("Pod", "/api/v1/pods", "status.phase!=Succeeded,status.phase!=Failed"),
    ("PriorityClass", "/apis/scheduling.k8s.io/v1/priorityclasses", ""),
    ("Namespace", "/api/v1/namespaces", ""),
    ("Service", "/api/v1/services", ""),
    ("ReplicationController", "/api/v1/replicationcontrollers", ""),
    ("ReplicaSet", "/apis/apps/v1/replicasets", ""),
    ("StatefulSet", "/apis/apps/v1/statefulsets", ""),
)
"""Kind, path and field selector: what is over is left out."""

PAGE = 500
"""Objects of one answer, as kubectl asks."""

_WORDS = {
    401: "the server does not know these credentials",
    403: f"these credentials may not list all of {', '.join(path.rpartition('/')[2] for _, path, _ in LISTS)}",
}


class Rest(Struct, rename="camel"):
    """Where the next page of a list begins."""

    next_page: str = msgspec.field(default="", name="continue")


class Page(Struct):
    """A part of a list; the objects as they stand."""

    items: list[Raw] = msgspec.field(default_factory=list)
    metadata: Rest = msgspec.field(default_factory=Rest)


class Expired(Exception):  # noqa: N818
    """The rest of a list is no longer kept by the server."""


async def read_cluster(access: Access, page: int = PAGE) -> Objects:
    """Return what scheduling reads of the cluster, ``page`` objects at a time.

    Raises `InvalidInput` that says which request failed and why.
    """
    found = Objects()
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
        for kind, path, selector in LISTS:
            for item in await _whole_list(session, access, path, selector, page):
                add_object(access.where, {"kind": kind, **item}, found)
    if not found.nodes:
        raise InvalidInput(access.where, "the cluster has no nodes")
    return found


Items = list[dict[str, object]]


async def _whole_list(session: aiohttp.ClientSession, access: Access, path: str, selector: str, page: int) -> Items:
    """Return all items of a list; if its rest expires meanwhile, it is read again, at last in one piece."""
    for limit in (page, page, 0):
        try:
            return [item async for items in _pages(session, access, path, selector, limit) for item in items]
        except Expired:
            continue
    raise InvalidInput(access.where, f"{path} can not be read: it expires while it is read")


async def _pages(
    session: aiohttp.ClientSession, access: Access, path: str, selector: str, limit: int
) -> AsyncIterator[Items]:
    query = {"limit": str(limit)} if limit else {}
    if selector:
        query["fieldSelector"] = selector
    while True:
        page = await _get(session, access, path, query)
        yield [msgspec.json.decode(item, type=dict[str, object]) for item in page.items]
        if not page.metadata.next_page:
            return
        query["continue"] = page.metadata.next_page


async def _get(session: aiohttp.ClientSession, access: Access, path: str, query: dict[str, str]) -> Page:
    answer = await ask(session, access, path, query=query)
    if answer.status == 410:
        raise Expired
    if answer.status != 200:
        words = _WORDS.get(answer.status, answer.reason)
        raise InvalidInput(access.where, f"{access.server}{path}: {answer.status}: {words}{answer.words}")
    try:
        return msgspec.json.decode(answer.body, type=Page)
    except msgspec.DecodeError as error:
        raise InvalidInput(access.where, f"{access.server}{path}: is no list: is this an API server?") from error
