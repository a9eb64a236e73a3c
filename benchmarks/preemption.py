"""What does it cost to find out who must go, when a task fits nowhere? In CPU time; it is the work of one thread.

The peer beside it: the same search in plain Python, node by node and task by task, on a part of the nodes and scaled
up to all of them (it would take minutes otherwise).
"""

from time import process_time

import numpy as np

from benchmarks.report import Row, exponent, percentiles, publish
from pilotage import Node, Task, TaskSpec, policies
from pilotage.engine.engine import Engine
from pilotage.engine.placement import Placement
from pilotage.model.events import NodeAdded, TaskPlaced

SIZES = (1_250, 5_000, 20_000)
VICTIMS = 20
"""Tasks on each node, all of them less important than the one that needs room."""
ROUNDS, PLAIN_NODES = 15, 50


def run() -> None:
    """Measure and publish."""
    rows = [measure(nodes, gpus) for gpus in (False, True) for nodes in SIZES]
    five = [row for row in rows if row["nodes"] == 5_000]
    plain = [row for row in rows if row["tasks hold"] == "cpu, memory"]
    publish(
        "preemption",
        f"Search for victims over all nodes, {VICTIMS} tasks on each, in milliseconds of CPU",
        rows,
        [
            f"5,000 nodes: {five[0]['search p50 ms']} ms, where tasks hold GPUs {five[1]['search p50 ms']} ms (bar 30)",
            f"growth exponent: {exponent(SIZES, [row['search p50 ms'] for row in plain])}",
            f"plain Python over plain search at 5,000 nodes: {five[0]['plain / search']}x",
        ],
    )


def measure(nodes: int, gpus: bool) -> Row:
    """Measure one size; the two searches take turns."""
    engine = crowded(nodes, gpus)
    demand = {"cpu": 9_000, "memory": 2**33}
    seconds, plain = [], []
    for i in range(ROUNDS):
        task = Task(id=f"important-{i}", spec=TaskSpec(demand=demand, gpus=2 if gpus else 0), priority=100 + i)
        start = process_time()
        search(engine, task)
        middle = process_time()
        seconds.append(middle - start)
        plain_search(engine, task, PLAIN_NODES)
        plain.append((process_time() - middle) * nodes / PLAIN_NODES)
    p50, p99 = percentiles(seconds)
    return {
        "tasks hold": "cpu, memory, GPUs" if gpus else "cpu, memory",
        "nodes": nodes,
        "tasks": nodes * VICTIMS,
        "search p50 ms": round(p50 / 1000, 1),
        "search p99 ms": round(p99 / 1000, 1),
        "plain / search": round(percentiles(plain)[0] / p50),
    }


def crowded(nodes: int, gpus: bool) -> Engine:
    """Return an engine whose nodes are full of tasks of ten priorities."""
    engine = Engine(policies.named("kubernetes").preempting())
    rng = np.random.default_rng(0)
    for i in range(nodes):
        capacity = {"cpu": 32_000, "memory": 128 * 2**30, "tasks": 110}
        engine.apply(NodeAdded(Node(name=f"node-{i:06}", capacity=capacity, gpus=8 if gpus else 0)))
    amounts = [{"cpu": 1_200 + 40 * k, "memory": (4 + k) * 2**30} for k in range(10)]
    specs = [TaskSpec(demand=demand, gpus=1, gpu_share=400) if gpus else TaskSpec(demand=demand) for demand in amounts]
    for i in range(nodes * VICTIMS):
        row, k = i % nodes, int(rng.integers(10))
        task = Task(id=f"task-{i}", spec=specs[k], priority=int(rng.integers(10)))
        engine.apply(TaskPlaced(task, f"node-{row:06}", (i // nodes % 8,) if gpus else ()))
    return engine


def search(engine: Engine, task: Task) -> None:
    """Search as the engine does after a rejection."""
    assert engine.preemption is not None
    assert engine.preemption.search(task, 0.0) is not None


def plain_search(engine: Engine, task: Task, nodes: int) -> list[list[Placement]]:
    """Return the victims on each of the first ``nodes`` nodes, added up in Python: amounts and GPU shares only."""
    state, columns = engine.state, engine.state.columns
    found = []
    for row in range(nodes):
        used, capacity = columns.used[:, row].tolist(), columns.capacity[:, row].tolist()
        free = columns.gpu_free[:, row].tolist()
        less = [p for p in (state.placements[t] for t in state.tasks_on[row]) if p.task.priority < task.priority]
        for placement in less:
            _move(columns.resources, used, free, placement, -1)
        victims = []
        for placement in sorted(less, key=lambda p: (-p.task.priority, p.seq)):
            _move(columns.resources, used, free, placement, 1)
            fits = all(
                used[columns.resources[name]] + amount <= capacity[columns.resources[name]]
                for name, amount in task.demand.items()
                if amount and name != "gpu"
            )
            if not fits or sum(left >= task.gpu_share for left in free) < task.gpus:
                _move(columns.resources, used, free, placement, -1)
                victims.append(placement)
        found.append(victims)
    return found


def _move(resources: dict[str, int], used: list[int], free: list[int], placement: Placement, sign: int) -> None:
    for name, amount in placement.task.demand.items():
        used[resources[name]] += sign * amount
    for gpu in placement.gpus:
        free[gpu] -= sign * placement.task.gpu_share
