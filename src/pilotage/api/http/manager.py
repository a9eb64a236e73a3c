"""The manager over HTTP, below ``/api/v1``: every kind of row, and what a host would be told and why."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from msgspec import Struct

from pilotage.api.http import manager_bodies as bodies
from pilotage.api.names import check_hostname, check_ip
from pilotage.model.errors import CommitUnknown, InvalidInput, StorageDown, StorageFull
from pilotage.registry.entities import (
    Application,
    Entity,
    Model,
    Scheduler,
    SchedulerCluster,
    SeedPeer,
    SeedPeerCluster,
)
from pilotage.registry.errors import Missing, Taken
from pilotage.registry.matching import Host
from pilotage.registry.ports import Registry
from pilotage.registry.searcher import NoCluster

_JSON = frozenset({"config", "client_config", "seed_client_config", "scopes", "priority", "evaluation"})

_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (InvalidInput, 422),
    (Missing, 404),
    (Taken, 409),
    (StorageDown, 503),
    (StorageFull, 503),
    (CommitUnknown, 503),
)


class Resource(Struct, frozen=True):
    """One kind of row: where it is found, what its bodies are, and by which fields a list can be narrowed."""

    path: str
    kind: type[Entity]
    new: type[bodies.Body] | None
    change: type[bodies.Body]
    filters: tuple[str, ...]


RESOURCES = (
    Resource("clusters", SchedulerCluster, bodies.ClusterBody, bodies.ClusterChange, ("name",)),
    Resource(
        "seed-peer-clusters", SeedPeerCluster, bodies.SeedPeerClusterBody, bodies.SeedPeerClusterChange, ("name",)
    ),
    Resource(
        "schedulers",
        Scheduler,
        bodies.SchedulerBody,
        bodies.SchedulerChange,
        ("state", "cluster_id", "hostname", "ip", "idc"),
    ),
    Resource(
        "seed-peers",
        SeedPeer,
        bodies.SeedPeerBody,
        bodies.SeedPeerChange,
        ("state", "cluster_id", "hostname", "ip", "idc", "type"),
    ),
    Resource("applications", Application, bodies.ApplicationBody, bodies.ApplicationChange, ("name",)),
    Resource("models", Model, None, bodies.ModelChange, ("state", "type", "version", "scheduler_id")),
)


def application(registry: Registry, version: str) -> FastAPI:
    """Return the API as an application; ``version`` is what its description says."""
    app = FastAPI(title="Pilotage manager", version=version, docs_url=None, redoc_url=None)
    app.include_router(_router(registry), prefix="/api/v1")
    for kind, status in _STATUS:
        app.add_exception_handler(kind, _refusal(status))
    app.add_exception_handler(RequestValidationError, _unusable)
    return app


def _router(registry: Registry) -> APIRouter:
    router = APIRouter()
    for resource in RESOURCES:
        _add(router, registry, resource)

    @router.get("/models/{row_id}/data", response_class=Response)
    async def model_data(row_id: bodies.Id) -> Response:
        """The file of a model; its digest is the model's."""
        data = await registry.model_data(row_id)
        return Response(data, media_type="application/octet-stream")

    @router.get("/discovery")
    def discovery(
        hostname: str, ip: str, idc: bodies.Text = "", location: bodies.Text = "", require: bodies.Text | None = None
    ) -> dict[str, Any]:
        """What a host would be told, best first, and why."""
        check_hostname("hostname", hostname)
        check_ip("ip", ip)
        terms = None if require is None else tuple(filter(None, require.split(",")))
        try:
            ranked = registry.explain(Host(hostname, ip, idc, location), terms)
        except NoCluster as reason:
            raise Missing(str(reason)) from None
        catalogue = registry.catalogue
        clusters = [
            {
                "cluster_id": each.cluster_id,
                "name": catalogue.clusters[each.cluster_id].name,
                "score": round(each.score, 6),
                "why": {term.name: {"value": term.value, "weight": term.weight} for term in each.why},
                "schedulers": [told(scheduler) for scheduler in catalogue.eligible(each.cluster_id)],
            }
            for each in ranked
        ]
        return {"ranking": registry.ranking, "revision": catalogue.revision, "clusters": clusters}

    return router


