"""Group commit, seen from the event loop: what changes while a commit is under way goes into the next one, and so does
what those send who were just answered, if they are quick.

A task that changes several times between two commits is written once. Nothing is sent to an instance, and nobody is
answered, before what it rests on is committed.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future

from pilotage.engine.taskqueue.machine import Dispatch, LiveTask
from pilotage.service.ports import Stored

LAZY_S = 0.1
"""How long a change that nothing rests on may wait for another one to go with."""

LINGER = 1.0
"""How many times the last commit's time the next one waits at most for those who were just answered: waiting as long as
a commit takes costs at most twice what who knew whether they come would pay."""

LINGER_S = 0.005
"""And for how long at the very most."""

RETURN = 0.6
"""It waits while at least this part of them came back in time, lately. In an even stream, where nobody comes back, no
more than half as many come in the time of a commit."""

RETURN_TRIES = 16
"""Else only one commit in so many waits, to see whether that changed."""


class _Batch:
    __slots__ = ("after", "changed", "waiters")

    def __init__(self) -> None:
        self.changed: dict[str, LiveTask] = {}
        self.after: list[Dispatch] = []
        self.waiters: list[asyncio.Future[None]] = []


class Journal:
    """Collects changed tasks and commits them through ``save``; ``send`` gets the dispatches of each commit.

    ``prepare`` is called before each commit: what it notes goes along.
    """

    def __init__(
        self,
        save: Callable[[list[Stored], list[Stored]], Future[None]],
        row: Callable[[LiveTask], tuple[Stored, bool]],
        send: Callable[[list[Dispatch]], None],
        failed: Callable[[BaseException], None],
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self._save = save
        self._row = row
        self._send = send
        self._failed = failed
        self._prepare = prepare
        self._loop = asyncio.get_running_loop()
        self._open = _Batch()
        self._lazy: dict[str, LiveTask] = {}
        self._flying: _Batch | None = None
        self._due: asyncio.Handle | None = None
        self._expected = 0
        self._began_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._hoped = (0, 0)  # waiters that are missing, and those that are there, when the wait begins
        self._return = 1.0  # the part of the missing that came, smoothed
        self._commits = 0

    def note(self, live: LiveTask, dispatch: Dispatch | None = None) -> None:
        """A task changed; ``dispatch`` is to be sent once that is stored."""
        self._open.changed[live.id] = live
        self._lazy.pop(live.id, None)
        if dispatch is not None:
            self._open.after.append(dispatch)
        if self._due is None and self._flying is None:
            self._due = self._loop.call_soon(self._flush)

    def note_lazily(self, live: LiveTask) -> None:
        """A task changed, and nothing is lost if that is never stored: a change soon after makes it needless."""
        if live.id not in self._open.changed:
            self._lazy[live.id] = live
        if self._timer is None:
            self._timer = self._loop.call_later(LAZY_S, self._flush_late)

    async def stored(self) -> None:
        """Return once everything noted so far is committed."""
        batch = self._open if self._open.changed else self._flying
        if batch is not None:
            waiter: asyncio.Future[None] = self._loop.create_future()
            batch.waiters.append(waiter)
            if self._due is not None and len(batch.waiters) == self._expected:
                self._due.cancel()
                self._due = self._loop.call_soon(self._flush)
            await waiter

    async def close(self) -> None:
        """Commit what is open."""
        while self._flying is not None or self._open.changed:
            self._flush()
            await asyncio.sleep(0.002)

    def _flush_late(self) -> None:
        self._timer = None
        for live in self._lazy.values():
            self._open.changed.setdefault(live.id, live)
        self._lazy.clear()
        self._flush()

    def _flush(self) -> None:
        if self._flying is None and self._open.changed:
            self._prepare()
        if self._due is not None:
            self._due.cancel()
            self._due = None
        batch = self._open
        missing, there = self._hoped
        if missing:
            came = min(1.0, (len(batch.waiters) - there) / missing)
            self._return += (came - self._return) / 8
            self._hoped = (0, 0)
        if self._flying is not None or not batch.changed:
            return
        self._open, self._flying = _Batch(), batch
        self._began_s = self._loop.time()
        fresh: list[Stored] = []
        changed: list[Stored] = []
        for live in batch.changed.values():
            row, is_new = self._row(live)
            (fresh if is_new else changed).append(row)
        try:
            future = self._save(fresh, changed)
        except Exception as error:
            self._done(batch, error)
            return
        future.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._done, batch, done.exception()))

    def _done(self, batch: _Batch, error: BaseException | None) -> None:
        self._flying = None
        for waiter in batch.waiters:
            if waiter.done():
                continue  # who waited went away
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)
        if error is not None:
            self._failed(error)
            return
        if batch.after:
            self._send(batch.after)
        self._linger(len(batch.waiters) + len(self._open.waiters))

    def _linger(self, expected: int) -> None:
        """Who was just answered often comes again at once: let them go with those who wait already.

        A commit costs as much CPU as fifty rows, so two half groups in turn would cost nearly twice as much as a whole.
        """
        self._expected = expected
        self._commits += 1
        there = len(self._open.waiters)
        if there < expected and (self._return >= RETURN or self._commits % RETURN_TRIES == 0):
            self._hoped = (expected - there, there)
            took_s = self._loop.time() - self._began_s
            self._due = self._loop.call_later(min(LINGER_S, LINGER * took_s), self._flush)
        else:
            self._flush()
