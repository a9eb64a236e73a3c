"""KeepAlive: a stream says that its sender lives, message by message, until it ends."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty

from pilotage.api.grpc.encode import V2
from pilotage.api.grpc.gate import Gate
from pilotage.api.grpc.rules import parse
from pilotage.api.grpc.status import status_of
from pilotage.registry.entities import Member, Scheduler, SeedPeer
from pilotage.registry.ports import Pulse

FIRST_MESSAGE_S = 600.0
"""A client speaks first after a whole interval of its own, which is no longer than this."""

_MEMBERS: dict[int, type[Member]] = {V2.SCHEDULER_SOURCE: Scheduler, V2.SEED_PEER_SOURCE: SeedPeer}


class KeepAlive:
    """The method in both wire forms; ``limit`` bounds the open streams."""

    def __init__(self, pulse: Pulse, gate: Gate, *, limit: int = 50_000, dragonfly: bool = False) -> None:
        self._pulse = pulse
        self._gate = gate
        self._limit = limit
        self._dragonfly = dragonfly
        self._numbers = itertools.count(1)
        self._inboxes: set[_Inbox] = set()
        self.open = 0

    def leave(self) -> None:
        """End all streams, so that who sends them looks for another manager at once."""
        for inbox in self._inboxes:
            inbox.close()

    def handler(self, wire: ModuleType) -> Any:
        """Return the method for one wire form."""

        async def keep_alive(messages: AsyncIterator[bytes], context: "grpc.aio.ServicerContext") -> bytes:
            refusal = self._gate.refuse(context)
            if refusal is None and self.open >= self._limit:
                refusal = grpc.StatusCode.RESOURCE_EXHAUSTED, f"{self._limit:,} streams are open already"
            if refusal is not None:
                await context.abort(*refusal)
            self.open += 1
            try:
                silent = await self._listen(messages, wire)
            except Exception as error:
                await context.abort(*status_of(error, "KeepAlive", dragonfly=self._dragonfly))
                raise
            finally:
                self.open -= 1
            if silent:
                await context.abort(
                    grpc.StatusCode.DEADLINE_EXCEEDED, "no message for three intervals; open a new stream"
                )
            return bytes(Empty().SerializeToString())

        return grpc.stream_unary_rpc_method_handler(keep_alive)

    async def _listen(self, messages: AsyncIterator[bytes], wire: ModuleType) -> bool:
        """Follow a stream to its end; return whether it ended by silence."""
        inbox = _Inbox(messages)
        self._inboxes.add(inbox)
        stream = next(self._numbers)
        heard = False
        try:
            first = await inbox.next(FIRST_MESSAGE_S)
            if first is None:
                return True
            request = parse(wire.KeepAliveRequest, first)
            kind = _MEMBERS.get(request.source_type)
            if kind is None:  # a peer: heard, and that is all
                while await inbox.next(FIRST_MESSAGE_S) is not None:
                    pass
                return True
            await self._pulse.opened(stream, kind, request.cluster_id, request.hostname, request.ip)
            heard = True
            while (left := self._pulse.expires_in(stream)) is not None:
                if await inbox.next(left + 0.01) is not None:
                    await self._pulse.ticked(stream)
            return True
        except StopAsyncIteration:
            return heard and self._pulse.expires_in(stream) is None  # it ended after its silence was noticed
        finally:
            self._inboxes.discard(inbox)
            inbox.close()
            await self._pulse.closed(stream)


class _Inbox:
    """Messages of a stream, waited for with a time limit that leaves the stream as it is."""

    def __init__(self, messages: AsyncIterator[bytes]) -> None:
        self._messages = messages
        self._reading: asyncio.Task[bytes | None] | None = None

    async def next(self, timeout_s: float) -> bytes | None:
        """Return the next message, None if there was none in time. Raises StopAsyncIteration at the end."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(_read(self._messages))
        done, _ = await asyncio.wait({self._reading}, timeout=timeout_s)
        if not done:
            return None
        reading, self._reading = self._reading, None
        if reading.cancelled() or (message := reading.result()) is None:
            raise StopAsyncIteration
        return message

    def close(self) -> None:
        """Wait for nothing any more."""
        if self._reading is not None:
            self._reading.cancel()


async def _read(messages: AsyncIterator[bytes]) -> bytes | None:
    """Return a message, None at the end (a task can not end with StopAsyncIteration)."""
    return await anext(messages, None)
