"""The original scheduler's HTTP API, so that its clients and instances work unchanged.

Where the original answers an error with status 200, so does this; times are in its units (seconds and milliseconds).
"""

import uuid
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from fastapi.responses import Response
from msgspec import Meta, Raw, Struct, field
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Scope

from pilotage.api.http.hot import Answer, Handler
from pilotage.api.http.leading import Leading
from pilotage.api.http.wire import check_object, decode
from pilotage.engine.taskqueue.machine import LiveTask
from pilotage.model.errors import InvalidInput
from pilotage.model.routing import COMPLETED, RUNNING, SCHEDULED
from pilotage.service.commands import Submission
from pilotage.service.ports import Filter, NoInstance, NotFound, Stored
from pilotage.service.rows import features


def no_fields() -> Raw:
    """An empty object."""
    return Raw(b"{}")


Object = Annotated[Raw, Meta(extra_json_schema={"type": "object"})]
"""A JSON object whose text is kept as it came; `check_object` looks inside."""

Name = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f]*$")]
Milliseconds = Annotated[float, Meta(ge=0, le=1e12)]


class Submit(Struct):
    """A task: which model, what input, what is known of it. ``task_id`` counts only if it is a UUID."""

    model_name: Name
    task_input: Object
    metadata: Object = field(default_factory=no_fields)
    task_id: str | None = None


class Submitted(Struct):
    """Accepted and stored. ``scheduled_ti``: the instance it is bound to, or (late bound) planned for."""

    status: str
    task_id: str
    scheduled_ti: str


class Complete(Struct):
    """An instance's word that a task is done. ``execution_time`` in milliseconds."""

    task_id: Name
    instance_id: Name
    execution_time: Milliseconds


class Result(Struct):
    """An instance's word that a task is done, with what came out."""

    task_id: Name
    instance_id: Name
    execution_time: Milliseconds
    result: Object
    metadata: Object = field(default_factory=no_fields)
    replica_id: Any = None


class Noticed(Struct, omit_defaults=True):
    """What was done with the word."""

    status: str
    message: str
    total_time_ms: float | None = None


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Register(_Body):
    """Where an instance listens; the later form names its model."""

    host: Annotated[str, Field(min_length=1, max_length=253, examples=["127.0.0.1"])]
    port: Annotated[int, Field(ge=1, le=65535, examples=[8100])]
    model_name: Annotated[str | None, Field(max_length=256, examples=["llama"])] = None


class Remove(_Body):
    """Which instance: by its id, or (the later form) by its address."""

    ti_uuid: str | None = None
    host: str | None = None
    port: Annotated[int | None, Field(ge=1, le=65535)] = None


class SetStrategy(_Body):
    """A strategy's name."""

    name: Annotated[str, Field(max_length=256, examples=["round_robin"])]


class SetMode(_Body):
    """``default`` or ``lookup_table``."""

    mode: Annotated[str, Field(max_length=256, examples=["default"])]


class BatchTask(_Body):
    """One task of a batch."""

    task_input: dict[str, Any]
    metadata: dict[str, Any] = {}


class Batch(_Body):
    """Tasks for one model."""

    model_name: Annotated[str, Field(min_length=1, max_length=256)]
    tasks: Annotated[list[BatchTask], Field(max_length=10_000)]


class Fetch(_Body):
    """Which task's result."""

    task_id: Annotated[str, Field(max_length=256)]


def task_status(row: Stored) -> str:
    """The original does not know ``running``."""
    return SCHEDULED if row.status == RUNNING else row.status


def bound_to(row: LiveTask | Stored) -> str:
    """The instance that a submitted task is on, or (late bound) that it was planned for."""
    return row.instance or (row.payload.planned if isinstance(row, LiveTask) else "")


def record(row: Stored) -> dict[str, Any]:
    """A task as the original shows it."""
    told: dict[str, Any] = {
        "task_id": row.id,
        "task_status": task_status(row),
        "scheduled_ti": row.instance,
        "submit_time": row.submitted_s,
        "model_name": row.model,
        "result": None if row.result is None else Raw(row.result),
        "completion_time": row.finished_s,
    }
    if row.error:
        told["error"] = row.error
    return told


