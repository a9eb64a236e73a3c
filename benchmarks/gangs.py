"""What does it cost to place, or to refuse, a gang of 512 on 1,000 nodes?

Refused: all but the last member find a node, so everything is placed and undone. The peer is the same tasks decided one
by one.
"""

from functools import partial

from benchmarks.cluster import GIB
from benchmarks.report import Row, percentiles, publish, timed
from pilotage import Node, Task, TaskSpec, policies
from pilotage.engine.engine import Engine
from pilotage.model.events import GangDeclared, NodeAdded, TaskFinished, TaskSubmitted
from pilotage.model.gang import Gang

MEMBERS, ROUNDS = 512, 20
SIZES = (250, 1_000, 4_000)


def run() -> None:
    """Measure and publish."""
    rows = [measure(nodes) for nodes in SIZES]
    one = next(row for row in rows if row["nodes"] == 1_000)
    publish(
        "gangs",
        f"A gang of {MEMBERS} members, milliseconds from pop to effects (p50)",
        rows,
        [
            f"at 1,000 nodes: placed {one['placed ms']} ms, refused {one['refused ms']} ms (bar 50)",
            f"placed as a gang x{one['placed ms'] / one['one by one ms']:.2f} of the same tasks one by one",
        ],
    )


def measure(nodes: int) -> Row:
    """Measure one size."""
    engine = Engine(policies.named("kubernetes"))
    for i in range(nodes):
        engine.apply(NodeAdded(Node(name=f"n{i:05}", capacity={"cpu": 64_000, "memory": 256 * GIB})))
    spec, huge = TaskSpec(demand={"cpu": 8_000, "memory": GIB}), TaskSpec(demand={"cpu": 100_000})
    taken: dict[str, list[float]] = {"placed": [], "refused": [], "one by one": []}
    now = 0.0
    for r in range(ROUNDS):
        for name, times in taken.items():
            gang = "" if name == "one by one" else f"{name}-{r}"
            if gang:
                engine.apply(GangDeclared(Gang(name=gang, min_members=MEMBERS)), now)
            for i in range(MEMBERS):
                last = name == "refused" and i == MEMBERS - 1
                task = Task(id=f"{name}-{r}-{i}", spec=huge if last else spec, gang=gang, priority=-i)
                engine.apply(TaskSubmitted(task), now)
            times.append(timed(partial(engine.decide, now)))
            assert (len(engine.state.placements) == 0) == (name == "refused")
            for i in range(MEMBERS):
                engine.apply(TaskFinished(f"{name}-{r}-{i}"), now)
            now += 100.0
    return {"nodes": nodes} | {f"{name} ms": round(percentiles(times)[0] / 1000, 2) for name, times in taken.items()}
