"""The ports of a strategy: what it is told, what it answers, and where its predictions come from.

A strategy is pure and deterministic: the same calls give the same answers, random choices are keyed by seed and task
id (`pilotage.kernel.hashing`). The service and the simulator drive the same object:

    instance_changed(instance, now)        new, or another form of a known one; ready=False: no new tasks for it
    instance_removed(id, now)              gone; its tasks were reported by `left` before
    submitted(task, now)                   waits (again): new, or back from an instance (then `avoid` names those)
    withdrawn(task_id, now)                waits no longer: cancelled, expired, or completed after all
    decide(now) -> [Assignment]            tasks that go to an instance *now*; each leaves the waiting ones
    placed(task, instance, started, now)   is on an instance without our `decide`: adopted at start or after a switch
    started(task_id, now)                  the instance said that it took it
    left(task_id, run_s, now)              is no longer on its instance; run_s is None unless it completed
    planned(task_id) -> Assignment | None  where a waiting task would go by the latest plan
    outlook(task_id) -> Assignment | None  the same of a task that was just submitted, and cheap
    wait(instance_id, now) -> (s, s)       how long a task sent there now would wait: expectation, deviation

After every event, or several at once, the driver calls `decide`. ``late = True``: tasks wait in one queue and `decide`
gives each only to an instance with a free slot (late binding). ``late = False``: `decide` gives every task that has a
candidate to one at once (bound at submit), and the instance keeps a queue of its own.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from pilotage.model.routing import Assignment, Instance, Prediction, RoutedTask


class Predictor(Protocol):
    """Run times before they happen. ``None``: nothing is known."""

    def predict(self, model: str, metadata: Mapping[str, Any], platform: str) -> Prediction | None:
        """The run time of a task with these features on an instance of this platform."""

    def observe(self, model: str, metadata: Mapping[str, Any], platform: str, run_s: float) -> None:
        """A task ran so long. A predictor that does not learn ignores it."""


class Strategy(Protocol):
    """See the module's text for when each is called."""

    name: str
    late: bool

    def instance_changed(self, instance: Instance, now: float) -> None:
        """An instance is new or changed."""

    def instance_removed(self, instance_id: str, now: float) -> None:
        """An instance is gone."""

    def submitted(self, task: RoutedTask, now: float) -> None:
        """A task waits."""

    def withdrawn(self, task_id: str, now: float) -> None:
        """A task waits no longer, and goes nowhere."""

    def decide(self, now: float) -> list[Assignment]:
        """Which waiting tasks go where now."""

    def placed(self, task: RoutedTask, instance_id: str, started_s: float | None, now: float) -> None:
        """A task is on an instance already; ``started_s`` None: nobody knows whether it runs yet."""

    def started(self, task_id: str, now: float) -> None:
        """A task's instance took it."""

    def left(self, task_id: str, run_s: float | None, now: float) -> None:
        """A task is no longer on its instance."""

    def planned(self, task_id: str) -> Assignment | None:
        """Where a waiting task would go."""

    def outlook(self, task_id: str) -> Assignment | None:
        """Where a task that was just submitted would go. Asked at every submit, whatever waits: it must be cheap."""

    def wait(self, instance_id: str, now: float) -> tuple[float, float]:
        """How long a task sent there now would wait: expectation and standard deviation, seconds."""

    def odds(self, task: RoutedTask, now: float) -> float:
        """The probability that a task submitted now starts by its deadline; 1 where that can not be said."""