def as_uuid(text: str | None) -> str | None:
    """The id if it is a UUID, else None: a new one is made."""
    if text is None:
        return None
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


def handlers(leading: Leading) -> dict[tuple[str, str], Handler]:
    """The routes that submit and complete tasks."""

    async def submit(body: bytes, _: Scope) -> Answer:
        wanted = decode(body, Submit)
        metadata = check_object("metadata", wanted.metadata)
        service = leading.service
        live, _new = await service.submit(
            Submission(
                model=wanted.model_name,
                input=check_object("task_input", wanted.task_input),
                metadata=metadata,
                features=features(metadata),
                task_id=as_uuid(wanted.task_id),
            ),
            needs_instance=True,
        )
        told = Submitted("success", live.id, bound_to(live))
        return 200, msgspec.json.encode(told)

    async def notify(body: bytes, _: Scope) -> Answer:
        word = decode(body, Complete)
        done = await leading.service.complete(word.instance_id, word.task_id, word.execution_time / 1000)
        if not done.known and leading.service.fleet.find(word.instance_id) is None:
            return 200, msgspec.json.encode(Noticed("warning", f"Instance {word.instance_id} not found"))
        return 200, msgspec.json.encode(_noticed(word.task_id, done.first, done.total_s))

    async def result(body: bytes, _: Scope) -> Answer:
        return 200, msgspec.json.encode(await take_result(leading, decode(body, Result)))

    return {
        ("POST", "/queue/submit"): submit,
        ("POST", "/notify/task_complete"): notify,
        ("POST", "/result/submit"): result,
    }


async def take_result(leading: Leading, word: Result) -> Noticed:
    """Complete a task with its result; an unknown instance is an error of status 200, as it always was."""
    content = check_object("result", word.result)
    service = leading.service
    done = await service.complete(word.instance_id, word.task_id, word.execution_time / 1000, content)
    if not done.known and service.fleet.find(word.instance_id) is None:
        return Noticed("error", f"Instance {word.instance_id} not found")
    return _noticed(word.task_id, done.first, done.total_s)


def _noticed(task_id: str, first: bool, total_s: float | None) -> Noticed:
    if not first:
        return Noticed("success", f"Task {task_id} had ended already, or is not known; nothing was changed")
    total_ms = None if total_s is None else round(total_s * 1000, 3)
    return Noticed("success", f"Task {task_id} completed", total_ms)


FORMS: dict[tuple[str, str], tuple[type, type, str, Any]] = {
    ("POST", "/queue/submit"): (
        Submit,
        Submitted,
        "Submit a task",
        {"model_name": "llama", "task_input": {"prompt": "hello"}, "metadata": {"server_time_cost": 120}},
    ),
    ("POST", "/notify/task_complete"): (
        Complete,
        Noticed,
        "An instance reports a task done",
        {"task_id": "0199...", "instance_id": "127.0.0.1:8100", "execution_time": 118.5},
    ),
    ("POST", "/result/submit"): (
        Result,
        Noticed,
        "An instance delivers a result",
        {"task_id": "0199...", "instance_id": "127.0.0.1:8100", "execution_time": 118.5, "result": {"text": "hi"}},
    ),
}


def router(leading: Leading) -> APIRouter:
    """The other routes of the original."""
    routes = APIRouter(tags=["original"])
    _add_instances(routes, leading)
    _add_tasks(routes, leading)
    return routes


