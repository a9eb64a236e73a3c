"""What one command does with the database: submit requests from flags and files, and wait for their results."""

import asyncio
import csv
import io
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from pilotage.adapters.rabbitmq.link import Link
from pilotage.adapters.rabbitmq.publisher import Publisher, PublishFailed
from pilotage.adapters.rabbitmq.topology import Topology
from pilotage.adapters.sql.engine import check_reachable, open_engine
from pilotage.adapters.sql.migrate import migrate
from pilotage.adapters.sql.vms.outbox import Sent, note_sent, take_due
from pilotage.adapters.sql.writer import Writer
from pilotage.adapters.webhook.sender import Allowed
from pilotage.app.vms.service import VmService
from pilotage.app.vms.settings import VmsSettings
from pilotage.engine.request_queue import Message
from pilotage.model.claim import FINAL
from pilotage.model.errors import InvalidInput
from pilotage.model.vm import SchedulingRequest, parse_request

AT_ONCE = 500
_LISTED = ("traits_required", "traits_forbidden")
_GROUP = "group."


@asynccontextmanager
async def opened(settings: VmsSettings) -> AsyncIterator[tuple[VmService, Writer]]:
    """The service on the configured database, and its writer, for one command."""
    database = open_engine(settings.database)
    await asyncio.to_thread(check_reachable, database)
    await asyncio.to_thread(migrate, database, "vms")
    writer = Writer(database, patience_s=10)
    allowed = Allowed(settings.callback_hosts.split(","), settings.webhook_networks.split(","))
    receivers = [each.name for each in settings.receivers]
    try:
        service = VmService(
            database, writer, allowed=allowed, receivers=receivers, through_broker=bool(settings.rabbitmq)
        )
        yield service, writer
    finally:
        await asyncio.to_thread(writer.close)
        database.dispose()


def read_requests(text: str, form: str, source: str) -> list[SchedulingRequest]:
    """Requests from JSON (one, or a list), JSON lines or CSV. Raises `InvalidInput` naming line and field."""
    if form == "csv":
        rows = enumerate(csv.DictReader(io.StringIO(text, newline="")), 2)
        return [_checked(_typed(row, f"{source}:{i}"), f"{source}:{i}") for i, row in rows]
    if form in ("jsonl", "ndjson"):
        lines = enumerate(text.splitlines(), 1)
        return [_parsed(line.encode(), f"{source}:{i}") for i, line in lines if line.strip()]
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InvalidInput(source, f"is not JSON: {error}") from None
    many = content if isinstance(content, list) else [content]
    return [_checked(each, f"{source}[{i}]" if len(many) > 1 else source) for i, each in enumerate(many)]


def read_request_file(path: str) -> list[SchedulingRequest]:
    """Requests from a file whose ending tells its form (.json, .jsonl, .csv)."""
    form = Path(path).suffix.removeprefix(".").lower()
    if form not in ("json", "jsonl", "ndjson", "csv"):
        raise InvalidInput(path, "must end in .json, .jsonl or .csv, so that its form is known")
    try:
        return read_requests(Path(path).read_text(encoding="utf-8-sig"), form, path)
    except OSError as error:
        raise InvalidInput(path, f"can not be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InvalidInput(path, "is not UTF-8 text") from None


def request_of(fields: dict[str, Any]) -> SchedulingRequest:
    """A request from flags."""
    return _checked(fields, "request")


def _checked(fields: Any, where: str) -> SchedulingRequest:
    return _parsed(msgspec.json.encode(fields), where)


def _parsed(body: bytes, where: str) -> SchedulingRequest:
    try:
        request = parse_request(body, "none")
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error.field}", error.reason) from None
    return msgspec.structs.replace(request, task_id="") if request.task_id == "none" else request


def _typed(row: dict[str, Any], where: str) -> dict[str, Any]:
    """A line of CSV with numbers as numbers; columns ``group.name``, ``group.rule``... make a group."""
    if None in row:
        raise InvalidInput(where, "has more cells than the heading")
    fields: dict[str, Any] = {}
    for name, value in row.items():
        text = (value or "").strip()
        if not text:
            continue
        typed: Any = text
        if name in _LISTED:
            typed = text.replace(";", " ").split()
        elif text.lower() in ("true", "false") and name == "dedicated":
            typed = text.lower() == "true"
        elif text.lstrip("-").isdigit() and name not in ("task_id", "owner", "requested_pool", "group.name"):
            typed = int(text)
        if name.startswith(_GROUP):
            fields.setdefault("group", {})[name.removeprefix(_GROUP)] = typed
        else:
            fields[name] = typed
    return fields


async def submit_all(
    settings: VmsSettings, wanted: Sequence[SchedulingRequest], progress: Callable[[int], None]
) -> list[str]:
    """Write requests down, and publish them where there is a broker; returns their ids.

    What could not be published now stays in the outbox, from where any worker publishes it.
    """
    ids: list[str] = []
    async with opened(settings) as (service, writer):
        for start in range(0, len(wanted), AT_ONCE):
            accepted = await service.submit(wanted[start : start + AT_ONCE])
            ids += [each.task_id for each in accepted]
            progress(len(ids))
        if settings.rabbitmq:
            await _publish(settings, writer)
    return ids


async def _publish(settings: VmsSettings, writer: Writer) -> None:
    link = Link(settings.rabbitmq, Topology(settings.queue, settings.delivery_limit), confirms=True)
    try:
        await asyncio.wait_for(link.open(), 10)
    except TimeoutError:
        await link.close()
        raise InvalidInput(
            "rabbitmq", "can not be reached; the requests are accepted and will be published by a worker"
        ) from None
    try:
        publisher = Publisher(link)
        while True:
            taken = writer.run(lambda c: take_due(c, "publish", time.time(), at_most=AT_ONCE, lease_s=60))
            due = await asyncio.wrap_future(taken)
            if not due:
                return
            faults = await publisher.publish_all([Message(each.task_id, each.payload) for each in due])
            sent = [
                Sent(id=each.id, state="pending" if fault else "delivered", again_at=time.time())
                for each, fault in zip(due, faults, strict=True)
            ]
            await asyncio.wrap_future(writer.run(lambda c, s=sent: note_sent(c, s, time.time(), log=False)))  # type: ignore[misc]
            first = next((fault for fault in faults if isinstance(fault, PublishFailed)), None)
            if first is not None:
                raise InvalidInput("rabbitmq", f"{first}; the rest will be published by a worker")
    finally:
        await link.close()


async def wait_for_all(
    settings: VmsSettings, ids: Iterable[str], within_s: float, progress: Callable[[int], None]
) -> list[dict[str, Any]]:
    """Wait until every task has an end; returns the status of each. Raises `InvalidInput` when time is over."""
    order = list(ids)
    left, deadline, pause = set(order), time.monotonic() + within_s, 0.05
    async with opened(settings) as (service, _):
        while left:
            statuses = await service.statuses(sorted(left)[:5000])
            left -= {task_id for task_id, status in statuses.items() if status in FINAL}
            progress(len(order) - len(left))
            if left and time.monotonic() > deadline:
                raise InvalidInput("wait", f"{len(left)} of {len(order)} tasks have no end after {within_s:g} s")
            if left:
                await asyncio.sleep(pause)
                pause = min(1.0, pause * 1.5)
        return [await service.status(task_id) for task_id in order]
