"""Carries the outbox out: accepted requests to the broker, results to receivers. At least once, each with its id.

A message is taken for a while, sent, and its end written down. Whoever dies in between leaves it to be sent again
under the same id. Pauses between attempts double, with jitter; after the last one a webhook is dead until somebody
redelivers it, while a request is published for as long as it takes.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping

import structlog

from pilotage.adapters.rabbitmq.publisher import Publisher
from pilotage.adapters.sql.vms.outbox import Due, Sent, note_sent, take_due
from pilotage.adapters.sql.writer import Writer
from pilotage.adapters.webhook.sender import Sender
from pilotage.engine.request_queue import Message
from pilotage.model.errors import CommitUnknown, StorageDown

_log = structlog.get_logger(__name__)
_AT_ONCE = 256
_LONGEST_PUBLISH_PAUSE_S = 30.0
_PUBLISH_LEASE_S = 60.0
"""Longer than a publish takes with all its attempts."""


class Receiver:
    """Where the results go that everybody gets: a name, a URL, a secret to sign with."""

    def __init__(self, name: str, url: str, secret: str) -> None:
        self.name, self.url, self.secret = name, url, secret


class Backoff:
    """Pauses between attempts: ``initial_s`` x 2^(n - 1), at most ``longest_s``, half of it by chance."""

    def __init__(self, initial_s: float = 1.0, longest_s: float = 3600.0) -> None:
        self.initial_s, self.longest_s = initial_s, longest_s

    def after(self, attempts: int) -> float:
        """Seconds to wait after so many attempts."""
        ceiling = min(self.longest_s, self.initial_s * 2.0 ** min(attempts - 1, 40))
        return random.uniform(ceiling / 2, ceiling)


class Relay:
    """Runs until cancelled. ``publisher`` None: requests go through the database, nothing is to be published.

    ``lease_s``: how long a webhook stays taken by who died sending it; longer than a receiver may take.
    """

    def __init__(
        self,
        writer: Writer,
        *,
        publisher: Publisher | None,
        sender: Sender,
        receivers: Mapping[str, Receiver],
        callback_secret: str,
        attempts: int = 12,
        backoff: Backoff | None = None,
        poll_s: float = 0.25,
        lease_s: float = 30,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._publisher = publisher
        self._sender = sender
        self._receivers = receivers
        self._callback_secret = callback_secret
        self._attempts = attempts
        self._backoff = backoff or Backoff()
        self._poll_s = poll_s
        self._lease_s = lease_s
        self._clock = clock
        self._woken = {"publish": asyncio.Event(), "webhook": asyncio.Event()}
        self._sending: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """There is something new in the outbox."""
        for event in self._woken.values():
            event.set()

    async def run(self) -> None:
        """Carry out, for ever."""
        kinds = [self._webhooks()] if self._publisher is None else [self._webhooks(), self._publishes()]
        await asyncio.gather(*kinds)

    async def _due(self, kind: str, at_most: int) -> list[Due]:
        """What is due; waits until something is."""
        lease_s = self._lease_s if kind == "webhook" else _PUBLISH_LEASE_S
        while True:
            self._woken[kind].clear()
            try:
                taking = self._writer.run(lambda c: take_due(c, kind, self._clock(), at_most=at_most, lease_s=lease_s))
                due = await asyncio.wrap_future(taking)
            except (StorageDown, CommitUnknown) as error:
                _log.warning("outbox unreachable", error=str(error))
                due = []
            if due:
                return due
            try:
                await asyncio.wait_for(self._woken[kind].wait(), self._poll_s)
            except TimeoutError:
                continue

    async def _note(self, sent: list[Sent], *, log: bool) -> None:
        while True:
            try:
                await asyncio.wrap_future(self._writer.run(lambda c: note_sent(c, sent, self._clock(), log=log)))
                return
            except (StorageDown, CommitUnknown) as error:
                _log.warning("outbox unreachable", error=str(error))
                await asyncio.sleep(self._poll_s)

    async def _publishes(self) -> None:
        assert self._publisher is not None
        while True:
            due = await self._due("publish", _AT_ONCE)
            failed = await self._publisher.publish_all([Message(d.task_id, d.payload) for d in due])
            now, sent = self._clock(), []
            for each, fault in zip(due, failed, strict=True):
                if fault is None:
                    sent.append(Sent(id=each.id, state="delivered", again_at=now))
                else:
                    pause = min(_LONGEST_PUBLISH_PAUSE_S, self._backoff.after(each.attempts))
                    sent.append(Sent(id=each.id, state="pending", again_at=now + pause, error=str(fault)))
            await self._note(sent, log=False)

    async def _webhooks(self) -> None:
        """One slow receiver holds up nobody: each message is a task of its own, so many at once."""
        while True:
            room = _AT_ONCE - len(self._sending)
            if room <= 0:
                await asyncio.wait(self._sending, return_when=asyncio.FIRST_COMPLETED)
                continue
            for due in await self._due("webhook", room):
                task = asyncio.create_task(self._send(due))
                self._sending.add(task)
                task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        """A message that failed by a bug of ours is due again when its lease is over; here the bug is told."""
        self._sending.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("webhook failed", error=f"{type(error).__name__}: {error}")

    async def _send(self, due: Due) -> None:
        receiver = self._receivers.get(due.receiver)
        if receiver is None and "://" not in due.receiver:
            now = self._clock()
            gone = Sent(id=due.id, state="dead", again_at=now, error="no receiver of that name is configured")
            await self._note([gone], log=True)
            return
        url, secret = (receiver.url, receiver.secret) if receiver else (due.receiver, self._callback_secret)
        answer = await self._sender.send(url, due.payload, due.event_id, secret)
        now = self._clock()
        if answer.delivered:
            state, again_at = "delivered", now
        elif answer.hopeless or due.attempts >= self._attempts:
            state, again_at = "dead", now
            _log.warning("webhook given up", event_id=due.event_id, receiver=due.receiver, error=answer.error)
        else:
            state, again_at = "pending", now + self._backoff.after(due.attempts)
        sent = Sent(
            id=due.id, state=state, again_at=again_at, error=answer.error, status=answer.status, took_ms=answer.took_ms
        )
        await self._note([sent], log=True)
