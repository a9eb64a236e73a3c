"""The simulated pool: instances that serve what they are sent in its order, and a clock that jumps to what is next."""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from typing import Protocol

import numpy as np

from pilotage.kernel.arrays import FloatArray
from pilotage.sim.routing.faults import Fault, Slow, Stale
from pilotage.sim.routing.instances import Server
from pilotage.sim.routing.workload import Workload, run_times

_ENDS, _IS_KNOWN, _REACHES = range(3)

Sent = list[tuple[int, int]]
"""(task, instance) pairs, by position in the workload and in the pool."""


class Router(Protocol):
    """What the world talks to. Tasks and instances are positions; times are seconds of the virtual clock."""

    def arrived(self, task: int, now: float) -> Sent:
        """A task arrived; return what is sent now."""

    def ended(self, task: int, server: int, run_s: float, now: float) -> Sent:
        """News: a task ended, having run so long; return what is sent now."""

    def reported(self, ended: list[tuple[int, int, float]], running: list[tuple[int, float]], now: float) -> Sent:
        """Stale news of all instances: (task, instance, run time) of what ended, (task, start) of what runs."""


class World:
    """One run: `play` it once, then read ``latency_s`` (float64[n], arrival to completion) and ``served_by``.

    ``handover_s``: what a task costs beside its run, half of it on the way to the instance and half on the way back.
    """

    def __init__(
        self, workload: Workload, pool: tuple[Server, ...], fault: Fault | None = None, handover_s: float = 0.0
    ) -> None:
        self._arrival_s: list[float] = workload.arrival_s.tolist()
        times = {platform: values.tolist() for platform, values in run_times(workload, pool).items()}
        self._run_s: list[list[float]] = [times[server.platform] for server in pool]
        self._slots = [server.slots for server in pool]
        self._running: list[dict[int, float]] = [{} for _ in pool]
        self._queued: list[deque[int]] = [deque() for _ in pool]
        self._way_s = handover_s / 2
        self._events: list[tuple[float, int, int, int, float]] = []  # when, what, task, server, run time if it is news
        self._fault = fault
        self._slow, self._slow_from, self._slow_to = -1, 0.0, 0.0
        if isinstance(fault, Slow):
            self._slow = [server.name for server in pool].index(fault.server)
            self._slow_from, self._slow_to = fault.span_s(self._arrival_s[-1])
        self.latency_s: FloatArray = np.zeros(len(self._arrival_s))
        self.served_by = np.zeros(len(self._arrival_s), np.int64)

    def play(self, router: Router, progress: Callable[[float], None] = lambda part: None) -> None:
        """Let all tasks arrive and end; ``progress`` is told the part that has arrived about a hundred times."""
        every_s = self._fault.every_s if isinstance(self._fault, Stale) else inf
        report_s = every_s
        arrivals, events = self._arrival_s, self._events
        count, task, ended = len(arrivals), 0, 0
        often = max(1, count // 100)
        unheard: list[tuple[int, int, float]] = []
        while ended < count or unheard:
            next_event = events[0][0] if events else inf
            next_arrival = arrivals[task] if task < count else inf
            if report_s <= next_event and report_s <= next_arrival:
                running = [pair for each in self._running for pair in each.items()]
                self._send(router.reported(unheard, running, report_s), report_s)
                unheard = []
                report_s += every_s
            elif next_arrival <= next_event:
                self._send(router.arrived(task, next_arrival), next_arrival)
                task += 1
                if task % often == 0:
                    progress(task / count)
            else:
                now, what, done, server, run_s = heappop(events)
                if what == _REACHES:
                    self._take(done, server, now)
                    continue
                if what == _ENDS:
                    run_s = self._end(done, server, now)
                    if self._way_s:
                        heappush(events, (now + self._way_s, _IS_KNOWN, done, server, run_s))
                        continue
                self.latency_s[done] = now - arrivals[done]
                ended += 1
                if every_s == inf:
                    self._send(router.ended(done, server, run_s, now), now)
                else:
                    unheard.append((done, server, run_s))

    def _send(self, sent: Sent, now: float) -> None:
        for task, server in sent:
            if self._way_s:
                heappush(self._events, (now + self._way_s, _REACHES, task, server, 0.0))
            else:
                self._take(task, server, now)

    def _take(self, task: int, server: int, now: float) -> None:
        if len(self._running[server]) < self._slots[server]:
            self._begin(task, server, now)
        else:
            self._queued[server].append(task)

    def _begin(self, task: int, server: int, now: float) -> None:
        run_s = self._run_s[server][task]
        if server == self._slow and self._slow_from <= now < self._slow_to:
            assert isinstance(self._fault, Slow)
            run_s *= self._fault.times
        self._running[server][task] = now
        heappush(self._events, (now + run_s, _ENDS, task, server, run_s))

    def _end(self, task: int, server: int, now: float) -> float:
        run_s = now - self._running[server].pop(task)
        self.served_by[task] = server
        if self._queued[server]:
            self._begin(self._queued[server].popleft(), server, now)
        return run_s
