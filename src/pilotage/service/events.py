"""Who watches: every change of a task as a small event, to any number of clients, none of which can hold it up."""

import asyncio
from collections import deque
from typing import Any

from msgspec import Struct

KEPT = 2_000
"""Events a client can ask for again after a broken connection."""

BEHIND = 1_000
"""Events a slow client may be behind before it loses the oldest."""


class Event(Struct, frozen=True, gc=False):
    """``number`` rises by one; ``kind`` is ``task``, ``instance`` or ``strategy``; ``data`` is what to send."""

    number: int
    kind: str
    data: Any


class Watcher:
    """One client's events, in order. A gap in the numbers means that it was too slow for some."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=BEHIND)
        self._woken = asyncio.Event()
        self.closed = False

    def put(self, event: Event) -> None:
        """Add an event."""
        self._events.append(event)
        self._woken.set()

    def close(self) -> None:
        """Nothing follows: the service stops."""
        self.closed = True
        self._woken.set()

    async def take(self, timeout_s: float) -> list[Event]:
        """The events that came, after at most ``timeout_s``; an empty list: none, or closed."""
        if not self._events and not self.closed:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._woken.wait()
            except TimeoutError:
                return []
        self._woken.clear()
        taken = list(self._events)
        self._events.clear()
        return taken


class Hub:
    """Hands each event to every watcher, and keeps the last ones."""

    def __init__(self) -> None:
        self._watchers: set[Watcher] = set()
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._number = 0

    def publish(self, kind: str, data: Any) -> None:
        """Tell everybody."""
        self._number += 1
        event = Event(self._number, kind, data)
        self._kept.append(event)
        for watcher in self._watchers:
            watcher.put(event)

    def watch(self, after: int | None = None) -> Watcher:
        """A new watcher; with ``after`` it first gets the kept events with higher numbers."""
        watcher = Watcher()
        if after is not None:
            for event in self._kept:
                if event.number > after:
                    watcher.put(event)
        self._watchers.add(watcher)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """A client went away."""
        self._watchers.discard(watcher)

    def close(self) -> None:
        """End every stream."""
        for watcher in self._watchers:
            watcher.close()

    @property
    def watchers(self) -> int:
        """Clients that watch now."""
        return len(self._watchers)
