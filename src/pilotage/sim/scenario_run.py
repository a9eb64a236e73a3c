"""Plays a scenario: the real engine in a world where nodes go, labels change, binds fail and tasks are cancelled."""

from collections.abc import Callable
from hashlib import sha256
from heapq import heappop, heappush
from time import process_time
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from pilotage.engine.engine import Engine
from pilotage.engine.record import effect_bytes
from pilotage.kernel.hashing import key_hash, name_hash, random_number
from pilotage.model.effects import Bind, Displaced, Effect, Evict, Reject
from pilotage.model.events import (
    BindConfirmed,
    BindFailed,
    Event,
    NodeAdded,
    NodeRemoved,
    NodeUpdated,
    TaskFinished,
    TaskSubmitted,
)
from pilotage.model.node import Node
from pilotage.sim.scenario import Arrival, Mishap, Scenario, script_of
from pilotage.sim.traces.trace import FOREVER_S

_STEPS_AT_REST = 1000
"""Wake-ups in a row that decide nothing new, after which a scenario is over."""


class ScenarioRun(Struct, frozen=True, kw_only=True):
    """What came of a scenario. ``digest``: SHA-256 over all effects. Waits are from arrival to the last placement."""

    scenario: str
    policy: str
    seed: int
    arrived: int
    decisions: int
    placed: int
    rejections: int
    displaced: int
    bind_failures: int
    evicted: int
    cancelled: int
    unplaced: int
    waiting_mean_s: float
    end_s: float
    cpu_s: float
    decisions_per_s: float
    digest: str


