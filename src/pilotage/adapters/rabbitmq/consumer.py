"""Takes requests from the queue in batches, and acknowledges them when told that they are settled.

::

    broker ──prefetch──▶ backlog ──batch──▶ (decide, commit) ──settle──▶ ack, many at once

A delivery belongs to the session that it came by. When that is over its tag is void: settling it does nothing, the
broker delivers it again, and whoever commits must know it by its id.
"""

import asyncio
from collections import deque
from contextlib import suppress

import structlog
from aiormq.abc import DeliveredMessage

from pilotage.adapters.rabbitmq.ledger import AckLedger
from pilotage.adapters.rabbitmq.link import BROKEN, Link, Session
from pilotage.engine.request_queue import Delivery

_log = structlog.get_logger(__name__)


class Consumer:
    """A source of deliveries on one link. ``prefetch``: deliveries that may be open at once (2,000 at most)."""

    def __init__(self, link: Link, *, prefetch: int = 1000, queue: str | None = None) -> None:
        self._link = link
        self._queue = queue or link.topology.queue
        self._prefetch = prefetch
        self._backlog: deque[Delivery] = deque()
        self._wanted = 1
        self._arrived = asyncio.Event()
        """Set when as many as are wanted are there, or nothing more will come."""
        self._ledger = AckLedger()
        self._session: Session | None = None
        self._tag = ""
        self._stopping = False
        self.redelivered = 0
        link.on_session = self._begin

    async def _begin(self, session: Session) -> None:
        """Start afresh on a new session: what the old one delivered will come again."""
        self._backlog.clear()
        self._ledger = AckLedger()
        self._session = session
        if self._stopping:
            return
        await session.channel.basic_qos(prefetch_count=self._prefetch)
        session.channel.on_consumer_cancel_callbacks.add(lambda _: session.over.set())
        answer = await session.channel.basic_consume(self._queue, self._take_in(session.number))
        self._tag = answer.consumer_tag or ""

    def _take_in(self, session: int):  # type: ignore[no-untyped-def]
        async def take_in(message: DeliveredMessage) -> None:
            delivery = message.delivery
            properties = message.header.properties
            self.redelivered += bool(delivery.redelivered)  # type: ignore[union-attr]
            self._backlog.append(
                Delivery(
                    session=session,
                    tag=delivery.delivery_tag or 0,  # type: ignore[union-attr]
                    body=message.body,
                    message_id=properties.message_id or "",
                    redelivered=bool(delivery.redelivered),  # type: ignore[union-attr]
                )
            )
            if len(self._backlog) >= self._wanted:
                self._arrived.set()

        return take_in

    async def batch(self, at_most: int, linger_s: float) -> list[Delivery]:
        """Return 1 to ``at_most`` deliveries; none when the consumer was stopped.

        After the first one it waits up to ``linger_s`` for the others.
        """
        await self._at_least(1)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._at_least(at_most), linger_s)
        backlog = self._backlog
        return [backlog.popleft() for _ in range(min(at_most, len(backlog)))]

    async def _at_least(self, wanted: int) -> None:
        """Wait for so many, or until the consumer is stopped."""
        self._wanted = wanted
        while len(self._backlog) < wanted and not self._stopping:
            self._arrived.clear()
            await self._arrived.wait()

    async def settle(self, deliveries: list[Delivery]) -> None:
        """Acknowledge deliveries whose effects are durable. What the broker does not hear, it delivers again."""
        session = self._session
        if session is None or session.over.is_set():
            return
        reached = self._ledger.settled([each.tag for each in deliveries if each.session == session.number])
        if reached is None:
            return
        try:
            await session.channel.basic_ack(reached, multiple=True, wait=False)
        except BROKEN:
            session.over.set()

    async def give_back(self, deliveries: list[Delivery]) -> None:
        """Let the broker deliver these again, to this worker or another."""
        session = self._session
        for each in deliveries:
            if session is None or session.over.is_set() or each.session != session.number:
                continue
            try:
                await session.channel.basic_nack(each.tag, requeue=True, wait=False)
                reached = self._ledger.given_back(each.tag)
                if reached is not None:
                    await session.channel.basic_ack(reached, multiple=True, wait=False)
            except BROKEN:
                session.over.set()

    async def stop(self) -> None:
        """Take nothing new, and give back what nobody has looked at. What is being settled may still be settled."""
        self._stopping = True
        session = self._session
        if session is not None and not session.over.is_set():
            with suppress(*BROKEN):
                await asyncio.wait_for(session.channel.basic_cancel(self._tag), 2)
        untouched, self._backlog = list(self._backlog), deque()
        self._arrived.set()
        await self.give_back(untouched)
