"""The decider ``cycle``: one task at a time, each on the state that the one before left.

::

    kind ─▶ filter ─▶ score ─▶ select ─▶ reserve (GPUs) ─▶ place ─▶ decision
               └─▶ no node: count who refused what, and what may cure it
"""

from collections.abc import Callable

from pilotage.engine.beyond import Beyond
from pilotage.engine.kind import Choice, Kind, Rejection
from pilotage.engine.kinds import Kinds
from pilotage.engine.run import TIES, Run
from pilotage.engine.state import State
from pilotage.kernel.policy import Policy
from pilotage.model.effects import Decision
from pilotage.model.events import Cure
from pilotage.model.task import Task, TaskSpec


class Cycle:
    """Decides tasks by a policy; places them in the state and returns the records."""

    def __init__(self, policy: Policy, state: State, kinds: Kinds, seed: int) -> None:
        self.policy = policy
        self.state = state
        self.kinds = kinds
        self.seed = seed
        self.beyond = Beyond(policy)
        self.watch: Callable[[Task, int, float], None] | None = None
        """Told task, number and time of each decision before it is made, on the state that it will be made on."""
        self._digest = policy.digest
        self._run: Run | None = None
        """The run that goes on if the next task is equal to `_before`, and nothing else happened since."""
        self._before: tuple[TaskSpec, int] | None = None
        """Spec of the task before, and the state's version when it was placed; None where no run can follow."""

    def decide(self, task: Task, seq: int, now: float) -> tuple[Decision, Cure]:
        """Place ``task`` on the best node, or say why none will do and what may cure that; nothing is half done."""
        if self.watch is not None:
            self.watch(task, seq, now)
        state = self.state
        if state.queues.declared and (over := state.queues.over_limit(task.queue, task.spec.demand)):
            return self._held_back(task, over, seq, now), Cure.QUEUE
        run = self._run_of(task)
        kind = self._kind_of(task) if run is None else run.kind
        choice = self._choose(kind, task, now) if run is None else run.choose(task.id)
        if choice.visited:
            state.rotation.advance(choice.visited)
        gpus: tuple[int, ...] = ()
        if choice.row < 0:
            rejection = self._rejection(kind, task, now)
            node, reasons, cures = "", rejection.reasons, rejection.cures
        else:
            if task.spec.gpus:
                gpus = self.policy.devices.choose(task, state.columns, choice.row, self.seed)
            node, reasons, cures = state.columns.names[choice.row], (), Cure(0)
        decision = Decision(
            seq=seq,
            now=now,
            task_id=task.id,
            version=state.version,
            kind=kind.number,
            policy=self._digest,
            tie=kind.tie,
            feasible=choice.feasible,
            node=node,
            gpus=gpus,
            score=choice.score,
            rejections=reasons,
        )
        if node:
            state.place(task, choice.row, gpus)
            if self.policy.tie in TIES:
                self._before = (task.spec, state.version)
        return decision, cures

    def _run_of(self, task: Task) -> Run | None:
        """Return the run that ``task`` goes on with, or begins since the one before was its equal."""
        state, before = self.state, self._before
        if before is None or before[0] is not task.spec or before[1] != state.version or self.beyond.concerns(task):
            return None
        if self._run is None:
            kind = self._kind_of(task)
            if not kind.normalised and state.log.last is not None:
                self._run = Run(kind, state.log.last[1], state, self.seed)
        return self._run

    def _kind_of(self, task: Task) -> Kind:
        """Return the kind of ``task``; the run ends, since the kind that it has was good until here."""
        self._run = None
        return self.kinds.of(task)

    def _held_back(self, task: Task, over: tuple[str, str], seq: int, now: float) -> Decision:
        """Return the record of a task that no node was asked about: its place would pass a queue's limit."""
        queue, resource = over
        return Decision(
            seq=seq,
            now=now,
            task_id=task.id,
            version=self.state.version,
            kind=0,
            policy=self._digest,
            tie=self.policy.tie,
            feasible=0,
            rejections=(("queue", f"queue {queue} would pass its limit of {resource}", len(self.state.nodes)),),
        )

    def choose(self, task: Task, now: float) -> Choice:
        """Return the best node for ``task`` as it would be decided now, and place nothing."""
        return self._choose(self._kind_of(task), task, now)

    def _choose(self, kind: Kind, task: Task, now: float) -> Choice:
        if self.beyond:
            return self.beyond.choose(kind, self.state, task, now, self.seed)
        return kind.choose(self.state, task, self.seed)

    def _rejection(self, kind: Kind, task: Task, now: float) -> Rejection:
        if self.beyond:
            return self.beyond.rejection(kind, self.state, task, now, self.seed)
        return kind.rejection(self.state)
