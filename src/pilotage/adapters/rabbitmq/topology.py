"""The queues that Pilotage declares, and the version of that declaration.

::

    default exchange ── task.schedule (quorum, delivery limit)
                             │ delivered too often
                             ▼
    pilotage.dead ────── task.schedule.dead (quorum)
    default exchange ── task.schedule.parked (quorum, bounded: what can not be read)

The arguments of a queue can not change once it exists, so the topology has a version: an exchange without bindings,
``pilotage.topology.vN``, marks which release declared it.
"""

from aiormq.abc import AbstractChannel
from aiormq.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed
from msgspec import Struct

from pilotage.model.errors import InvalidInput

VERSION = 1
DEFAULT_QUEUE = "task.schedule"
MARK = "pilotage.topology.v"


class Topology(Struct, frozen=True):
    """Names and limits of the queues. ``delivery_limit``: redeliveries before a message is dead-lettered."""

    queue: str = DEFAULT_QUEUE
    delivery_limit: int = 20
    parked_at_most: int = 100_000

    @property
    def dead(self) -> str:
        """Queue of messages that were delivered too often."""
        return f"{self.queue}.dead"

    @property
    def parked(self) -> str:
        """Queue of messages that can not be read, each with its reason in the headers; the oldest go first."""
        return f"{self.queue}.parked"


async def declare(channel: AbstractChannel, topology: Topology) -> None:
    """Declare exchange and queues; nothing happens where they exist already.

    Quorum queues and at-least-once dead-lettering need RabbitMQ 3.10 or later. A delivery limit is set by hand: before
    4.0 there is none. Raises `InvalidInput` where a queue of that name exists in another form, or a newer release
    declared the topology.
    """
    await channel.exchange_declare("pilotage.dead", exchange_type="direct", durable=True)
    await channel.exchange_declare(f"{MARK}{VERSION}", exchange_type="fanout", durable=True)
    for queue in (topology.dead, topology.parked):
        arguments: dict[str, object] = {"x-queue-type": "quorum"}
        if queue == topology.parked:
            arguments |= {"x-max-length": topology.parked_at_most, "x-overflow": "drop-head"}
        await _declare_queue(channel, queue, arguments)
    await channel.queue_bind(topology.dead, "pilotage.dead", routing_key=topology.dead)
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": topology.delivery_limit,
        "x-dead-letter-exchange": "pilotage.dead",
        "x-dead-letter-routing-key": topology.dead,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    await _declare_queue(channel, topology.queue, arguments)


async def refuse_newer(channel: AbstractChannel) -> None:
    """Raise `InvalidInput` when a newer release declared the topology. The channel may be closed by the question."""
    try:
        await channel.exchange_declare(f"{MARK}{VERSION + 1}", exchange_type="fanout", passive=True)
    except ChannelNotFoundEntity:
        return
    raise InvalidInput("rabbitmq", f"the broker has topology version {VERSION + 1}; this release knows {VERSION}")


async def _declare_queue(channel: AbstractChannel, queue: str, arguments: dict[str, object]) -> None:
    try:
        await channel.queue_declare(queue, durable=True, arguments=arguments)  # type: ignore[arg-type]
    except ChannelPreconditionFailed as error:
        raise InvalidInput(
            f"queue {queue}",
            f"exists in another form ({error}); move its messages and delete it, or name another queue",
        ) from None
