"""Who may be given tasks: circuit breakers and warm-up, around any strategy.

An instance that fails tasks (refuses, does not answer, loses or never ends them) but answers its health checks would
draw ever more tasks: it is always free. After `BreakerSettings.failures` failures in a row its breaker is open: it gets
nothing for ``pause_s``. Then it is half open: one task tries it. If that ends well the breaker is closed; if not, it is
open for twice as long, up to ``longest_pause_s``. Where all are open tasks wait.

An instance that is new or was away starts with one slot, and has all of them after ``warm_up_s`` (0: at once).
"""

from math import inf

from msgspec import Struct, structs

from pilotage.engine.taskqueue.strategy import Strategy
from pilotage.model.routing import Assignment, Instance, RoutedTask


class BreakerSettings(Struct, frozen=True):
    """See the module's text; ``failures`` 0: no breakers."""

    failures: int = 3
    pause_s: float = 1.0
    longest_pause_s: float = 60.0
    warm_up_s: float = 0.0


class Gate:
    """One instance's breaker and warm-up."""

    def __init__(self, settings: BreakerSettings, now: float) -> None:
        self._settings = settings
        self._row = 0  # failures in a row
        self._pause_s = settings.pause_s
        self._until_s = -inf  # open until then
        self._open = False
        self._trying = False  # half open, and a task is there
        self.warm_from_s = now

    def state(self, now: float) -> str:
        """``closed``, ``open`` or ``half-open``."""
        if not self._open:
            return "closed"
        return "open" if now < self._until_s else "half-open"

    def lets_in(self, now: float) -> bool:
        """Whether it may be given a task."""
        return not self._open or (now >= self._until_s and not self._trying)

    def slots(self, slots: int, now: float) -> int:
        """How many of its slots may be used: one while half open, rising while it warms up."""
        if self._open:
            return 1
        warm_up_s = self._settings.warm_up_s
        if now >= self.warm_from_s + warm_up_s:
            return slots
        return max(1, int(slots * (now - self.warm_from_s) / warm_up_s))

    def sent(self) -> None:
        """It was given a task."""
        self._trying = self._open

    def left(self, now: float, *, ended: bool) -> None:
        """A task is no longer there. If it ended the breaker is closed; else `failed` may follow."""
        self._trying = False
        if ended:
            if self._open:
                self.warm_from_s = now
            self._row, self._open, self._pause_s = 0, False, self._settings.pause_s

    def failed(self, now: float) -> None:
        """A task came back from there."""
        self._row += 1
        if self._open:
            if now >= self._until_s:  # what was sent before it opened says nothing new
                self._pause_s = min(2 * self._pause_s, self._settings.longest_pause_s)
                self._until_s = now + self._pause_s
        elif self._settings.failures and self._row >= self._settings.failures:
            self._open, self._until_s = True, now + self._pause_s


class Guarded:
    """A `Strategy` that is told of each instance only what its gate lets through."""

    def __init__(self, inner: Strategy, settings: BreakerSettings | None = None) -> None:
        self.inner = inner
        self.name = inner.name
        self.late = inner.late
        self._settings = settings or BreakerSettings()
        self._instances: dict[str, Instance] = {}
        self._told: dict[str, Instance] = {}
        self._gates: dict[str, Gate] = {}
        self._held: dict[str, None] = {}  # instances that are told of as less than they are
        self._on: dict[str, str] = {}

    def gate(self, instance_id: str) -> Gate | None:
        """The gate of an instance."""
        return self._gates.get(instance_id)

    def instance_changed(self, instance: Instance, now: float) -> None:
        """An instance that comes back warms up again."""
        before = self._instances.get(instance.id)
        self._instances[instance.id] = instance
        gate = self._gates.get(instance.id)
        if gate is None:
            self._gates[instance.id] = Gate(self._settings, now)
        elif instance.ready and before is not None and not before.ready:
            gate.warm_from_s = now
        self._tell(instance.id, now)

    def instance_removed(self, instance_id: str, now: float) -> None:
        """Forget its gate."""
        self._instances.pop(instance_id, None)
        self._told.pop(instance_id, None)
        self._gates.pop(instance_id, None)
        self._held.pop(instance_id, None)
        self.inner.instance_removed(instance_id, now)

    def submitted(self, task: RoutedTask, now: float) -> None:
        """A task that is back counts against the instance it is back from."""
        if task.avoid and (gate := self._gates.get(task.avoid[-1])) is not None:
            gate.failed(now)
            self._tell(task.avoid[-1], now)
        self.inner.submitted(task, now)

    def withdrawn(self, task_id: str, now: float) -> None:
        """Pass it on."""
        self.inner.withdrawn(task_id, now)

    def decide(self, now: float) -> list[Assignment]:
        """Let time open gates, then decide."""
        for instance_id in list(self._held):
            self._tell(instance_id, now)
        made = self.inner.decide(now)
        for each in made:
            self._on[each.task_id] = each.instance
            gate = self._gates[each.instance]
            gate.sent()
            if not gate.lets_in(now):
                self._tell(each.instance, now)
        return made

    def placed(self, task: RoutedTask, instance_id: str, started_s: float | None, now: float) -> None:
        """Pass it on."""
        self._on[task.id] = instance_id
        self.inner.placed(task, instance_id, started_s, now)

    def started(self, task_id: str, now: float) -> None:
        """Pass it on."""
        self.inner.started(task_id, now)

    def left(self, task_id: str, run_s: float | None, now: float) -> None:
        """A task that ended closes the breaker."""
        gate = self._gates.get(self._on.pop(task_id, ""))
        if gate is not None:
            gate.left(now, ended=run_s is not None)
        self.inner.left(task_id, run_s, now)

    def planned(self, task_id: str) -> Assignment | None:
        """Pass it on."""
        return self.inner.planned(task_id)

    def outlook(self, task_id: str) -> Assignment | None:
        """Pass it on; a user's strategy need not know."""
        ask = getattr(self.inner, "outlook", None)
        return None if ask is None else ask(task_id)

    def wait(self, instance_id: str, now: float) -> tuple[float, float]:
        """Pass it on."""
        return self.inner.wait(instance_id, now)

    def odds(self, task: RoutedTask, now: float) -> float:
        """Pass it on; a user's strategy need not know."""
        ask = getattr(self.inner, "odds", None)
        return 1.0 if ask is None else float(ask(task, now))

    def _tell(self, instance_id: str, now: float) -> None:
        instance, gate = self._instances[instance_id], self._gates[instance_id]
        slots = gate.slots(instance.slots, now)
        seen = structs.replace(instance, ready=instance.ready and gate.lets_in(now), slots=slots)
        if seen == instance:
            self._held.pop(instance_id, None)
        else:
            self._held[instance_id] = None
        if self._told.get(instance_id) != seen:
            self._told[instance_id] = seen
            self.inner.instance_changed(seen, now)