def _add_instances(routes: APIRouter, leading: Leading) -> None:
    @routes.post("/ti/register", summary="Register an instance")
    async def register(body: Register) -> dict[str, str]:
        try:
            leading.allowed(body.host, body.port)
        except InvalidInput as error:
            return {"status": "error", "message": str(error), "ti_uuid": ""}
        member = await leading.service.fleet.register(body.host, body.port, body.model_name or "")
        told = "" if member.answers else f" (it does not answer yet: {member.reason})"
        return {"status": "success", "message": f"TaskInstance registered{told}", "ti_uuid": member.id}

    @routes.post("/ti/remove", summary="Remove an instance")
    async def remove(body: Remove) -> dict[str, Any]:
        fleet = leading.service.fleet
        if body.ti_uuid is not None:
            told: dict[str, Any] = {"ti_uuid": body.ti_uuid}
            if as_uuid(body.ti_uuid) is None:
                return {"status": "error", "message": "Invalid UUID format", **told}
            member = fleet.members.get(str(uuid.UUID(body.ti_uuid)))
        elif body.host is not None and body.port is not None:
            member = fleet.at(body.host, body.port)
            told = {"host": body.host, "port": body.port, "ti_uuid": member.id if member else None}
        else:
            raise InvalidInput("ti_uuid", "is required (or host and port)")
        if member is None:
            return {"status": "error", "message": "TaskInstance not found", **told}
        await fleet.remove(member)
        return {"status": "success", "message": "TaskInstance removed", **told}

    @routes.get("/queue/info", summary="Expected waiting time of each instance")
    async def queue_info(model_name: Annotated[str | None, Query(max_length=256)] = None) -> dict[str, Any]:
        return {"status": "success", "queues": leading.service.queues(model_name)}

    @routes.post("/scheduler/set", summary="Choose the strategy")
    async def set_strategy(body: SetStrategy) -> dict[str, str]:
        return await _said(leading.service.use_strategy(body.name))

    @routes.post("/scheduler/predict_mode", summary="Choose where run times come from")
    async def predict_mode(body: SetMode) -> dict[str, str]:
        return await _said(leading.service.use_predict_mode(body.mode))


def _add_tasks(routes: APIRouter, leading: Leading) -> None:
    @routes.post("/queue/submit_batch", summary="Submit several tasks for one model")
    async def submit_batch(body: Batch) -> dict[str, Any]:
        service = leading.service
        results: list[dict[str, Any]] = []
        accepted: list[tuple[dict[str, Any], LiveTask]] = []
        for index, task in enumerate(body.tasks):
            told: dict[str, Any] = {"index": index, "status": "success", "task_id": None, "scheduled_ti": None}
            wanted = Submission(
                model=body.model_name,
                input=msgspec.json.encode(task.task_input),
                metadata=msgspec.json.encode(task.metadata),
                features=task.metadata,
            )
            try:
                live = service.accept(wanted, needs_instance=True)
            except (NoInstance, RuntimeError) as error:
                told |= {"status": "error", "error": str(error)}
            else:
                accepted.append((told, live))
            results.append(told)
        await service.stored()
        for told, live in accepted:
            told |= {"task_id": live.id, "scheduled_ti": bound_to(live), "error": None}
        good = sum(each["status"] == "success" for each in results)
        return {
            "status": "success" if good == len(results) else "partial" if good else "error",
            "message": f"{good} of {len(results)} tasks submitted",
            "total_tasks": len(results),
            "successful_tasks": good,
            "failed_tasks": len(results) - good,
            "results": results,
        }

    @routes.get("/task/query", summary="One task")
    async def query(task_id: Annotated[str, Query(max_length=256)]) -> Response:
        row = await leading.service.find(task_id)
        told = record(row)
        told["scheduled_ti"] = told["scheduled_ti"] or leading.service.instance_of(row.id)
        return Response(msgspec.json.encode(told), media_type="application/json")

    @routes.get("/task/all_tasks", summary="Tasks, newest first")
    async def all_tasks(limit: Annotated[int, Query(ge=1, le=100_000)] = 10_000) -> Response:
        total = await leading.service.count(Filter())
        rows = await leading.service.search(Filter(), limit)
        told = {"status": "success", "total_tasks": total, "tasks": [record(row) for row in rows]}
        return Response(msgspec.json.encode(told), media_type="application/json")

    @routes.post("/task/clear", summary="Cancel and forget every task")
    async def clear() -> dict[str, Any]:
        count = await leading.service.clear()
        return {"status": "success", "message": f"Cleared {count} tasks", "cleared_count": count}

    @routes.post("/result/fetch", summary="A task's result, or null while there is none")
    async def fetch(body: Fetch) -> Response:
        row = await leading.service.find(body.task_id)
        if row.status != COMPLETED:
            return Response(b"null", media_type="application/json")
        return Response(b'{"result":' + (row.result or b"null") + b"}", media_type="application/json")


async def _said(change: Any) -> dict[str, str]:
    try:
        await change
    except (InvalidInput, NotFound) as error:
        return {"status": "error", "message": str(error)}
    return {"status": "success", "message": "OK"}