class ScenarioWorld:
    """The outside of an engine: it knows tasks, nodes and the clock, and answers every effect.

    ``check`` is told the engine after every step. A task that is evicted comes again; one whose node is gone begins
    anew elsewhere.
    """

    def __init__(
        self, engine: Engine, scenario: Scenario, seed: int, check: Callable[[Engine], None] = lambda engine: None
    ) -> None:
        self.engine = engine
        self.scenario = scenario
        self.seed = seed
        self.now = 0.0
        self.cpu_s = 0.0
        self.counts: dict[str, int] = dict.fromkeys(
            ("decisions", "placed", "rejections", "displaced", "bind_failures", "evicted", "cancelled"), 0
        )
        self.waits_s: dict[str, float] = {}
        self._check = check
        self._script = script_of(scenario, seed)
        self._nodes: dict[str, Node] = {}
        self._tasks: dict[str, Arrival] = {}
        """Tasks that have come and are not over."""
        self._running: dict[str, int] = {}
        """By task on a node, the number of its bind: what happens to a former one is no news."""
        self._binds = 0
        self._agenda: list[tuple[float, int, int, Callable[[], None]]] = []
        self._entries = 0
        self._digest = sha256()

    def play(self) -> ScenarioRun:
        """Play everything until nothing can happen any more."""
        for node in self._script.nodes:
            self._nodes[node.name] = node
            self._apply(NodeAdded(node))
        for event in self._script.declared:
            self._apply(event)
        for arrival in self._script.arrivals:
            self._plan(arrival.now, 2, lambda arrival=arrival: self._arrive(arrival))  # type: ignore[misc]
        for mishap in self._script.mishaps:
            self._plan(mishap.now, 1, lambda mishap=mishap: self._go_wrong(mishap))  # type: ignore[misc]
        idle = 0
        while (now := self._next_s()) is not None and idle < _STEPS_AT_REST:
            self.now = max(self.now, now)
            before = len(self._agenda)
            while self._agenda and self._agenda[0][0] <= self.now:
                heappop(self._agenda)[3]()
            changed = self._decide() or before
            idle = 0 if changed else idle + 1
            self._check(self.engine)
        return self._result()

    def _result(self) -> ScenarioRun:
        waits = list(self.waits_s.values())
        return ScenarioRun(
            scenario=self.scenario.about,
            policy=self.engine.policy.name,
            seed=self.seed,
            arrived=len(self._script.arrivals),
            unplaced=sum(task_id not in self._running for task_id in self._tasks),
            waiting_mean_s=sum(waits) / len(waits) if waits else 0.0,
            end_s=self.now,
            cpu_s=self.cpu_s,
            decisions_per_s=self.counts["decisions"] / self.cpu_s if self.cpu_s else 0.0,
            digest=self._digest.hexdigest(),
            **self.counts,
        )

    # -- time ----------------------------------------------------------------------------------------------------

    def _plan(self, now: float, order: int, action: Callable[[], None]) -> None:
        self._entries += 1
        heappush(self._agenda, (now, order, self._entries, action))

    def _next_s(self) -> float | None:
        times = [self._agenda[0][0]] if self._agenda else []
        release_s = self.engine.room.next_release_s
        return min([*times, *([] if release_s is None else [release_s])], default=None)

    def _timed(self, action: Callable[[], Any]) -> Any:
        begin = process_time()
        try:
            return action()
        finally:
            self.cpu_s += process_time() - begin

    def _apply(self, event: Event) -> None:
        self._timed(lambda: self.engine.apply(event, self.now))

    # -- what comes and what goes wrong --------------------------------------------------------------------------

    def _arrive(self, arrival: Arrival) -> None:
        self._tasks[arrival.task.id] = arrival
        self._apply(TaskSubmitted(arrival.task))

    def _go_wrong(self, mishap: Mishap) -> None:
        fault = mishap.fault
        if fault.kind == "cancel":
            self._finish(_drawn(sorted(self._tasks), mishap.draw), "cancelled")
            return
        name = _drawn(sorted(self._nodes), mishap.draw)
        node = self._nodes.get(name)
        if node is None:
            return
        if fault.kind == "node-loss":
            del self._nodes[name]
            self._apply(NodeRemoved(name))
            self._plan(self.now + fault.back_after_s, 1, lambda: self._join(node))
        elif fault.kind == "cordon":
            self._change(replace(node, cordoned=True))
            self._plan(self.now + fault.back_after_s, 1, lambda: self._uncordon(name))
        elif fault.values:
            value = _drawn(fault.values, mishap.draw * len(self._nodes) % 1)
            self._change(replace(node, labels={**node.labels, fault.label: value}))

    def _join(self, node: Node) -> None:
        self._nodes[node.name] = node
        self._apply(NodeAdded(node))

    def _uncordon(self, name: str) -> None:
        if name in self._nodes:
            self._change(replace(self._nodes[name], cordoned=False))

    def _change(self, node: Node) -> None:
        self._nodes[node.name] = node
        self._apply(NodeUpdated(node))

    def _finish(self, task_id: str, what: str = "") -> None:
        if self._tasks.pop(task_id, None) is not None:
            self._running.pop(task_id, None)
            self._apply(TaskFinished(task_id))
            if what:
                self.counts[what] += 1

    # -- effects -------------------------------------------------------------------------------------------------

    def _decide(self) -> bool:
        effects: list[Effect] = self._timed(lambda: self.engine.decide(self.now))
        for effect in effects:
            self._digest.update(effect_bytes(effect))
            if isinstance(effect, Bind | Reject):
                self.counts["decisions"] += 1
            if isinstance(effect, Bind):
                self._bind(effect.task_id)
            elif isinstance(effect, Reject):
                self.counts["rejections"] += 1
            elif isinstance(effect, Displaced):
                self.counts["displaced"] += 1
                self._running.pop(effect.task_id, None)
            elif isinstance(effect, Evict):
                self.counts["evicted"] += 1
                self._plan(self.now + self.scenario.binds.takes_s, 0, lambda task=effect.task_id: self._evict(task))  # type: ignore[misc]
        return any(isinstance(effect, Bind) for effect in effects)

    def _bind(self, task_id: str) -> None:
        self._binds += 1
        number = self._binds
        self._running[task_id] = number
        drawn = random_number(key_hash(self.seed, task_id), name_hash(str(number))) / 2**64
        fails = drawn < self.scenario.binds.fail
        self._plan(self.now + self.scenario.binds.takes_s, 0, lambda: self._answer(task_id, number, fails))

    def _answer(self, task_id: str, number: int, fails: bool) -> None:
        if self._running.get(task_id) != number:
            return
        if fails:
            self.counts["bind_failures"] += 1
            del self._running[task_id]
            self._apply(BindFailed(task_id, "refused"))
            return
        self._apply(BindConfirmed(task_id))
        self.counts["placed"] += 1
        arrival = self._tasks[task_id]
        self.waits_s[task_id] = self.now - arrival.now
        if arrival.duration_s != FOREVER_S:
            self._plan(self.now + arrival.duration_s, 0, lambda: self._end(task_id, number))

    def _end(self, task_id: str, number: int) -> None:
        if self._running.get(task_id) == number:
            self._finish(task_id)

    def _evict(self, task_id: str) -> None:
        arrival = self._tasks.get(task_id)
        if arrival is not None and task_id in self._running:
            self._finish(task_id)
            self._arrive(arrival)


def _drawn(among: list[str], draw: float) -> str:
    return among[int(draw * len(among))] if among else ""
