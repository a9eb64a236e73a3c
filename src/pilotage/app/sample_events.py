"""Random events on a running engine: what a cluster goes through, so that remembered answers are put to the test."""

from random import Random

import msgspec

from pilotage.engine.engine import Engine
from pilotage.model.amounts import WHOLE_GPU
from pilotage.model.events import (
    NodeAdded,
    NodeRemoved,
    NodeUpdated,
    TaskFinished,
    TaskPlaced,
    TaskSubmitted,
    WorkloadExpected,
)
from pilotage.model.node import ZONE_LABEL, Node, Taint, TaintEffect
from pilotage.model.task import Task, TaskSpec
from pilotage.model.workload import head_workload

_FRESH = 1_000_000
"""Numbers of nodes and tasks made here start behind those of the sample."""


class Disturbance:
    """A source of random events for one engine; every call applies one and says what it was."""

    def __init__(self, engine: Engine, specs: tuple[TaskSpec, ...], seed: int) -> None:
        self._engine = engine
        self._specs = specs
        self._random = Random(seed)
        self._made = _FRESH
        self._verbs = (
            self._update_node,
            self._update_node,
            self._finish_task,
            self._finish_task,
            self._place_task,
            self._decide,
            self._decide,
            self._add_node,
            self._remove_node,
            self._expect,
        )

    def apply(self) -> str:
        """Apply one random event and return what it was."""
        return self._random.choice(self._verbs)()

    def _some_node(self) -> Node:
        nodes = self._engine.state.nodes
        return nodes[self._random.choice(list(nodes))]

    def _task(self) -> TaskSubmitted:
        self._made += 1
        return TaskSubmitted(Task(id=f"task-{self._made}", spec=self._random.choice(self._specs)))

    def _update_node(self) -> str:
        node, random = self._some_node(), self._random
        amounts = {name: amount for name, amount in node.capacity.items() if name != "gpu"}
        what = random.choice(("capacity", "GPUs", "labels", "taints", "cordon"))
        if what == "capacity":
            name = random.choice(list(amounts))
            changed = msgspec.structs.replace(node, capacity={**amounts, name: amounts[name] // 2 + 1})
        elif what == "GPUs":
            changed = msgspec.structs.replace(
                node, capacity=amounts, gpus=node.gpus + 1, gpu_model=random.choice(("T4", "G3"))
            )
        elif what == "labels":
            label = {ZONE_LABEL: random.choice(("north", "south", "east")), "disk": random.choice(("ssd", "hdd"))}
            changed = msgspec.structs.replace(node, capacity=amounts, labels={**node.labels, **label})
        elif what == "taints":
            effect = random.choice(list(TaintEffect))
            changed = msgspec.structs.replace(node, capacity=amounts, taints=(Taint("flaky", "", effect),))
        else:
            changed = msgspec.structs.replace(node, capacity=amounts, cordoned=not node.cordoned)
        self._engine.apply(NodeUpdated(changed))
        return f"{what} of {node.name} changed"

    def _finish_task(self) -> str:
        placements = self._engine.state.placements
        if not placements:
            return self._decide()
        task_id = self._random.choice(list(placements))
        self._engine.apply(TaskFinished(task_id))
        return f"{task_id} finished"

    def _place_task(self) -> str:
        node, task = self._some_node(), self._task().task
        if task.gpus > node.gpus:
            return self._decide()
        gpus = tuple(sorted(self._random.sample(range(node.gpus), task.gpus)))
        row = self._engine.state.row_of(node.name)
        if any(self._engine.state.columns.gpu_free[gpu, row] < task.gpu_share for gpu in gpus):
            return self._decide()
        self._engine.apply(TaskPlaced(task, node.name, gpus))
        return f"a task placed on {node.name} from outside"

    def _decide(self) -> str:
        self._engine.apply(self._task())
        self._engine.decide()
        return "a task decided"

    def _add_node(self) -> str:
        self._made += 1
        random = self._random
        node = Node(
            name=f"node-{self._made}",
            capacity={"cpu": random.choice((8, 64)) * 1000, "memory": 2**36},
            gpus=random.choice((0, 8)),
            gpu_model="T4",
            labels={ZONE_LABEL: random.choice(("north", "east"))},
        )
        self._engine.apply(NodeAdded(node))
        return f"{node.name} added"

    def _remove_node(self) -> str:
        name = self._some_node().name
        self._engine.apply(NodeRemoved(name))
        return f"{name} removed"

    def _expect(self) -> str:
        specs = [*self._random.sample(self._specs, 5), TaskSpec(gpus=1, gpu_share=WHOLE_GPU // 2)]
        self._engine.apply(WorkloadExpected(head_workload(specs)))
        return "another workload expected"
