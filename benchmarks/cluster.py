"""Synthetic clusters and tasks for the benchmarks, the same for the same arguments."""

import numpy as np

from pilotage import Node, Policy, Taint, Task, TaskSpec
from pilotage.engine.engine import CACHE_BYTES, Engine
from pilotage.model.events import NodeAdded, TaskPlaced
from pilotage.model.expression import Expression, Operator
from pilotage.model.node import ZONE_LABEL, TaintEffect
from pilotage.model.task import Preference, Term, Toleration

GIB = 2**30


def node(i: int) -> Node:
    """Return node ``i``: three sizes, five zones, every 20th with a taint, every 50th with a discouraging one."""
    size = (1, 2, 4)[i % 3]
    taints = [Taint("dedicated", "batch")] if i % 20 == 7 else []
    if i % 50 == 3:
        taints.append(Taint("slow", "", TaintEffect.PREFER_NO_SCHEDULE))
    return Node(
        name=f"node-{i:06}",
        capacity={"cpu": 32_000 * size, "memory": 128 * GIB * size, "tasks": 250},
        labels={ZONE_LABEL: f"zone-{i % 5}", "disk": "ssd" if i % 4 else "hdd"},
        taints=tuple(taints),
    )


def spec(kind: int) -> TaskSpec:
    """Return spec ``kind``: no two share the fragment of any default plugin that has something to say about them."""
    prefer = Term((Expression("disk", Operator.IN, ("ssd", f"disk-{kind}")),))
    return TaskSpec(
        demand={"cpu": 50 + kind % 50, "memory": 64 * 2**20 + kind * 4096},
        preferences=(Preference(10, prefer),),
        tolerations=(Toleration(key="dedicated", value=f"team-{kind}"), Toleration(key=f"team-{kind}", exists=True)),
    )


def cluster(
    policy: Policy, nodes: int, tasks_per_node: int = 0, seed: int = 0, cache_bytes: int = CACHE_BYTES
) -> Engine:
    """Return an engine with ``nodes`` nodes and as many tasks per node placed from outside, shuffled by ``seed``."""
    engine = Engine(policy, seed=seed, cache_bytes=cache_bytes)
    for i in range(nodes):
        engine.apply(NodeAdded(node(i)))
    rng = np.random.default_rng(seed)
    specs = [spec(1_000_000 + i) for i in range(100)]
    for i in range(nodes * tasks_per_node):
        task = Task(id=f"old-{i}", spec=specs[int(rng.integers(len(specs)))])
        engine.apply(TaskPlaced(task, f"node-{int(rng.integers(nodes)):06}"))
    return engine
