"""A made-up cluster with a bit of everything, on which a policy is checked and timed; a function of its arguments.

Nodes of many sizes with and without GPUs of several models, labels, zones, taints and cordons; some are half full, some
full, some gone again. Tasks of many kinds, a few of which fit nowhere.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from pilotage.engine.engine import Engine
from pilotage.kernel.policy import Policy
from pilotage.model.amounts import WHOLE_GPU
from pilotage.model.events import Event, NodeAdded, NodeRemoved, TaskPlaced, WorkloadExpected
from pilotage.model.expression import Expression, Operator
from pilotage.model.node import ZONE_LABEL, Node, Taint, TaintEffect
from pilotage.model.task import (
    HostPort,
    Preference,
    Task,
    TaskSpec,
    Term,
    Toleration,
)
from pilotage.model.workload import Workload, head_workload

GIB = 2**30
MODELS = ("A10", "T4", "V100", "G3")
_SHAPES = (
    (16, 64, 0),
    (32, 128, 0),
    (64, 256, 0),
    (32, 128, 1),
    (64, 256, 2),
    (96, 384, 4),
    (96, 512, 8),
    (128, 768, 8),
)
"""Cores, GiB of memory, GPUs."""


@dataclass(frozen=True)
class Sample:
    """Nodes, what runs on them already, and tasks that want a place."""

    nodes: tuple[Node, ...]
    gone: tuple[str, ...]
    placed: tuple[TaskPlaced, ...]
    tasks: tuple[Task, ...]
    workload: Workload

    @property
    def kinds(self) -> tuple[Task, ...]:
        """The first waiting task of every spec."""
        first: dict[TaskSpec, Task] = {}
        for task in self.tasks:
            first.setdefault(task.spec, task)
        return tuple(first.values())

    def events(self, order: int | None = None) -> Iterator[Event]:
        """Yield what makes an empty cluster this one; ``order`` is the seed of another order of the nodes."""
        yield WorkloadExpected(self.workload)
        nodes = list(self.nodes)
        if order is not None:
            Random(order).shuffle(nodes)
        for node in nodes:
            yield NodeAdded(node)
        for name in self.gone:
            yield NodeRemoved(name)
        yield from self.placed

    def engine(self, policy: Policy, seed: int = 0, order: int | None = None) -> Engine:
        """Return an engine that has seen all of it except the waiting tasks."""
        engine = Engine(policy, seed=seed)
        for event in self.events(order):
            engine.apply(event)
        return engine


@lru_cache(maxsize=4)
def sample_cluster(count: int, seed: int = 0, resources: tuple[str, ...] = (), tasks: int = 96) -> Sample:
    """Return a sample of ``count`` nodes; every node also has some of each of ``resources``."""
    random, extra = Random(seed), resources
    nodes = [_node(i, random, extra) for i in range(count)]
    gone = [_node(count + i, random, extra) for i in range(max(2, count // 50))]
    specs = _specs(extra)
    waiting = tuple(_task(f"task-{i}", specs[i % len(specs)], i, random) for i in range(tasks))
    placed = tuple(_placed(nodes, specs, random))
    mixed = nodes + gone
    random.shuffle(mixed)
    every = [task.spec for task in waiting] + [event.task.spec for event in placed]
    return Sample(tuple(mixed), tuple(node.name for node in gone), placed, waiting, head_workload(every))


def _node(i: int, random: Random, extra: tuple[str, ...]) -> Node:
    cores, gib, gpus = random.choice(_SHAPES)
    capacity = {"cpu": cores * 1000, "memory": gib * GIB, **dict.fromkeys(extra, random.choice((0, 8, 64)))}
    if random.random() < 0.5:
        capacity["tasks"] = 110
    if random.random() < 0.3:
        capacity["scratch"] = 1000
    labels = {"kubernetes.io/hostname": f"node-{i}", "generation": str(random.randint(1, 5))}
    if random.random() < 0.9:
        labels[ZONE_LABEL] = random.choice(("north", "south", "west"))
    if random.random() < 0.6:
        labels["disk"] = random.choice(("ssd", "hdd"))
    return Node(
        name=f"node-{i}",
        capacity=capacity,
        gpus=gpus,
        gpu_model=random.choice(MODELS) if gpus else "",
        labels=labels,
        taints=_taints(random),
        cordoned=random.random() < 0.05,
    )


def _taints(random: Random) -> tuple[Taint, ...]:
    taints = []
    if random.random() < 0.1:
        taints.append(Taint("dedicated", random.choice(("gpu", "batch"))))
    if random.random() < 0.1:
        taints.append(Taint("flaky", "", TaintEffect.PREFER_NO_SCHEDULE))
    if random.random() < 0.03:
        taints.append(Taint("broken", "", TaintEffect.NO_EXECUTE))
    return tuple(taints)


def _specs(extra: tuple[str, ...]) -> list[TaskSpec]:
    """Specs of many kinds; the first few are plain, and the only ones that run on nodes already."""
    cpu, gib = {"cpu": 1000}, {"cpu": 4000, "memory": 8 * GIB}
    plain = [
        TaskSpec(demand=cpu),
        TaskSpec(demand={"cpu": 8000, "memory": 16 * GIB}),
        TaskSpec(demand={"cpu": 500, "memory": GIB}, ports=(HostPort(8080), HostPort(53, "UDP", "127.0.0.1"))),
        TaskSpec(demand=gib, gpus=1, gpu_share=250),
        TaskSpec(demand=gib, gpus=1, gpu_share=500),
        TaskSpec(demand=gib, gpus=1),
        TaskSpec(demand={"cpu": 12000, "memory": 64 * GIB}, gpus=4),
    ]
    zone = Term((Expression(ZONE_LABEL, Operator.IN, ("north", "west")),))
    new = Term((Expression("generation", Operator.GT, ("3",)), Expression("disk", Operator.EXISTS)))
    named = Term(names=("node-3", "node-7", "node-11"))
    choosy = [
        TaskSpec(demand=cpu, node_selector={"disk": "ssd"}),
        TaskSpec(demand=cpu, node_affinity=(zone, new)),
        TaskSpec(demand=cpu, node_affinity=(named,)),
        TaskSpec(demand=cpu, preferences=(Preference(80, zone), Preference(20, new), Preference(10, named))),
        TaskSpec(demand=gib, tolerations=(Toleration(key="dedicated", exists=True),)),
        TaskSpec(demand=gib, tolerations=(Toleration(exists=True),), gpus=2),
        TaskSpec(demand=gib, gpus=1, gpu_share=300, gpu_models=MODELS[:2]),
        TaskSpec(demand=gib, gpus=8),
        TaskSpec(demand=gib, gpus=1, gpu_models=("G3",), node_selector={ZONE_LABEL: "south"}),
        TaskSpec(demand={**cpu, "scratch": 100}),
        TaskSpec(demand=cpu, node_name="node-3"),
        TaskSpec(demand=cpu, ports=(HostPort(8080),)),
        TaskSpec(),
        TaskSpec(demand={**cpu, **dict.fromkeys(extra, 2)}, gpus=1, gpu_share=100),
    ]
    hopeless = [TaskSpec(demand={"cpu": 10_000_000}), TaskSpec(demand=cpu, node_selector={"disk": "tape"})]
    return plain + choosy + hopeless


def _task(name: str, spec: TaskSpec, i: int, random: Random) -> Task:
    labels = {"app": random.choice(("web", "batch", "train")), "team": f"team-{i % 5}"}
    return Task(id=name, spec=spec, priority=random.choice((0, 0, 10)), arrival_s=float(i), labels=labels)


def _placed(nodes: list[Node], specs: list[TaskSpec], random: Random) -> Iterator[TaskPlaced]:
    """Fill a third of the nodes a little and a third to the brim, within what they hold."""
    for node in nodes:
        attempts = random.choice((0, 3, 30))
        left = dict(node.capacity)
        gpus = [WHOLE_GPU] * node.gpus
        ports = False
        for k in range(attempts):
            spec = random.choice(specs[:7])
            fitting = [gpu for gpu, share in enumerate(gpus) if share >= spec.gpu_share][: spec.gpus]
            amounts = {name: amount for name, amount in spec.demand.items() if name != "gpu"}
            if len(fitting) < spec.gpus or (ports and spec.ports):
                continue
            if any(left.get(name, 0) < amount for name, amount in amounts.items()):
                continue
            for name, amount in amounts.items():
                left[name] -= amount
            for gpu in fitting:
                gpus[gpu] -= spec.gpu_share
            ports = ports or bool(spec.ports)
            task = _task(f"on-{node.name}-{k}", spec, k, random)
            yield TaskPlaced(task, node.name, tuple(fitting))
