"""VMs over HTTP: VirtFlow's two routes, and beside them lists, claims, hosts, webhooks and dead letters."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Protocol

import msgspec
from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from pilotage.model.errors import CommitUnknown, InvalidInput, NotFound, StorageDown, StorageFull, WrongState
from pilotage.model.vm import SchedulingRequest, parse_request

MANY_AT_MOST = 1000
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (InvalidInput, 422),
    (NotFound, 404),
    (WrongState, 409),
    (StorageDown, 503),
    (StorageFull, 503),
    (CommitUnknown, 503),
)
_EXAMPLE = {"requested_cpu": 4, "requested_memory": 8192, "requested_pool": "default", "dedicated": False}


class Service(Protocol):
    """What these routes ask for; errors are those of `pilotage.model.errors`."""

    async def submit(self, wanted: Sequence[SchedulingRequest]) -> Sequence[Any]: ...
    async def status(self, task_id: str) -> dict[str, Any]: ...
    async def tasks(self, *, status: str, host: str, after: str, limit: int) -> tuple[list[dict[str, Any]], str]: ...
    async def cancel(self, task_id: str) -> dict[str, Any]: ...
    async def release_task(self, task_id: str) -> dict[str, Any]: ...
    async def confirm(self, claim_id: str, token: int | None) -> dict[str, Any]: ...
    async def renew(self, claim_id: str, token: int | None, seconds: float) -> dict[str, Any]: ...
    async def release(self, claim_id: str, token: int | None) -> dict[str, Any]: ...
    async def hosts(self) -> list[dict[str, Any]]: ...
    async def webhooks(self, *, state: str, task_id: str, limit: int) -> list[dict[str, Any]]: ...
    async def deliveries(self, number: int) -> list[dict[str, Any]]: ...
    async def redeliver(self, number: int) -> None: ...
    async def dead_letters(self, *, error_class: str, state: str, limit: int) -> list[dict[str, Any]]: ...
    async def dead_letter(self, number: int) -> dict[str, Any]: ...


class Fence(BaseModel):
    """Which claim is meant: the token that its holder was given. Without it, whichever has that id."""

    model_config = ConfigDict(extra="forbid")

    token: Annotated[int | None, Field(ge=1, le=2**62)] = None


class Renewal(Fence):
    """How much longer."""

    seconds: Annotated[float, Field(gt=0, le=31_536_000)] = 3600.0


Limit = Annotated[int, Query(ge=1, le=1000)]
Number = Annotated[int, Field(ge=1, le=2**62)]


def application(service: Service, version: str) -> FastAPI:
    """The API of one face. It keeps nothing; every answer comes from the service."""
    app = FastAPI(title="Pilotage: VMs", version=version, description=__doc__ or "")
    _add_errors(app)
    _add_tasks(app, service)
    _add_claims(app, service)
    _add_operations(app, service)
    return app


def _add_errors(app: FastAPI) -> None:
    for kind, status in _STATUS:
        app.add_exception_handler(kind, _answering(status))

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
        return JSONResponse({"detail": f"{field}: {first['msg']}", "field": field}, 422)

    app.add_exception_handler(RequestValidationError, invalid)


def _answering(status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(_: Request, error: Exception) -> Response:
        told = {"detail": str(error)}
        if isinstance(error, InvalidInput):
            told["field"] = error.field
        return JSONResponse(told, status, headers={"Retry-After": "1"} if status == 503 else None)

    return answer


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _add_tasks(app: FastAPI, service: Service) -> None:
    schema = msgspec.json.schema(SchedulingRequest)
    definition = schema.get("$defs", {}).get("SchedulingRequest", schema)
    body = {"content": {"application/json": {"schema": {"type": "object", **_flat(definition)}, "example": _EXAMPLE}}}

    @app.post("/schedule", status_code=202, tags=["tasks"], openapi_extra={"requestBody": {**body, "required": True}})
    async def schedule(request: Request) -> Response:
        """Accept a request for a VM, durably, and answer with its task id. The same request twice is one task."""
        wanted = parse_request(await request.body(), request.headers.get("idempotency-key", "") or _NO_ID)
        if wanted.task_id == _NO_ID:
            wanted = msgspec.structs.replace(wanted, task_id="")
        (accepted,) = await service.submit([wanted])
        return _json(accepted, 202)

    @app.get("/status/{task_id}", tags=["tasks"])
    async def status(task_id: str) -> Response:
        """Everything about one task: state, host, claim, error with its class, history, processing time."""
        return _json(await service.status(task_id))

    @app.get("/tasks", tags=["tasks"])
    async def tasks(status: str = "", host: str = "", after: str = "", limit: Limit = 100) -> Response:
        """Tasks, newest first; ``next`` is the ``after`` of the next page."""
        found, cursor = await service.tasks(status=status, host=host, after=after, limit=limit)
        return _json({"tasks": found, "next": cursor})

    @app.post("/tasks/{task_id}/cancel", tags=["tasks"])
    async def cancel(task_id: str) -> Response:
        """Cancel a task that has no final state yet."""
        return _json(await service.cancel(task_id))

    @app.post("/tasks/{task_id}/release", tags=["tasks"])
    async def release(task_id: str) -> Response:
        """Give back what a task's VM held."""
        return _json(await service.release_task(task_id))


