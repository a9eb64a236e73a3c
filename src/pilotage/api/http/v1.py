"""Our own API, /api/v1: tasks, instances, strategies, decisions, explanations, statistics. Times are Unix seconds."""

import time
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Path, Query
from fastapi.responses import Response
from msgspec import Meta, Raw, Struct, field
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Scope

from pilotage.api.http.hot import Answer, Handler
from pilotage.api.http.leading import Leading
from pilotage.api.http.original import Milliseconds, Name, Object, bound_to, no_fields
from pilotage.api.http.wire import check_object, decode
from pilotage.engine.taskqueue.machine import LiveTask
from pilotage.model.errors import InvalidInput
from pilotage.model.routing import ENDED, STATUSES
from pilotage.service.commands import Submission
from pilotage.service.fleet import Member
from pilotage.service.ports import Filter, NotFound, Stored, WrongState
from pilotage.service.rows import features, to_row
from pilotage.service.tasks import TaskService

TEXT = r"^[^\x00-\x1f]*$"

Identity = Annotated[str, Path(max_length=256, pattern=TEXT)]
Text = Query(max_length=256, pattern=TEXT)

Id = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:-]*$")]
Label = Annotated[str, Meta(max_length=128, pattern=TEXT)]


def _null() -> Raw:
    return Raw(b"null")


class NewTask(Struct, forbid_unknown_fields=True):
    """A task. ``deadline_s``: seconds from now after which it need not be started; a higher ``priority`` goes first.

    The same ``idempotency_key`` (of the same tenant) gives the same task again, however often it is sent.
    """

    model: Name
    input: Object = field(default_factory=no_fields)
    metadata: Object = field(default_factory=no_fields)
    id: Id | None = None
    priority: Annotated[int, Meta(ge=-1_000_000, le=1_000_000)] = 0
    deadline_s: Annotated[float, Meta(gt=0, le=31_536_000)] | None = None
    tenant: Label = ""
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=128, pattern=TEXT)] | None = None


class NewTasks(Struct, forbid_unknown_fields=True):
    """Up to 1,000 tasks, without ids or keys of their own: all are accepted, or none."""

    tasks: Annotated[list[NewTask], Meta(min_length=1, max_length=1000)]


class Accepted(Struct):
    """``created`` False: the key was known, and nothing new was made."""

    id: str
    status: str
    instance: str
    created: bool = True


class AcceptedTasks(Struct):
    """In the order they were sent."""

    tasks: list[Accepted]


class Outcome(Struct, forbid_unknown_fields=True):
    """A result; with ``error`` the run failed. ``run_ms``: how long it ran, as the instance measured it."""

    task_id: Name
    instance: Name
    run_ms: Milliseconds | None = None
    result: Raw = field(default_factory=_null)
    error: Annotated[str, Meta(max_length=10_000)] = ""


class Outcomes(Struct, forbid_unknown_fields=True):
    """Results of one instance, many at once."""

    results: Annotated[list[Outcome], Meta(max_length=10_000)]


class Taken(Struct):
    """Per result: ``taken``, ``known`` (was told before), or ``unknown``."""

    results: list[str]


class NewInstance(BaseModel):
    """Where an instance listens. ``model``: only if it does not say that itself."""

    model_config = ConfigDict(extra="forbid")

    host: Annotated[str, Field(min_length=1, max_length=253, examples=["127.0.0.1"])]
    port: Annotated[int, Field(ge=1, le=65535, examples=[8100])]
    model: Annotated[str, Field(max_length=256, pattern=TEXT)] = ""


