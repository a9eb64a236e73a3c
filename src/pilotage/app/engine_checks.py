"""The generic checks of a whole policy: it decides without fault, the same each time, and remembers only what holds."""

import contextlib
from collections.abc import Iterator
from inspect import unwrap
from random import Random

import numpy as np

from pilotage.app.findings import Finding, fault, where
from pilotage.app.sample_cluster import Sample
from pilotage.app.sample_events import Disturbance
from pilotage.engine.engine import Engine
from pilotage.engine.kind import Choice
from pilotage.engine.memo import FilterMemo, ScoreMemo
from pilotage.engine.validate import validate
from pilotage.kernel.faults import line_in, told
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import PolicyFault
from pilotage.kernel.policy import Policy
from pilotage.model.effects import Effect
from pilotage.model.events import TaskSubmitted
from pilotage.model.task import Task

_EVENTS = 80


class _Undone(Exception):  # noqa: N818 - only leaves a transaction
    pass


def check_order(policy: Policy, tasks: tuple[Task, ...]) -> Iterator[Finding]:
    """The order of the queue gives keys that can be compared, and the same ones each time."""
    code = getattr(unwrap(policy.order), "__code__", None)
    name = getattr(policy.order, "__name__", "order")
    file, line = (code.co_filename, code.co_firstlineno) if code else (policy.name, 0)
    try:
        keys = [policy.order(task) for task in tasks]
        again = [policy.order(task) for task in tasks]
        sorted(keys)
    except PolicyFault as error:
        place = error.field.removesuffix(f": {name}")
        yield Finding("error", name, place, "queue", f"as the order of the queue: {error.reason}")
        return
    except Exception as error:
        at = line_in(file, error.__traceback__) or line
        yield Finding("error", name, f"{file}:{at}", "queue", f"as the order of the queue: {told(error)}")
        return
    if keys != again:
        advice = "an order may rest on the task alone; its key is asked for once, when the task comes"
        yield Finding("error", name, f"{file}:{line}", "queue", "gives a task another key when asked again", advice)


class EngineCheck:
    """One policy on one sample, decided by real engines."""

    def __init__(self, policy: Policy, sample: Sample, seed: int) -> None:
        self.policy = policy
        self.sample = sample
        self.seed = seed

    def findings(self) -> list[Finding]:
        """Run every check; a failure of the policy ends them with the finding that says where."""
        found: list[Finding] = []
        try:
            found += self._decides()
            found += self._order_of_nodes()
            found += self._remembers()
        except Exception as error:
            found.append(self._failed(error))
        return found

    # -- the checks ----------------------------------------------------------------------------------------------

    def _decides(self) -> Iterator[Finding]:
        engine, effects = self._decided()
        columns = engine.state.columns
        over = (columns.used > columns.capacity).any(axis=0) | (columns.gpu_free < 0).any(axis=0)
        if over.any():
            yield self._error("capacity", f"node {columns.names[int(over.argmax())]} holds more than it has")
        validate(engine)
        _, again = self._decided()
        for one, other in zip(effects, again, strict=False):
            if one != other:
                task = one.task_id
                yield self._error(
                    "seed", f"decided twice with the same seed, {task} and what follows turn out otherwise"
                )
                return

    def _decided(self) -> tuple[Engine, list[Effect]]:
        engine = self.sample.engine(self.policy, self.seed)
        for task in self.sample.tasks:
            engine.apply(TaskSubmitted(task))
        return engine, engine.decide()

    def _order_of_nodes(self) -> Iterator[Finding]:
        engines = [self.sample.engine(self.policy, self.seed, order) for order in (None, 1)]
        for task in self.sample.kinds:
            one, other = (_choice(engine, task) for engine in engines)
            if one.feasible != other.feasible or not np.isclose(one.score, other.score, rtol=1e-9, atol=1e-9):
                yield self._error(
                    "order",
                    f"with the nodes in another order the best score for {task.id} is {other.score:g} of "
                    f"{other.feasible} nodes instead of {one.score:g} of {one.feasible}",
                )
                return

    def _remembers(self) -> Iterator[Finding]:
        engine = self.sample.engine(self.policy, self.seed)
        specs = tuple(dict.fromkeys(task.spec for task in self.sample.tasks))
        disturbance = Disturbance(engine, specs, self.seed)
        random = Random(self.seed)
        blamed: set[int] = set()
        for i in range(_EVENTS):
            what = disturbance.apply()
            tasks = self.sample.kinds if i == _EVENTS - 1 else random.sample(self.sample.kinds, 3)
            yield from self._stale(engine, tasks, f"after {what}", blamed)
            if i % 10 == 0:
                self._roll_back(engine, random)
                yield from self._stale(engine, tasks, "after a rolled-back transaction", blamed)
        validate(engine)

    def _roll_back(self, engine: Engine, random: Random) -> None:
        """Place a few tasks, let everything be remembered, and undo it."""
        with contextlib.suppress(_Undone), engine.state.transaction():
            for i, task in enumerate(random.sample(self.sample.kinds, 5)):
                choice = _choice(engine, task)
                if choice.row >= 0:
                    gpus = self.policy.devices.choose(task, engine.state.columns, choice.row, self.seed)
                    trial = Task(id=f"trial-{i}", spec=task.spec)
                    engine.state.place(trial, choice.row, gpus if task.gpus else ())
            for task in self.sample.kinds:
                engine.kinds.of(task).refresh(engine.state)
            raise _Undone

    def _stale(
        self, engine: Engine, tasks: "list[Task] | tuple[Task, ...]", when: str, blamed: set[int]
    ) -> Iterator[Finding]:
        """Compare what is remembered for ``tasks`` with fresh answers; every plugin is blamed once."""
        columns = engine.state.columns
        living = np.flatnonzero(columns.alive[: columns.n])
        for task in tasks:
            kind = engine.kinds.of(task)
            kind.refresh(engine.state)
            memos: list[FilterMemo | ScoreMemo] = [*kind.filters, *kind.scorers]
            for memo in memos:
                fresh = memo.answer(Nodes(columns, living))
                differ = np.flatnonzero(memo.values[living] != fresh)
                if differ.size and id(memo.plugin) not in blamed:
                    blamed.add(id(memo.plugin))
                    node = columns.names[int(living[differ[0]])]
                    yield Finding(
                        "error",
                        memo.plugin.name,
                        where(memo.plugin),
                        "cache",
                        f"what is remembered for node {node} is stale {when}",
                        "it rests on more than it declares: name all of it in reads, or leave out depends",
                    )

    # -- naming what failed --------------------------------------------------------------------------------------

    def _failed(self, error: Exception) -> Finding:
        plugins = (*self.policy.filters, *(scorer for scorer, _ in self.policy.scorers), self.policy.devices)
        for plugin in plugins:
            finding = fault(plugin, "decides", error)
            if finding.where != where(plugin) or (isinstance(error, PolicyFault) and plugin.name in error.field):
                return finding
        return self._error("decides", told(error).split(" story of ")[0])

    def _error(self, check: str, text: str) -> Finding:
        return Finding("error", self.policy.name, self.policy.name, check, text)


def _choice(engine: Engine, task: Task) -> Choice:
    return engine.cycle.choose(task, 0.0)
