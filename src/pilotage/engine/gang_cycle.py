"""The cycle for gangs: the core of a gang is decided member by member in one transaction, all or nothing."""

from typing import NamedTuple

from msgspec.structs import replace

from pilotage.engine.cycle import Cycle
from pilotage.engine.gangs import Gangs
from pilotage.engine.state import State
from pilotage.engine.waiting import Waiting, WaitingRoom
from pilotage.model.effects import Decision
from pilotage.model.events import Cure


class Verdict(NamedTuple):
    """What became of a core: its members as they were tried, the record of each, and what may cure a rejection."""

    core: list[Waiting]
    decisions: list[Decision]
    cures: Cure

    @property
    def placed(self) -> bool:
        """Whether every member has a place."""
        return bool(self.decisions[0].node)


class _Refused(Exception):  # noqa: N818 - undoes the transaction, goes no further
    def __init__(self, decision: Decision, cures: Cure) -> None:
        self.decision = decision
        self.cures = cures


class GangCycle:
    """Tries gangs on the state that the ordinary cycle works on."""

    def __init__(self, gangs: Gangs, room: WaitingRoom, state: State, cycle: Cycle) -> None:
        self.gangs = gangs
        self.room = room
        self.state = state
        self.cycle = cycle

    def decide(self, first: Waiting, seq: int, now: float) -> Verdict:
        """Try ``first``, just popped, with as many others of its gang as the minimum needs.

        Records are numbered from ``seq`` + 1. Nothing is placed unless all are, and if a plugin fails the others are
        back in the room.
        """
        core = self._core(first)
        decisions: list[Decision] = []
        start, state = self.state.rotation.start, self.state
        try:
            with state.transaction():
                for member in core:
                    decision, cures = self.cycle.decide(member.task, seq + len(decisions) + 1, now)
                    if not decision.node:
                        raise _Refused(decision, cures)
                    decisions.append(decision)
        except _Refused as refused:
            state.rotation.start = start
            return self._refusal(core, refused, seq, now)
        except BaseException:
            state.rotation.start = start
            for member in core[1:]:
                self.room.put_back(member)
            raise
        return Verdict(core, decisions, Cure(0))

    def _core(self, first: Waiting) -> list[Waiting]:
        """Take the other members of the core out of the room, wherever there they are, in the order of the queue."""
        members = self.gangs.members[first.task.gang]
        others = [self.room.get(task_id) for task_id in members.waiting if task_id != first.task.id]
        ordered = sorted((w for w in others if w is not None), key=lambda w: (w.key, w.seq))
        chosen = self.gangs.core(first.task, [w.task for w in ordered])
        return [first, *(self.room.take(task.id) for task in chosen[1:])]

    def _refusal(self, core: list[Waiting], refused: _Refused, seq: int, now: float) -> Verdict:
        """The member without a node has its own reasons, the others wait because of it."""
        failed, version = refused.decision, self.state.version
        why = f"gang {core[0].task.gang}: no node for {failed.task_id}"
        decisions = []
        for i, member in enumerate(core):
            own = member.task.id == failed.task_id
            reasons = failed.rejections if own else (("gang", why, len(self.state.nodes)),)
            decisions.append(
                replace(
                    failed,
                    seq=seq + 1 + i,
                    now=now,
                    task_id=member.task.id,
                    version=version,
                    kind=failed.kind if own else 0,
                    rejections=reasons,
                )
            )
        return Verdict(core, decisions, refused.cures)