class NewStrategy(BaseModel):
    """What to change; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    strategy: Annotated[str | None, Field(max_length=256, examples=["shortest_queue"])] = None
    predict_mode: Annotated[str | None, Field(max_length=256, examples=["default"])] = None


def handlers(leading: Leading) -> dict[tuple[str, str], Handler]:
    """The routes that submit and complete tasks."""

    async def submit(body: bytes, scope: Scope) -> Answer:
        wanted = decode(body, NewTask)
        if wanted.idempotency_key is None:
            wanted.idempotency_key = _key_of(scope)
        service = leading.service
        submission = _submission(wanted)
        row, created = await service.submit(submission)
        if not created:
            _check_same(row, submission)
        return 200, msgspec.json.encode(_accepted(row, created))

    async def submit_many(body: bytes, _: Scope) -> Answer:
        service = leading.service
        submissions = []
        for index, wanted in enumerate(decode(body, NewTasks).tasks):
            for name in ("id", "idempotency_key"):
                if getattr(wanted, name) is not None:
                    raise InvalidInput(f"tasks.{index}.{name}", "goes with a single task only: POST /api/v1/tasks")
            submissions.append(_submission(wanted, f"tasks.{index}."))
        service.check_room(len(submissions))
        for submission in submissions:
            service.check_odds(submission)
        rows = [service.accept(submission) for submission in submissions]
        await service.stored()
        return 200, msgspec.json.encode(AcceptedTasks([_accepted(row, True) for row in rows]))

    async def results(body: bytes, _: Scope) -> Answer:
        words = decode(body, Outcomes).results
        contents = [_any_json(f"results.{index}.result", word.result) for index, word in enumerate(words)]
        service = leading.service
        states = []
        for word, content in zip(words, contents, strict=True):
            run_s = None if word.run_ms is None else word.run_ms / 1000
            outcome = await service.complete(word.instance, word.task_id, run_s, content, word.error, wait=False)
            states.append("taken" if outcome.first else "known" if outcome.known else "unknown")
        await service.stored()
        return 200, msgspec.json.encode(Taken(states))

    return {
        ("POST", "/api/v1/tasks"): submit,
        ("POST", "/api/v1/tasks/batch"): submit_many,
        ("POST", "/api/v1/results"): results,
    }


FORMS: dict[tuple[str, str], tuple[type, type, str, Any]] = {
    ("POST", "/api/v1/tasks"): (
        NewTask,
        Accepted,
        "Submit a task",
        {"model": "llama", "input": {"prompt": "hello"}, "priority": 5, "idempotency_key": "order-17"},
    ),
    ("POST", "/api/v1/tasks/batch"): (
        NewTasks,
        AcceptedTasks,
        "Submit several tasks, all or none",
        {"tasks": [{"model": "llama", "input": {"prompt": "a"}}, {"model": "llama", "input": {"prompt": "b"}}]},
    ),
    ("POST", "/api/v1/results"): (
        Outcomes,
        Taken,
        "An instance delivers results",
        {"results": [{"task_id": "0199...", "instance": "127.0.0.1:8100", "run_ms": 118.5, "result": {"text": "hi"}}]},
    ),
}


def show(row: Stored, *, whole: bool = False) -> dict[str, Any]:
    """A task as this API shows it; ``whole``: with input, metadata and result."""
    told: dict[str, Any] = {
        "id": row.id,
        "model": row.model,
        "status": row.status,
        "instance": row.instance,
        "tenant": row.tenant,
        "priority": row.priority,
        "deadline": row.deadline_s,
        "attempt": row.attempt,
        "submitted": row.submitted_s,
        "scheduled": row.scheduled_s,
        "started": row.started_s,
        "finished": row.finished_s,
        "run_ms": None if row.run_s is None else round(row.run_s * 1000, 3),
        "error": row.error,
    }
    if whole:
        told["history"] = [
            {"instance": each.instance, "sent": each.sent_s, "ended": each.ended_s, "reason": each.reason}
            for each in row.attempts
        ]
        told |= {"input": Raw(row.input), "metadata": Raw(row.metadata)}
        told["result"] = None if row.result is None else Raw(row.result)
    return told


def show_instance(service: TaskService, member: Member) -> dict[str, Any]:
    """An instance with what is on it."""
    instance, now = member.instance(), service.now()
    expected_s, error_s = service.queue.strategy.wait(member.id, now)
    tasks = list(service.queue.on.get(member.id, {}).values())
    return {
        "id": member.id,
        "name": member.name,
        "host": member.record.host,
        "port": member.record.port,
        "model": instance.model,
        "slots": instance.slots,
        "platform": instance.platform,
        "state": member.state,
        "reason": member.reason,
        "outstanding": len(tasks),
        "wait_ms": round(expected_s * 1000, 3),
        "wait_error_ms": round(error_s * 1000, 3),
        "tasks": [
            {
                "id": live.id,
                "status": live.status,
                "since": live.started_s or live.scheduled_s,
                "expected_end": live.decision.expected_s if live.decision else None,
            }
            for live in tasks[:64]
        ],
    }


def router(leading: Leading) -> APIRouter:
    """Everything that is not asked thousands of times a second."""
    routes = APIRouter(prefix="/api/v1", tags=["v1"])
    _add_tasks(routes, leading)
    _add_instances(routes, leading)
    _add_control(routes, leading)
    return routes


def _add_tasks(routes: APIRouter, leading: Leading) -> None:
    @routes.get("/tasks", summary="Tasks, newest first, a page at a time")
    async def tasks(
        status: Literal[STATUSES] | None = None,  # type: ignore[valid-type]
        model: Annotated[str | None, Text] = None,
        instance: Annotated[str | None, Text] = None,
        tenant: Annotated[str | None, Text] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[int | None, Query(ge=1, le=2**62, description="`next` of the page before")] = None,
    ) -> Response:
        wanted = Filter(status=status, model=model, instance=instance, tenant=tenant, before=cursor)
        rows = await leading.service.search(wanted, limit + 1)
        following = rows[limit - 1].seq if len(rows) > limit else None
        return _json({"tasks": [show(row) for row in rows[:limit]], "next": following})

    @routes.get("/tasks/{task_id}", summary="One task, with input, result and history")
    async def task(task_id: Identity) -> Response:
        return _json(show(await leading.service.find(task_id), whole=True))

    @routes.delete("/tasks/{task_id}", summary="Cancel a task that has not ended")
    async def cancel(task_id: Identity) -> Response:
        return _json(show(await leading.service.cancel(task_id)))

    @routes.get("/tasks/{task_id}/explain", summary="Why it is where it is, or why it waits")
    async def explain(task_id: Identity) -> Response:
        return _json(await explanation(leading.service, task_id))


def _add_instances(routes: APIRouter, leading: Leading) -> None:
    @routes.get("/instances", summary="Instances with their tasks and predicted ends")
    async def instances() -> Response:
        service = leading.service
        return _json({"instances": [show_instance(service, each) for each in service.fleet.members.values()]})

    @routes.post("/instances", summary="Register an instance, or greet a known one again")
    async def add(body: NewInstance) -> Response:
        leading.allowed(body.host, body.port)
        member = await leading.service.fleet.register(body.host, body.port, body.model)
        return _json(show_instance(leading.service, member))

    @routes.get("/instances/{instance_id}", summary="One instance")
    async def instance(instance_id: Identity) -> Response:
        return _json(show_instance(leading.service, _member(leading, instance_id)))

    @routes.delete("/instances/{instance_id}", summary="Remove an instance; its tasks go elsewhere")
    async def remove(instance_id: Identity) -> Response:
        member = _member(leading, instance_id)
        told = show_instance(leading.service, member)
        await leading.service.fleet.remove(member)
        return _json(told)

    @routes.post("/instances/{instance_id}/drain", summary="Give it no new tasks; those on it end there")
    async def drain(instance_id: Identity) -> Response:
        member = _member(leading, instance_id)
        if member.record.draining:
            raise WrongState(f"Instance {instance_id} is draining already")
        return _json(show_instance(leading.service, await leading.service.fleet.drain(instance_id, True)))

    @routes.post("/instances/{instance_id}/resume", summary="Give it tasks again")
    async def resume(instance_id: Identity) -> Response:
        member = _member(leading, instance_id)
        if not member.record.draining:
            raise WrongState(f"Instance {instance_id} is not draining")
        return _json(show_instance(leading.service, await leading.service.fleet.drain(instance_id, False)))


def _add_control(routes: APIRouter, leading: Leading) -> None:
    @routes.get("/strategies", summary="The strategies there are, and the one in effect")
    async def strategies() -> Response:
        return _json(_strategies(leading.service))

    @routes.put("/strategies", summary="Use another strategy or prediction mode; nothing that is placed moves")
    async def use(body: NewStrategy) -> Response:
        if body.strategy is not None:
            await leading.service.use_strategy(body.strategy)
        if body.predict_mode is not None:
            await leading.service.use_predict_mode(body.predict_mode)
        return _json(_strategies(leading.service))

    @routes.get("/decisions", summary="The last decisions, newest first, each with what was compared")
    async def decisions(limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> Response:
        last = list(leading.service.decisions)[-limit:]
        return _json({"decisions": [_decision(*each) for each in reversed(last)]})

    @routes.get("/statistics", summary="Counts, and how long tasks took: mean, percentiles, overhead")
    async def statistics() -> Response:
        service = leading.service
        return _json(
            {
                "submitted": service.submitted,
                "waiting": service.queue.waiting,
                "on_instances": len(service.queue.live) - service.queue.waiting,
                "ended": service.ended,
                "times": service.times.report(),
            }
        )


async def explanation(service: TaskService, task_id: str) -> dict[str, Any]:
    """Why a task is where it is: the decision with its alternatives, or what it waits for."""
    row = await service.find(task_id)
    told: dict[str, Any] = {"id": row.id, "status": row.status, "instance": row.instance}
    found = next((each for each in reversed(service.decisions) if each[1].task_id == row.id), None)
    if found is not None:
        told["decision"] = _decision(*found)
    if row.status in ENDED:
        told["because"] = row.error or f"it was {row.status} after {row.attempt} attempt(s)"
    elif row.instance:
        told["because"] = f"it is on {row.instance} since {time.strftime('%H:%M:%S', time.gmtime(row.scheduled_s))} UTC"
    elif row.attempts:
        told["because"] = f"it waits for another attempt: {row.attempts[-1].reason}"
    elif service.fleet.has_ready(row.model):
        planned = service.queue.strategy.planned(row.id)
        told["planned"] = planned.instance if planned else None
        told["because"] = "it waits for a free slot"
    else:
        same = [each for each in service.fleet.members.values() if each.instance().model == row.model]
        states = ", ".join(f"{each.place} is {each.state}" for each in same) or "none is registered"
        told["because"] = f"no instance of model {row.model} is ready: {states}"
        told["would_help"] = f"register an instance that runs {row.model}, or resume a draining one"
    return told


def _submission(wanted: NewTask, where: str = "") -> Submission:
    metadata = check_object(where + "metadata", wanted.metadata)
    return Submission(
        model=wanted.model,
        input=check_object(where + "input", wanted.input),
        metadata=metadata,
        features=features(metadata),
        task_id=wanted.id,
        priority=wanted.priority,
        start_within_s=wanted.deadline_s,
        tenant=wanted.tenant,
        key=wanted.idempotency_key,
    )


def _key_of(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"idempotency-key":
            text = value.decode("latin-1")
            if not 1 <= len(text) <= 128:
                raise InvalidInput("Idempotency-Key", "must have 1 to 128 characters")
            return str(text)
    return None


def _check_same(row: LiveTask | Stored, wanted: Submission) -> None:
    """The same key with other content is a mistake of the caller's that must not go unnoticed."""
    stored = to_row(row) if isinstance(row, LiveTask) else row
    if (stored.model, stored.input, stored.metadata) != (wanted.model, wanted.input, wanted.metadata):
        raise WrongState(f"the idempotency key {wanted.key!r} was used for another task ({stored.id})")


def _accepted(row: LiveTask | Stored, created: bool) -> Accepted:
    return Accepted(row.id, row.status, bound_to(row), created)


def _any_json(field: str, raw: Raw) -> bytes:
    content = bytes(raw)
    try:
        msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(field, f"is not JSON: {error}") from None
    return content


def _member(leading: Leading, instance_id: str) -> Member:
    member = leading.service.fleet.members.get(instance_id)
    if member is None:
        raise NotFound(f"Instance {instance_id} not found")
    return member


def _strategies(service: TaskService) -> dict[str, Any]:
    return {
        "strategy": service.strategy_name,
        "predict_mode": service.predict_mode,
        "strategies": service.strategy_names,
        "late": service.queue.strategy.late,
    }


def _decision(at: float, made: Any, strategy: str) -> dict[str, Any]:
    return {
        "at": at,
        "task": made.task_id,
        "instance": made.instance,
        "strategy": strategy,
        "expected_end": made.expected_s,
        "by": made.by,
        "scores": [{"instance": name, "value": value} for name, value in made.scores],
    }


def _json(told: Any) -> Response:
    return Response(msgspec.json.encode(told), media_type="application/json")
