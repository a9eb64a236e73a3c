"""What does the state cost to keep: one event, one task, one node?

The limit beside it: the same columns built from scratch, which is what a scheduler without a change log does.
"""

import gc
import resource
from functools import partial

import numpy as np

from benchmarks.cluster import node, spec
from benchmarks.report import percentiles, publish, timed
from pilotage import Node, Task, policies
from pilotage.engine.engine import Engine
from pilotage.kernel.columns import Columns
from pilotage.model.events import BindConfirmed, NodeAdded, NodeUpdated, TaskFinished, TaskPlaced, TaskSubmitted

NODES, TASKS, EVENTS = 5_000, 150_000, 2_000


def run() -> None:
    """Measure and publish."""
    base = resident_bytes()
    engine = Engine(policies.named("kubernetes"))
    for i in range(NODES):
        engine.apply(NodeAdded(node(i)))
    with_nodes = resident_bytes()
    specs = [spec(i) for i in range(100)]
    rng = np.random.default_rng(0)
    for i in range(TASKS):
        engine.apply(TaskPlaced(Task(id=f"task-{i:06}", spec=specs[i % 100]), f"node-{int(rng.integers(NODES)):06}"))
    with_tasks = resident_bytes()

    def changed(i: int) -> Node:
        old = node(i)
        return Node(name=old.name, capacity=old.capacity, labels=old.labels, taints=old.taints, cordoned=i % 2 == 0)

    updates = [NodeUpdated(changed(i)) for i in range(EVENTS)]
    finishes = [TaskFinished(f"task-{i:06}") for i in range(EVENTS)]
    submitted, confirmed = [], []
    for i in range(EVENTS):
        submitted.append(timed(partial(engine.apply, TaskSubmitted(Task(id=f"new-{i}", spec=specs[i % 100])))))
        engine.decide()
        confirmed.append(timed(partial(engine.apply, BindConfirmed(f"new-{i}"))))
    events = {
        "node updated": [timed(partial(engine.apply, event)) for event in updates],
        "task submitted": submitted,
        "bind confirmed": confirmed,
        "task finished": [timed(partial(engine.apply, event)) for event in finishes],
    }
    rebuilt = percentiles([timed(lambda: rebuild(engine)) for _ in range(3)])[0]
    rows = []
    for name, seconds in events.items():
        p50, p99 = percentiles(seconds)
        rows.append({"event": name, "p50 us": p50, "p99 us": p99, "rebuild / p50": round(rebuilt / p50)})
    worst = max(percentiles(seconds)[0] for seconds in events.values())
    publish(
        "events",
        f"State after one event, {NODES:,} nodes and {TASKS:,} tasks",
        rows,
        [
            f"slowest event p50: {worst} us (bar 50); columns from scratch: {rebuilt / 1000:,.0f} ms",
            f"memory: {(with_nodes - base) / NODES:,.0f} bytes a node (bar 4,096), "
            f"{(with_tasks - with_nodes) / TASKS:,.0f} bytes a task (bar 1,024), caches apart",
        ],
    )


def rebuild(engine: Engine) -> None:
    """Build the columns anew from nodes and placements."""
    columns = Columns()
    for row, known in enumerate(engine.state.nodes.values()):
        columns.write_node(columns.add_row(), known, row)
    for placement in engine.state.placements.values():
        task = placement.task
        columns.add_task(placement.row, task.spec, engine.state.demand_of(task.spec), placement.gpus, 1)


def resident_bytes() -> int:
    """Return the memory of this process that is in use now."""
    gc.collect()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()