def _add(router: APIRouter, registry: Registry, resource: Resource) -> None:
    """Add list, read, create, change and delete of one kind."""
    path, kind = f"/{resource.path}", resource.kind

    async def rows(
        request: Request,
        response: Response,
        page: Annotated[int, Query(ge=1, le=10**9)] = 1,
        per_page: Annotated[int, Query(ge=1, le=1000)] = 50,
    ) -> list[dict[str, Any]]:
        wanted = _wanted(resource, request.query_params)
        found = [row for _, row in sorted(registry.catalogue.rows(kind).items()) if _fits(row, wanted)]
        response.headers["x-total-count"] = str(len(found))
        if page * per_page < len(found):
            response.headers["link"] = f'<{request.url.include_query_params(page=page + 1)}>; rel="next"'
        return [told(row) for row in found[(page - 1) * per_page : page * per_page]]

    async def row(row_id: bodies.Id) -> dict[str, Any]:
        found = registry.catalogue.rows(kind).get(row_id)
        if found is None:
            raise Missing(f"there is no {kind.__name__} {row_id}")
        return told(found)

    async def change(row_id: bodies.Id, body: Any) -> dict[str, Any]:
        return told(await registry.change(kind, row_id, body.values()))

    async def remove(row_id: bodies.Id) -> Response:
        await registry.remove(kind, row_id)
        return Response(status_code=204)

    change.__annotations__["body"] = resource.change
    name = resource.path
    router.add_api_route(path, rows, methods=["GET"], name=f"list {name}", operation_id=f"list-{name}")
    router.add_api_route(path + "/{row_id}", row, methods=["GET"], operation_id=f"get-{name}")
    router.add_api_route(path + "/{row_id}", change, methods=["PATCH"], operation_id=f"change-{name}")
    router.add_api_route(path + "/{row_id}", remove, methods=["DELETE"], status_code=204, operation_id=f"delete-{name}")
    if resource.new is not None:

        async def create(body: Any) -> dict[str, Any]:
            return told(await registry.create(kind, body.values()))

        create.__annotations__["body"] = resource.new
        router.add_api_route(path, create, methods=["POST"], status_code=201, operation_id=f"create-{name}")


def _wanted(resource: Resource, query: Mapping[str, str]) -> dict[str, str]:
    known = {*resource.filters, "page", "per_page"}
    for name in query:
        if name not in known:
            raise InvalidInput(name, f"is no filter of {resource.path}; known: {', '.join(sorted(known))}")
    return {name: query[name] for name in resource.filters if name in query}


def _fits(row: Entity, wanted: Mapping[str, str]) -> bool:
    return all(str(getattr(row, name)) == value for name, value in wanted.items())


def told(row: Entity) -> dict[str, Any]:
    """Return a row as people read it: JSON as JSON; a text that is none, as that text."""
    values = msgspec.structs.asdict(row)
    for name in _JSON & values.keys():
        try:
            values[name] = msgspec.json.decode(values[name])
        except (msgspec.DecodeError, RecursionError):
            continue
    return values


def _refusal(status: int) -> Callable[[Request, Exception], Response]:
    def refuse(_: Request, error: Exception) -> Response:
        return JSONResponse({"detail": str(error)}, status_code=status)

    return refuse


def _unusable(_: Request, error: Exception) -> Response:
    """The first fault of a request, with its field."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return JSONResponse({"detail": "body: is no JSON"}, status_code=422)
    field = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    reason = str(first["msg"]).removeprefix("Value error, ").replace("Input should be", "must be")
    return JSONResponse({"detail": f"{field or 'body'}: {reason}"}, status_code=422)
