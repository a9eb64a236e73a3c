"""Sets aside what can not be handled: buries what was delivered too often, parks what names no task."""

import asyncio
import time

import structlog
from sqlalchemy import Engine

from pilotage.adapters.rabbitmq.consumer import Consumer
from pilotage.adapters.rabbitmq.link import Link
from pilotage.adapters.rabbitmq.publisher import Publisher
from pilotage.adapters.sql.engine import reading
from pilotage.adapters.sql.vms.claims import commit
from pilotage.adapters.sql.vms.requests import statuses_of
from pilotage.adapters.sql.writer import Writer
from pilotage.engine.request_queue import Delivery, Message
from pilotage.model.claim import FINAL, Batch, ErrorClass, Letter
from pilotage.model.errors import CommitUnknown, StorageDown
from pilotage.model.vm import id_in

_log = structlog.get_logger(__name__)


async def bury(link: Link, database: Engine, writer: Writer, worker: str, receivers: tuple[str, ...]) -> None:
    """Make dead letters of the dead queue's messages, for ever; those whose task has an end already are let go."""
    consumer = Consumer(link, prefetch=100, queue=link.topology.dead)
    await link.open()
    while True:
        deliveries = await consumer.batch(100, 0.05)
        letters = [
            Letter(
                task_id=id_in(each.body) or each.message_id[:128],
                message_id=each.message_id,
                field="delivery",
                reason=f"came back more than {link.topology.delivery_limit} times: whoever handled it failed each time",
                body=each.body,
                error_class=ErrorClass.BUG,
            )
            for each in deliveries
        ]
        while True:
            try:
                ended = await asyncio.to_thread(_ended, database, [each.task_id for each in letters])
                open_letters = [each for each in letters if each.task_id not in ended]
                batch = Batch(
                    worker=worker,
                    now=time.time(),
                    decided=[],
                    letters=open_letters,
                    known=0,
                    read=2**62,
                    receivers=receivers,
                )
                if open_letters:
                    await asyncio.wrap_future(writer.run(lambda c, b=batch: commit(c, b)))  # type: ignore[misc]
                    _log.error("messages were delivered too often and set aside", count=len(open_letters))
                break
            except (StorageDown, CommitUnknown) as error:
                _log.warning("database away", error=str(error))
                await asyncio.sleep(1)
        await consumer.settle(deliveries)


async def park(publisher: Publisher, queue: str, letters: list[tuple[Letter, Delivery]]) -> None:
    """Put messages into the parking queue as they came; why is in their headers, and in the dead letter of each."""
    messages = [
        Message(delivery.message_id, delivery.body, {"x-field": letter.field, "x-reason": letter.reason[:1000]})
        for letter, delivery in letters
    ]
    for failed in await publisher.publish_all(messages, queue):
        if failed is not None:
            _log.error("a message could not be parked; its dead letter has the beginning of it", error=str(failed))


def _ended(database: Engine, ids: list[str]) -> set[str]:
    with reading(database) as connection:
        return {task_id for task_id, status in statuses_of(connection, ids).items() if status in FINAL}
