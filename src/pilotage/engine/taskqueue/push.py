"""Strategies that bind at submit: a chooser picks one of the candidates, and the task goes there at once."""

from collections.abc import Sequence
from typing import Protocol

from pilotage.engine.taskqueue.backlog import Backlog
from pilotage.engine.taskqueue.strategy import Predictor
from pilotage.model.routing import Assignment, Instance, Prediction, RoutedTask

UNKNOWN = Prediction(1.0, 0.5)
"""What a task is booked with when no predictor knows it: the count of tasks still balances the instances."""


class Chooser(Protocol):
    """What is special about one strategy: the choice among candidates."""

    name: str

    def choose(self, task: RoutedTask, candidates: Sequence[Backlog], now: float) -> Backlog:
        """Return one of ``candidates``, of which there is at least one, in the order of registration."""


class Push:
    """A `Strategy` around a `Chooser`: keeps the books, finds the candidates, sends every task it can."""

    late = False

    def __init__(self, chooser: Chooser, predictor: Predictor) -> None:
        self.name = chooser.name
        self._chooser = chooser
        self._predictor = predictor
        self._backlogs: dict[str, Backlog] = {}
        self._by_model: dict[str, list[Backlog]] = {}
        self._waiting: dict[str, RoutedTask] = {}
        self._placed: dict[str, tuple[Backlog, RoutedTask]] = {}
        self._fresh: list[str] = []  # waiting tasks that were not tried since something changed

    def backlog(self, instance_id: str) -> Backlog | None:
        """The books of one instance."""
        return self._backlogs.get(instance_id)

    def instance_changed(self, instance: Instance, now: float) -> None:
        """Keep the books under the instance's new form."""
        backlog = self._backlogs.get(instance.id)
        if backlog is None:
            self._backlogs[instance.id] = Backlog(instance)
        else:
            backlog.instance = instance
        self._index()

    def instance_removed(self, instance_id: str, now: float) -> None:
        """Close the books of the instance."""
        self._backlogs.pop(instance_id, None)
        self._index()

    def _index(self) -> None:
        self._by_model = {}
        for backlog in self._backlogs.values():
            if backlog.instance.ready:
                self._by_model.setdefault(backlog.instance.model, []).append(backlog)
        self._fresh = list(self._waiting)

    def submitted(self, task: RoutedTask, now: float) -> None:
        """Try the task at the next `decide`."""
        self._waiting[task.id] = task
        self._fresh.append(task.id)

    def withdrawn(self, task_id: str, now: float) -> None:
        """Forget a waiting task."""
        self._waiting.pop(task_id, None)

    def decide(self, now: float) -> list[Assignment]:
        """Send every waiting task that has a candidate."""
        if not self._fresh:
            return []
        fresh, self._fresh = self._fresh, []
        made = []
        for task_id in fresh:
            task = self._waiting.get(task_id)
            candidates = self._candidates(task) if task else []
            if task and candidates:
                del self._waiting[task_id]
                made.append(self._assign(task, candidates, now))
        return made

    def _candidates(self, task: RoutedTask) -> list[Backlog]:
        """Ready instances of the task's model, without those to avoid unless there are no others."""
        candidates = self._by_model.get(task.model, [])
        if task.avoid:
            return [each for each in candidates if each.id not in task.avoid] or candidates
        return candidates

    def _assign(self, task: RoutedTask, candidates: list[Backlog], now: float) -> Assignment:
        chosen = candidates[0] if len(candidates) == 1 else self._chooser.choose(task, candidates, now)
        waits_s = chosen.expected_s(now)
        scores = tuple((each.id, float(each.outstanding)) for each in candidates[:16])
        mean_s = self._book(task, chosen, now)
        return Assignment(task.id, chosen.id, now + waits_s + mean_s, "tasks there", scores)

    def _book(self, task: RoutedTask, backlog: Backlog, now: float) -> float:
        instance = backlog.instance
        prediction = self._predictor.predict(task.model, task.metadata, instance.platform) or UNKNOWN
        backlog.add(task.id, prediction.mean_s, prediction.std_s, now)
        self._placed[task.id] = (backlog, task)
        return prediction.mean_s

    def placed(self, task: RoutedTask, instance_id: str, started_s: float | None, now: float) -> None:
        """Book a task that is on an instance already."""
        self._book(task, self._backlogs[instance_id], now if started_s is None else started_s)

    def started(self, task_id: str, now: float) -> None:
        """Nothing: the books start a task when it reaches a slot."""

    def left(self, task_id: str, run_s: float | None, now: float) -> None:
        """Take the task out of the books."""
        found = self._placed.pop(task_id, None)
        if found is not None:
            found[0].remove(task_id, now)

    def planned(self, task_id: str) -> Assignment | None:
        """None: a task that waits here has no candidate."""
        return None

    def outlook(self, task_id: str) -> Assignment | None:
        """None, as `planned`."""
        return None

    def wait(self, instance_id: str, now: float) -> tuple[float, float]:
        """What the books say of the instance."""
        backlog = self._backlogs.get(instance_id)
        return (backlog.expected_s(now), backlog.error_s()) if backlog else (0.0, 0.0)

    def odds(self, task: RoutedTask, now: float) -> float:
        """1: a task that is bound at submit is not refused."""
        return 1.0
