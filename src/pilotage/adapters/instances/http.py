"""An `InstanceClient` on kept-alive HTTP connections.

Dialect ``info``: GET /info, POST /queue/submit with our task id. Dialect ``status``, the older one: GET /status,
POST /queue/enqueue, where the instance makes an id of its own. An instance of ours also says ``boot``, ``remembers``
and ``batches`` in /info, and takes several tasks in one POST /queue/submit_batch.
"""

from collections.abc import Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct

from pilotage.adapters.instances.connection import Connections
from pilotage.service.ports import Ack, Address, Held, InstanceAway, Outgoing, Probe

T = TypeVar("T")


class Timeouts(Struct, frozen=True):
    """Seconds: to connect, for a question, for handing over tasks."""

    connect_s: float = 1.0
    ask_s: float = 2.0
    send_s: float = 5.0


class _Deployed(Struct):
    model_name: str
    replicas: int = 1


class _Info(Struct):
    deployed_model: _Deployed | None = None
    instance_id: str = ""
    platform: str = ""
    boot: str = ""
    remembers: bool = False
    batches: bool = False


class _Status(Struct):
    instance_id: str
    model_type: str | None = None
    replicas_running: int = 1


class _Accepted(Struct):
    task_id: str = ""


class _BatchItem(Struct):
    accepted: bool
    reason: str = ""


class _Batch(Struct):
    results: list[_BatchItem]


class _Result(Struct):
    status: str
    result: Raw = Raw(b"null")
    error: str | None = None
    execution_time: float | None = None


class HttpInstances:
    """One pool of connections for all instances. Make it on the loop that uses it."""

    def __init__(self, timeouts: Timeouts | None = None, token: str = "") -> None:
        self._timeouts = timeouts or Timeouts()
        self._connections = Connections(self._timeouts.connect_s, token)

    async def close(self) -> None:
        """Close all connections."""
        await self._connections.close()

    async def probe(self, host: str, port: int) -> Probe:
        """Ask /info, and /status if there is no such thing."""
        base = Address(host, port)
        status, body = await self._ask(base, "GET", "/info")
        if status == 200:
            info = _decode(body, _Info)
            name = info.instance_id or f"{host}:{port}"
            model = info.deployed_model
            return Probe(
                Address(host, port, "info", info.batches),
                name,
                model.model_name if model else "",
                model.replicas if model else 0,
                info.platform,
                info.boot,
                info.remembers,
            )
        status, body = await self._ask(base, "GET", "/status")
        if status != 200:
            raise InstanceAway(f"answers {status} to /info and /status")
        told = _decode(body, _Status)
        slots = told.replicas_running if told.model_type else 0
        return Probe(Address(host, port, "status"), told.instance_id, told.model_type or "", slots)

    async def send(self, address: Address, tasks: Sequence[Outgoing]) -> list[Ack]:
        """Hand over tasks: all at once if the instance takes batches, else the only one there is."""
        if address.batches:
            return await self._send_batch(address, tasks)
        return [await self._send_one(address, task) for task in tasks]

    async def held(self, address: Address, task_id: str) -> Held:
        """Ask /results/{id}; a 404 means that it is not known."""
        status, body = await self._ask(address, "GET", f"/results/{quote(task_id, safe='')}")
        if status == 404:
            return Held(known=False)
        if status != 200:
            raise InstanceAway(f"answers {status} to /results")
        found = _decode(body, _Result)
        ended = found.status in ("completed", "failed")
        run_s = None if found.execution_time is None else found.execution_time / 1000
        error = (found.error or "failed") if found.status == "failed" else ""
        return Held(True, ended, run_s, bytes(found.result), error)

    async def withdraw(self, address: Address, task_id: str) -> None:
        """DELETE /queue/{id}, whatever comes of it."""
        try:
            await self._ask(address, "DELETE", f"/queue/{quote(task_id, safe='')}")
        except InstanceAway:
            return

    async def _send_one(self, address: Address, task: Outgoing) -> Ack:
        if address.dialect == "status":
            path = "/queue/enqueue"
            content: dict[str, Any] = {"input_data": task.input, "metadata": task.metadata}
        else:
            path = "/queue/submit"
            content = {
                "model_name": task.model,
                "task_input": task.input,
                "metadata": task.metadata,
                "task_id": task.task_id,
            }
        try:
            status, body = await self._call(address, "POST", path, content, self._timeouts.send_s)
        except InstanceAway as error:
            return Ack(False, reason=str(error), certain=error.gone)
        if not 200 <= status < 300:
            return Ack(False, reason=f"answered {status}: {_told(body)}")
        try:
            return Ack(True, msgspec.json.decode(body, type=_Accepted).task_id)
        except msgspec.MsgspecError:
            return Ack(True)

    async def _send_batch(self, address: Address, tasks: Sequence[Outgoing]) -> list[Ack]:
        content = {"tasks": tasks}
        try:
            status, body = await self._call(address, "POST", "/queue/submit_batch", content, self._timeouts.send_s)
        except InstanceAway as error:
            return [Ack(False, reason=str(error), certain=error.gone)] * len(tasks)
        if status != 200:
            return [Ack(False, reason=f"answered {status}: {_told(body)}")] * len(tasks)
        try:
            results = msgspec.json.decode(body, type=_Batch).results
        except msgspec.MsgspecError as error:
            return [Ack(False, reason=f"answered what is no answer: {error}", certain=False)] * len(tasks)
        if len(results) != len(tasks):
            return [Ack(False, reason="answered for another number of tasks", certain=False)] * len(tasks)
        return [Ack(each.accepted, reason=each.reason) for each in results]

    async def _ask(self, address: Address, method: str, path: str) -> tuple[int, bytes]:
        return await self._call(address, method, path, None, self._timeouts.ask_s)

    async def _call(
        self, address: Address, method: str, path: str, content: Any, timeout_s: float
    ) -> tuple[int, bytes]:
        data = b"" if content is None else msgspec.json.encode(content)
        return await self._connections.call(address.host, address.port, method, path, data, timeout_s)


def _decode(body: bytes, form: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=form)
    except msgspec.MsgspecError as error:
        raise InstanceAway(f"answers what is no answer: {error}") from None


def _told(body: bytes) -> str:
    return " ".join(body[:200].decode("utf-8", "replace").split())
