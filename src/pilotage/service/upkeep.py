"""What the service does when nobody asks: let time pass, look for lost results, forget what is old."""

import asyncio
from collections.abc import Callable

from pilotage.engine.taskqueue.machine import LiveTask, Step, TaskQueue
from pilotage.model.routing import RUNNING, SCHEDULED
from pilotage.service.commands import ServiceSettings
from pilotage.service.fleet import Fleet
from pilotage.service.ports import InstanceAway, InstanceClient, Store

AT_ONCE = 32
"""Questions to instances at a time."""

PRUNED = 2000
"""Tasks that are deleted in one transaction."""


class Upkeep:
    """Three loops, each for ever."""

    def __init__(
        self,
        queue: TaskQueue,
        fleet: Fleet,
        store: Store,
        client: InstanceClient,
        settings: ServiceSettings,
        now: Callable[[], float],
        apply: Callable[[list[Step]], None],
    ) -> None:
        self._queue = queue
        self._fleet = fleet
        self._store = store
        self._client = client
        self._settings = settings
        self._now = now
        self._apply = apply

    async def tick(self) -> None:
        """Deadlines, rests, runs without end."""
        while True:
            await asyncio.sleep(0.1)
            self._apply(self._queue.tick(self._now()))

    async def ask_around(self) -> None:
        """Ask instances after tasks that nothing was heard of for long: results and restarts can get lost."""
        while True:
            await asyncio.sleep(min(0.5, self._settings.ask_after_s))
            now = self._now()
            overdue = [live for each in self._queue.on.values() for live in each.values() if live.payload.ask_s <= now]
            for start in range(0, len(overdue), AT_ONCE):
                await asyncio.gather(*(self._ask_after(live) for live in overdue[start : start + AT_ONCE]))

    async def forget(self) -> None:
        """Delete ended tasks that are kept no longer, a few at a time."""
        while True:
            await asyncio.sleep(5)
            gone = 1
            while gone:
                before_s = self._now() - self._settings.keep_s
                gone = await asyncio.wrap_future(self._store.prune(before_s, self._settings.keep_tasks, PRUNED))
                await asyncio.sleep(0.05)

    async def _ask_after(self, live: LiveTask) -> None:
        payload, attempt = live.payload, live.attempt
        payload.asked += 1
        payload.ask_s = self._now() + min(60.0, self._settings.ask_after_s * 2 ** min(payload.asked, 8))
        member = self._fleet.members.get(live.instance)
        if member is None or member.probe is None or not member.answers or not member.probe.remembers:
            return
        try:
            held = await self._client.held(member.address, live.id)
        except InstanceAway:
            return
        if live.attempt != attempt or live.status not in (SCHEDULED, RUNNING):
            return
        if not held.known:
            reason = f"{member.place} does not know it any more"
            self._apply(self._queue.refused(live.id, attempt, reason, self._now()))
        elif held.ended:
            payload.result = held.result
            self._apply(self._queue.completed(live.id, held.run_s, self._now(), error=held.error))
