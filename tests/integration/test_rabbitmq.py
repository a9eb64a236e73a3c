"""The broker adapter against a real RabbitMQ, through a proxy that misbehaves."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import aiormq
import pytest

from pilotage.adapters.rabbitmq.consumer import Consumer
from pilotage.adapters.rabbitmq.link import Link
from pilotage.adapters.rabbitmq.publisher import Cause, Publisher, PublishFailed
from pilotage.adapters.rabbitmq.topology import MARK, VERSION, Topology
from pilotage.engine.request_queue import Message
from pilotage.model.errors import InvalidInput
from pilotage.testing.fault_proxy import FaultProxy
from tests.integration.rabbitmq import Broker, running_broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.asyncio

FAST = {"pause_s": 0.02, "longest_pause_s": 0.2, "probe_s": 0.3, "timeout_s": 3.0}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running_broker(tmp_path_factory.mktemp("rabbitmq")) as running:
        yield running


@pytest.fixture
def topology() -> Topology:
    return Topology(queue=f"task.schedule.{uuid4().hex[:8]}", delivery_limit=3)


@asynccontextmanager
async def opened(url: str, topology: Topology, *, confirms: bool) -> AsyncIterator[Link]:
    link = Link(url, topology, confirms=confirms, **FAST)
    await link.open()
    try:
        yield link
    finally:
        await link.close()


@asynccontextmanager
async def consuming(url: str, topology: Topology, **options: int) -> AsyncIterator[Consumer]:
    link = Link(url, topology, confirms=False, **FAST)
    consumer = Consumer(link, **options)
    await link.open()
    try:
        yield consumer
    finally:
        await link.close()


def messages(count: int, prefix: str = "m") -> list[Message]:
    return [Message(f"{prefix}{i}", b'{"n": %d}' % i) for i in range(count)]


async def take(consumer: Consumer, count: int, within_s: float = 15) -> list[str]:
    """Settle what comes until ``count`` different ids were seen."""
    seen: dict[str, None] = {}
    async with asyncio.timeout(within_s):
        while len(seen) < count:
            batch = await consumer.batch(50, 0.01)
            seen |= dict.fromkeys(each.message_id for each in batch)
            await consumer.settle(batch)
    return list(seen)


async def left_in(url: str, queue: str) -> int:
    connection = await aiormq.connect(url)
    try:
        channel = await connection.channel()
        return (await channel.queue_declare(queue, passive=True)).message_count or 0
    finally:
        await connection.close()


async def test_what_is_published_arrives_in_order_and_is_gone_once_settled(broker: Broker, topology: Topology) -> None:
    async with opened(broker.url, topology, confirms=True) as link, consuming(broker.url, topology) as consumer:
        assert await Publisher(link).publish_all(messages(200)) == [None] * 200
        assert await take(consumer, 200) == [f"m{i}" for i in range(200)]
        await consumer.stop()
    assert await left_in(broker.url, topology.queue) == 0


async def test_the_queue_is_a_quorum_queue_with_a_delivery_limit(broker: Broker, topology: Topology) -> None:
    async with opened(broker.url, topology, confirms=True):
        pass
    for argument, value in (("x-delivery-limit", 4), ("x-queue-type", "classic")):
        connection = await aiormq.connect(broker.url)
        channel = await connection.channel()
        arguments = {
            "x-queue-type": "quorum",
            "x-delivery-limit": 3,
            "x-dead-letter-exchange": "pilotage.dead",
            "x-dead-letter-routing-key": topology.dead,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
        await channel.queue_declare(topology.queue, durable=True, arguments=arguments)
        try:
            with pytest.raises(aiormq.ChannelPreconditionFailed, match=argument):
                await channel.queue_declare(topology.queue, durable=True, arguments={**arguments, argument: value})
        finally:
            await connection.close()


async def test_a_queue_of_another_form_is_named(broker: Broker, topology: Topology) -> None:
    connection = await aiormq.connect(broker.url)
    channel = await connection.channel()
    await channel.queue_declare(topology.queue, durable=True)
    await connection.close()
    with pytest.raises(InvalidInput, match=f"queue {topology.queue}: exists in another form"):
        async with opened(broker.url, topology, confirms=True):
            pass


async def test_a_newer_topology_is_not_touched(broker: Broker, topology: Topology) -> None:
    connection = await aiormq.connect(broker.url)
    channel = await connection.channel()
    newer = f"{MARK}{VERSION + 1}"
    await channel.exchange_declare(newer, exchange_type="fanout")
    try:
        with pytest.raises(InvalidInput, match=f"topology version {VERSION + 1}"):
            async with opened(broker.url, topology, confirms=True):
                pass
    finally:
        await channel.exchange_delete(newer)
        await connection.close()


async def test_a_wrong_password_is_told_at_once(broker: Broker, topology: Topology) -> None:
    wrong = broker.url.replace("guest:guest", "guest:secret1")
    with pytest.raises(InvalidInput, match="refuses user or password") as told:
        async with opened(wrong, topology, confirms=True):
            pass
    assert "secret1" not in str(told.value)


@pytest.mark.parametrize("url", ["http://x/", "amqp:///", "rabbit"])
async def test_an_address_that_is_none_is_refused(url: str, topology: Topology) -> None:
    with pytest.raises(InvalidInput, match="rabbitmq url"):
        Link(url, topology, confirms=True)


async def test_what_was_not_settled_comes_again_after_a_cut(broker: Broker, topology: Topology) -> None:
    with FaultProxy("127.0.0.1", broker.port) as proxy:
        there = f"amqp://guest:guest@127.0.0.1:{proxy.port}/"
        async with opened(broker.url, topology, confirms=True) as link, consuming(there, topology) as consumer:
            await Publisher(link).publish_all(messages(20))
            first = await consumer.batch(50, 0.2)
            await consumer.settle(first[:5])
            await asyncio.sleep(0.1)
            proxy.cut()
            again = await take(consumer, 15)
            await consumer.settle(first[5:])  # their tags are void: this must neither fail nor settle anything
            assert again == [f"m{i}" for i in range(5, 20)]
            assert consumer.redelivered == 15
            await consumer.stop()
    assert await left_in(broker.url, topology.queue) == 0


async def test_a_stalled_connection_is_given_up(broker: Broker, topology: Topology) -> None:
    with FaultProxy("127.0.0.1", broker.port) as proxy:
        there = f"amqp://guest:guest@127.0.0.1:{proxy.port}/"
        async with opened(broker.url, topology, confirms=True) as link, consuming(there, topology) as consumer:
            before = proxy.connections
            proxy.stall()
            await Publisher(link).publish_all(messages(3))
            async with asyncio.timeout(10):
                while proxy.connections == before:
                    await asyncio.sleep(0.05)
            proxy.resume()
            assert await take(consumer, 3) == ["m0", "m1", "m2"]
            await consumer.stop()


async def test_publishing_outlives_cuts_and_says_what_it_could_not_do(broker: Broker, topology: Topology) -> None:
    with FaultProxy("127.0.0.1", broker.port) as proxy:
        there = f"amqp://guest:guest@127.0.0.1:{proxy.port}/"
        async with opened(there, topology, confirms=True) as link, consuming(broker.url, topology) as consumer:
            publisher = Publisher(link, pause_s=0.05)
            publishing = asyncio.ensure_future(publisher.publish_all(messages(400)))
            for _ in range(2):
                await asyncio.sleep(0.05)
                proxy.cut()
            assert await publishing == [None] * 400
            assert sorted(await take(consumer, 400)) == sorted(f"m{i}" for i in range(400))

            proxy.refuse()
            with pytest.raises(PublishFailed) as failed:
                await Publisher(link, retries=1, timeout_s=0.3, pause_s=0.01).publish(Message("lost", b"{}"))
            assert failed.value.cause == Cause.NETWORK
            assert failed.value.attempts == 2


async def test_each_way_to_fail_has_its_name(broker: Broker, topology: Topology) -> None:
    with FaultProxy("127.0.0.1", broker.port) as proxy:
        there = f"amqp://guest:guest@127.0.0.1:{proxy.port}/"
        async with opened(there, topology, confirms=True) as link:
            publisher = Publisher(link, retries=0, timeout_s=0.3)
            with pytest.raises(PublishFailed, match="has no queue nowhere") as failed:
                await publisher.publish(Message("a", b"{}"), queue="nowhere")
            assert failed.value.cause == Cause.UNROUTABLE

            session = await link.session()
            await session.channel.queue_declare(
                topology.queue + ".full", arguments={"x-max-length": 0, "x-overflow": "reject-publish"}
            )
            with pytest.raises(PublishFailed) as failed:
                await publisher.publish(Message("b", b"{}"), queue=topology.queue + ".full")
            assert failed.value.cause == Cause.REFUSED

            proxy.stall()
            with pytest.raises(PublishFailed, match="no confirm within") as failed:
                await publisher.publish(Message("c", b"{}"))
            assert failed.value.cause == Cause.TIMEOUT


async def test_a_batch_that_is_full_or_was_stopped_waits_for_no_more(broker: Broker, topology: Topology) -> None:
    async with opened(broker.url, topology, confirms=True) as link, consuming(broker.url, topology) as consumer:
        await Publisher(link).publish_all(messages(15))
        async with asyncio.timeout(30):
            full = await consumer.batch(10, 3600)
            rest = asyncio.ensure_future(consumer.batch(10, 3600))
            await asyncio.sleep(0)
            await consumer.stop()
            assert len(full) == 10
            assert len(await rest) <= 5
        await consumer.settle(full)


async def test_stopping_gives_back_what_nobody_looked_at(broker: Broker, topology: Topology) -> None:
    async with opened(broker.url, topology, confirms=True) as link, consuming(broker.url, topology) as first:
        await Publisher(link).publish_all(messages(30))
        batch = await first.batch(10, 0.2)
        await first.stop()
        assert await first.batch(10, 0) == []
        await first.settle(batch)  # what was taken before the stop can still be settled
        async with consuming(broker.url, topology) as second:
            assert sorted(await take(second, 20)) == sorted(f"m{i}" for i in range(10, 30))
            await second.stop()
    assert await left_in(broker.url, topology.queue) == 0


async def test_a_message_that_keeps_coming_back_ends_in_the_dead_queue(broker: Broker, topology: Topology) -> None:
    async with opened(broker.url, topology, confirms=True) as link:
        await Publisher(link).publish(Message("poison", b"{}"))
        for _ in range(topology.delivery_limit + 1):  # each life of a worker ends with the message unsettled
            async with consuming(broker.url, topology) as consumer, asyncio.timeout(30):
                assert [each.message_id for each in await consumer.batch(1, 0)] == ["poison"]
        async with asyncio.timeout(30):
            while await left_in(broker.url, topology.dead) != 1:
                await asyncio.sleep(0.05)
    assert await left_in(broker.url, topology.queue) == 0


async def test_a_broker_that_was_killed_loses_nothing(broker: Broker, topology: Topology) -> None:
    async with opened(broker.url, topology, confirms=True) as link, consuming(broker.url, topology) as consumer:
        await Publisher(link).publish_all(messages(50))
        untouched = {each.message_id for each in (await consumer.batch(50, 0.2))[10:]}
        # RabbitMQ 3.10 writes down a quorum queue's name up to seconds after declaring it; killed before, it never
        # finds the queue's log again.
        await asyncio.sleep(3)
        broker.kill()
        broker.start()
        await Publisher(link, retries=30, longest_pause_s=1).publish(Message("after", b"{}"))
        async with asyncio.timeout(60):
            seen: set[str] = set()
            while not seen >= {*untouched, "after"}:
                batch = await consumer.batch(50, 0)
                seen |= {each.message_id for each in batch}
                await consumer.settle(batch)
        await consumer.stop()
    assert await left_in(broker.url, topology.queue) == 0
