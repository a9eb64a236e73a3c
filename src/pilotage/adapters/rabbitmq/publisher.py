"""Publishes with confirms: a message is in the queue, on disk, or the caller is told why not."""

import asyncio
import random
from enum import StrEnum

import structlog
from aiormq.exceptions import (
    AuthenticationError,
    ChannelAccessRefused,
    ConnectionNotAllowed,
    DeliveryError,
    ProbableAuthenticationError,
    PublishError,
)
from pamqp.commands import Basic

from pilotage.adapters.rabbitmq.link import BROKEN, Link
from pilotage.engine.request_queue import Message

_log = structlog.get_logger(__name__)


class Cause(StrEnum):
    """Why a message could not be published."""

    TIMEOUT = "timeout"
    """No confirm came in time; the message may be in the queue. The id makes a second one harmless."""
    NETWORK = "network"
    """There is no connection, or it broke before the confirm."""
    UNROUTABLE = "unroutable"
    """The broker knows no queue of that name."""
    REFUSED = "refused"
    """The broker said no: the queue is full, or the user may not write."""


class PublishFailed(Exception):  # noqa: N818 - reads as a statement
    """A message was not confirmed. ``cause`` tells what to do about it, ``attempts`` how often it was tried."""

    def __init__(self, cause: Cause, reason: str, attempts: int = 1) -> None:
        super().__init__(f"{cause}: {reason} (attempts: {attempts})")
        self.cause = cause
        self.reason = reason
        self.attempts = attempts


class Publisher:
    """Publishes on one link. ``retries``: further attempts after a time-out, a lost connection or a full queue."""

    def __init__(
        self,
        link: Link,
        *,
        retries: int = 3,
        timeout_s: float = 10.0,
        pause_s: float = 0.1,
        longest_pause_s: float = 5.0,
    ) -> None:
        self._link = link
        self._retries = retries
        self._timeout_s = timeout_s
        self._pause_s = pause_s
        self._longest_pause_s = longest_pause_s

    async def publish(self, message: Message, queue: str | None = None) -> None:
        """Return once the broker has confirmed the message; raises `PublishFailed`.

        Between attempts it pauses: exponential with full jitter. An unroutable message is not tried again.
        """
        for attempt in range(1, self._retries + 2):
            try:
                await self._once(message, queue or self._link.topology.queue)
                return
            except PublishFailed as failed:
                if failed.cause == Cause.UNROUTABLE or attempt > self._retries:
                    raise PublishFailed(failed.cause, failed.reason, attempt) from None
                _log.warning("publish failed", task_id=message.id, cause=failed.cause, attempt=attempt)
            ceiling = min(self._longest_pause_s, self._pause_s * 2 ** (attempt - 1))
            await asyncio.sleep(random.uniform(0, ceiling))

    async def publish_all(self, messages: list[Message], queue: str | None = None) -> list[PublishFailed | None]:
        """Publish many at once, confirms in flight together; return what went wrong with each, None if nothing."""
        outcomes = await asyncio.gather(*(self.publish(each, queue) for each in messages), return_exceptions=True)
        failed: list[PublishFailed | None] = []
        for outcome in outcomes:
            if outcome is not None and not isinstance(outcome, PublishFailed):
                raise outcome
            failed.append(outcome)
        return failed

    async def _once(self, message: Message, queue: str) -> None:
        try:
            session = await asyncio.wait_for(self._link.session(), self._timeout_s)
        except TimeoutError:
            raise PublishFailed(Cause.NETWORK, "no connection to the broker") from None
        properties = Basic.Properties(
            content_type="application/json",
            delivery_mode=2,
            message_id=message.id,
            headers=dict(message.headers) or None,
        )
        sent = session.channel.basic_publish(
            message.body, routing_key=queue, properties=properties, mandatory=True, wait=False
        )
        try:
            # A task of its own: the library cancels whoever waits when the connection goes.
            await asyncio.wait_for(asyncio.ensure_future(sent), self._timeout_s)
        except PublishError as error:
            raise PublishFailed(Cause.UNROUTABLE, f"the broker has no queue {queue}") from error
        except (DeliveryError, ChannelAccessRefused, ConnectionNotAllowed) as error:
            raise PublishFailed(Cause.REFUSED, repr(error)) from error
        except (AuthenticationError, ProbableAuthenticationError) as error:
            raise PublishFailed(Cause.REFUSED, repr(error)) from error
        except TimeoutError as error:
            raise PublishFailed(Cause.TIMEOUT, f"no confirm within {self._timeout_s:g} s") from error
        except BROKEN as error:
            raise PublishFailed(Cause.NETWORK, repr(error)) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise PublishFailed(Cause.NETWORK, "the connection was closed") from None
