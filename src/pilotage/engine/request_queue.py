"""Port: a durable queue of requests. RabbitMQ is one, a table of the database another; the same code drives both."""

from collections.abc import Mapping
from typing import Protocol

from immutabledict import immutabledict
from msgspec import Struct


class Message(Struct, frozen=True):
    """What is published: an id (a second message with it does no harm), a body, and headers that say more."""

    id: str
    body: bytes
    headers: Mapping[str, str] = immutabledict()


class Delivery(Struct, frozen=True, gc=False):
    """One message as it arrived. ``tag`` names it within ``session``, one life of the connection."""

    session: int
    tag: int
    body: bytes
    message_id: str = ""
    redelivered: bool = False


class RequestQueue(Protocol):
    """Where a worker takes requests from."""

    async def batch(self, at_most: int, linger_s: float) -> list[Delivery]:
        """Return 1 to ``at_most`` deliveries; none when the queue was stopped."""
        ...

    async def settle(self, deliveries: list[Delivery]) -> None:
        """Never deliver these again: their effects are durable."""
        ...

    async def give_back(self, deliveries: list[Delivery]) -> None:
        """Deliver these again, to this worker or another."""
        ...

    async def stop(self) -> None:
        """Take nothing new; what nobody has looked at goes back."""
        ...
