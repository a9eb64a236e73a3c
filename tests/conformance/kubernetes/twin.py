"""Our side of a comparison: an engine that is told the same objects as the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pilotage.adapters.kubernetes.files import KIN, Objects, add_object
from pilotage.adapters.kubernetes.judgement import Judgement, judge
from pilotage.adapters.kubernetes.objects import Node, Pod
from pilotage.adapters.kubernetes.profile import Profile, policy_of
from pilotage.adapters.kubernetes.translate import OVER, node_of, placed_task_of, task_of
from pilotage.engine.engine import Engine
from pilotage.model.effects import Decision, Displaced
from pilotage.model.events import NodeAdded, NodeRemoved, TaskFinished, TaskPlaced, TaskSubmitted
from pilotage.model.node import Node as ModelNode
from pilotage.model.task import Task

Object = dict[str, Any]


class Twin:
    """One profile's engine."""

    def __init__(self, objects: Sequence[Object], profile: Profile) -> None:
        self.profile = profile
        found = Objects()
        for each in objects:
            if each["kind"] in KIN:
                add_object("objects", each, found)
        self.reading = profile.reading(found.surroundings)
        self.engine = Engine(policy_of(profile), retry=False)
        for each in objects:
            self.add(each)

    def add(self, each: Object) -> None:
        if each["kind"] == "Node":
            self.engine.apply(NodeAdded(node_of_wire(each)))
            return
        if each["kind"] != "Pod":
            return
        pod = msgspec.convert(each, Pod)
        if pod.spec.node_name and (pod.status is None or pod.status.phase not in OVER):
            self.engine.apply(TaskPlaced(placed_task_of(pod, self.reading), pod.spec.node_name))

    def task(self, pod: Object) -> Task:
        return task_of(msgspec.convert(pod, Pod), self.reading)

    def order(self) -> list[str]:
        return [self.engine.state.columns.names[row] for row in self.engine.state.rotation.order]

    def judge(self, pod: Object) -> Judgement:
        state = self.engine.state
        return judge(self.engine.policy, state.columns, self.task(pod), state.rotation.order.tolist())

    def choose(self, pod: Object) -> tuple[str, int]:
        """What a decision would choose, and among how many; the visit of nodes goes on, nothing is placed."""
        engine, task = self.engine, self.task(pod)
        choice = engine.cycle.choose(task, 0.0)
        engine.state.rotation.advance(choice.visited)
        return ("" if choice.row < 0 else engine.state.columns.names[choice.row]), choice.feasible

    def decide(self, pod: Object) -> Decision:
        """Decide and place."""
        task = self.task(pod)
        self.engine.apply(TaskSubmitted(task))
        (decision,) = [e.decision for e in self.engine.decide() if not isinstance(e, Displaced)]
        return decision

    def remove_node(self, name: str) -> None:
        """A node goes, and with it the pods on it."""
        state = self.engine.state
        lost = list(state.tasks_on[state.row_of(name)])
        self.engine.apply(NodeRemoved(name))
        for task_id in lost:
            self.engine.apply(TaskFinished(task_id))


def node_of_wire(each: Object) -> ModelNode:
    """Translate a node."""
    return node_of(msgspec.convert(each, Node))
