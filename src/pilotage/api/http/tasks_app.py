"""The task queue's application: routes, errors, OpenAPI, the page, and the gate in front of it all."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response
from prometheus_client import generate_latest
from starlette.types import ASGIApp

from pilotage.api.http import original, streams, v1
from pilotage.api.http.gate import PUBLIC, Gate, Limits, Tokens
from pilotage.api.http.hot import ERRORS, Hot, schemas
from pilotage.api.http.leading import Leading
from pilotage.api.http.wire import EXPECTED, problem

INSTANCE_PATHS = ("/ti/", "/notify/", "/result/submit", "/ws/result_submit", "/api/v1/results")
"""What instances ask for: the role ``instance``."""

ADMIN_PATHS = ("/scheduler/", "/task/clear", "/api/v1/instances", "/api/v1/strategies")
"""What changes the service itself; reading it is for clients."""

PUBLIC_PATHS = frozenset({"/", "/health", "/ready", "/favicon.ico"})

CLIENT, INSTANCE, ADMIN = "client", "instance", "admin"


def role_of(method: str, path: str) -> str:
    """The role that a request needs."""
    if path in PUBLIC_PATHS or path.startswith("/page/"):
        return PUBLIC
    if path.startswith(INSTANCE_PATHS) or (method, path) == ("POST", "/api/v1/instances"):
        return INSTANCE
    if path.startswith(ADMIN_PATHS) and method != "GET":
        return ADMIN
    return CLIENT


def make_app(
    leading: Leading, page: Mapping[str, tuple[str, bytes]], tokens: Tokens, limits: Limits, version: str
) -> ASGIApp:
    """The whole application. ``page``: media type and content of each file of the page, by its path."""
    app = FastAPI(
        title="Pilotage task queue",
        version=version,
        summary="One queue for many models on unequal instances.",
        description="The original scheduler's API beside our own below /api/v1. With tokens: Authorization: Bearer.",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(original.router(leading))
    app.include_router(v1.router(leading))
    app.include_router(streams.router(leading))
    _add_health(app, leading, version)
    for path, (media_type, content) in page.items():
        _add_file(app, path, media_type, content)

    async def answer(_: Request, error: Exception) -> JSONResponse:
        status, told = problem(error)
        return JSONResponse(told, status, headers={"Retry-After": "1"} if status == 429 else None)

    for kind in EXPECTED:
        app.add_exception_handler(kind, answer)
    forms = original.FORMS | v1.FORMS
    app.openapi = lambda: _openapi(app, forms)  # type: ignore[method-assign]
    hot = Hot(app, original.handlers(leading) | v1.handlers(leading))
    return Gate(hot, role_of, tokens, limits)


def _add_health(app: FastAPI, leading: Leading, version: str) -> None:
    @app.get("/health", summary="Whether the process is alive, and whether it leads", tags=["original"])
    async def health() -> dict[str, Any]:
        return {"status": "healthy", "service": "scheduler", "version": version, **leading.health()}

    @app.get("/ready", summary="200 while this process leads, else 503", tags=["v1"])
    async def ready() -> dict[str, str]:
        return {"strategy": leading.service.strategy_name}

    @app.get("/metrics", summary="Metrics for Prometheus", tags=["v1"])
    async def metrics() -> Response:
        return Response(generate_latest(leading.metrics), media_type="text/plain; version=0.0.4; charset=utf-8")


_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:"


def _add_file(app: FastAPI, path: str, media_type: str, content: bytes) -> None:
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": _POLICY + "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }

    async def file() -> Response:
        return Response(content, media_type=media_type, headers=headers)

    app.add_api_route(path, file, methods=["GET"], include_in_schema=False)


def _openapi(app: FastAPI, forms: Mapping[tuple[str, str], tuple[type, type, str, Any]]) -> dict[str, Any]:
    """The framework's document with the hot routes in it, and every answer that is no success."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
            tags=[{"name": "v1", "description": "Our own"}, {"name": "original", "description": "The original's"}],
        )
        paths, components = schemas(forms)
        for path, operations in document["paths"].items():
            for operation in operations.values():
                needed = ["422"] if "parameters" in operation or "requestBody" in operation else []
                for status in ("401", "429", "503", *needed, *(["404", "409"] if "{" in path else [])):
                    operation["responses"][status] = ERRORS[status]
                if path in ("/task/query", "/result/fetch"):
                    operation["responses"]["404"] = ERRORS["404"]
                if "requestBody" in operation:
                    operation["responses"] |= {status: ERRORS[status] for status in ("400", "413")}
        for path, operations in paths.items():
            for operation in operations.values():
                operation["tags"] = ["v1" if path.startswith("/api/") else "original"]
            document["paths"][path] = operations | document["paths"].get(path, {})
        document.setdefault("components", {}).setdefault("schemas", {}).update(components)
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        app.openapi_schema = document
    return app.openapi_schema