_NO_ID = "no-id"


def _flat(definition: dict[str, Any]) -> dict[str, Any]:
    """A schema without references: OpenAPI keeps its definitions elsewhere."""
    properties = {
        name: {"type": "object"} if "$ref" in str(kind) else kind for name, kind in definition["properties"].items()
    }
    return {"properties": properties, "required": definition["required"], "additionalProperties": False}


def _add_claims(app: FastAPI, service: Service) -> None:
    @app.post("/claims/{claim_id}/confirm", tags=["claims"])
    async def confirm(claim_id: str, fence: Fence | None = None) -> Response:
        """The VM runs: the claim no longer expires."""
        return _json(await service.confirm(claim_id, fence.token if fence else None))

    @app.post("/claims/{claim_id}/renew", tags=["claims"])
    async def renew(claim_id: str, renewal: Renewal | None = None) -> Response:
        """Reserve for longer, from now on."""
        said = renewal or Renewal()
        return _json(await service.renew(claim_id, said.token, said.seconds))

    @app.post("/claims/{claim_id}/release", tags=["claims"])
    async def release(claim_id: str, fence: Fence | None = None) -> Response:
        """The VM is gone: give its amounts back to the host."""
        return _json(await service.release(claim_id, fence.token if fence else None))


def _add_operations(app: FastAPI, service: Service) -> None:
    @app.get("/hosts", tags=["operations"])
    async def hosts() -> Response:
        """Hosts with capacity, use and state."""
        return _json({"hosts": await service.hosts()})

    @app.get("/webhooks", tags=["operations"])
    async def webhooks(state: str = "", task_id: str = "", limit: Limit = 100) -> Response:
        """Webhook messages, newest first."""
        return _json({"webhooks": await service.webhooks(state=state, task_id=task_id, limit=limit)})

    @app.get("/webhooks/{number}/deliveries", tags=["operations"])
    async def deliveries(number: Number) -> Response:
        """Every attempt to deliver one message."""
        return _json({"deliveries": await service.deliveries(number)})

    @app.post("/webhooks/{number}/redeliver", status_code=202, tags=["operations"])
    async def redeliver(number: Number) -> Response:
        """Send a message once more, under the same event id."""
        await service.redeliver(number)
        return _json({"number": number}, 202)

    @app.get("/deadletters", tags=["operations"])
    async def dead_letters(error_class: str = "", state: str = "", limit: Limit = 100) -> Response:
        """Messages that are no requests, and requests that failed by a bug."""
        return _json({"dead_letters": await service.dead_letters(error_class=error_class, state=state, limit=limit)})

    @app.get("/deadletters/{number}", tags=["operations"])
    async def dead_letter(number: Number) -> Response:
        """One of them, with its body."""
        return _json(await service.dead_letter(number))
