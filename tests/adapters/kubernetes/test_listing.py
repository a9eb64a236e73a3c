"""Lists of a cluster are read page by page, and anew when their rest expires meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pilotage.adapters.kubernetes.files import Objects
from pilotage.adapters.kubernetes.kubeconfig import Access
from pilotage.adapters.kubernetes.listing import read_cluster
from pilotage.model.errors import InvalidInput

NODES = [{"metadata": {"name": f"n{i}"}, "status": {"allocatable": {"cpu": "1"}}} for i in range(7)]


class Server:
    """Answers lists as an API server does, and forgets the rest of one after ``expire`` requests for nodes."""

    def __init__(self, expire: int) -> None:
        self.expire = expire
        self.asked: list[dict[str, str]] = []

    async def answer(self, request: web.Request) -> web.Response:
        items: list[dict[str, Any]] = NODES if request.path == "/api/v1/nodes" else []
        if request.path == "/api/v1/nodes":
            self.asked.append(dict(request.query))
        start, limit = int(request.query.get("continue", 0)), int(request.query.get("limit", 0)) or len(NODES)
        if start and self.expire:
            self.expire -= 1
            return web.json_response({"kind": "Status", "message": "expired"}, status=410)
        end = start + limit
        rest = {"continue": str(end)} if end < len(items) else {}
        return web.json_response({"kind": "List", "items": items[start:end], "metadata": rest})

    async def read(self) -> Objects:
        app = web.Application()
        app.router.add_get("/{path:.*}", self.answer)
        async with TestServer(app) as server:
            return await read_cluster(Access(f"http://127.0.0.1:{server.port}", "here"), page=3)


@pytest.mark.parametrize("expire", [0, 1, 2])
def test_every_node_is_read_once(expire: int) -> None:
    server = Server(expire)
    found = asyncio.run(server.read())
    assert [each.metadata.name for each in found.nodes] == [each["metadata"]["name"] for each in NODES]
    assert (server.asked[-1].get("limit") is None) == (expire == 2), "at last in one piece"


def test_what_is_no_api_server_is_told_so() -> None:
    async def read() -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", page)
        async with TestServer(app) as server:
            await read_cluster(Access(f"http://127.0.0.1:{server.port}", "here"))

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>hello</html>")

    with pytest.raises(InvalidInput, match=r"/api/v1/nodes: is no list: is this an API server\?"):
        asyncio.run(read())
