"""What does one decision cost, by how much is known and by the number of nodes?

From pop to effect, record included, default Kubernetes row plugins, no sampling. The peer is plain numpy: the same
plugins asked about every node at every decision, nothing remembered.
"""

from functools import partial

import numpy as np

from benchmarks.cluster import cluster, spec
from benchmarks.report import Row, exponent, percentiles, publish, timed
from pilotage import Task, TaskSpec, policies
from pilotage.engine.engine import Engine
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.ties import heap, preorder
from pilotage.model.events import TaskSubmitted

SIZES = (1_000, 5_000, 20_000, 50_000)
KINDS = 20
ROUNDS, COLD, WARM, RUN, PLAIN = 20, 8, 100, 100, 4


def run() -> None:
    """Measure and publish."""
    rows = [measure(nodes) for nodes in SIZES]
    cold, known, mixed, equal, plain = (name for name in rows[0] if name.endswith("us"))
    growth = ", ".join(
        f"{name[:-7]} {exponent(SIZES, [row[name] for row in rows])}" for name in rows[0] if "p50" in name
    )
    five, fifty = (next(row for row in rows if row["nodes"] == nodes) for nodes in (5_000, 50_000))
    publish(
        "decisions",
        "Cost of one decision in microseconds, pop to effect (default Kubernetes row plugins)",
        rows,
        [
            f"growth exponents: {growth}",
            f"at 5,000 nodes: nothing known {five[cold]} us (bar 250), all known {five[known]} us (bar 40)",
            f"50,000 / 5,000 nodes: nothing known x{fifty[cold] / five[cold]:.1f} (bar 10), "
            f"all known x{fifty[known] / five[known]:.1f} (bar 3)",
            f"{KINDS} kinds in turn, so {KINDS} rows changed since one was last seen: {five[mixed]} us at 5,000 nodes",
            f"a run of equal tasks at 5,000 nodes: {five[equal]} us a task, "
            f"{five[plain] / five[equal]:.1f}x faster than plain numpy (bar 10)",
        ],
    )


def measure(nodes: int) -> Row:
    """Measure one size, everything interleaved in rounds: the clock of a shared machine wanders."""
    engine = cluster(policies.named("kubernetes"), nodes, tasks_per_node=3, cache_bytes=64 * 2**20)
    specs = [spec(10_000 + i) for i in range(KINDS)]
    for i, known in enumerate((*specs, *specs)):  # the first task of a kind is a guest
        decide_one(engine, Task(id=f"first-{i}", spec=known))
    fill_cache(engine)
    cold, same, mixed, runs, plain = [], [], [], [], []
    for r in range(ROUNDS):
        cold += [decide_one(engine, Task(id=f"cold-{r}-{i}", spec=spec(r * COLD + i))) for i in range(COLD)]
        mixed += [decide_one(engine, Task(id=f"mixed-{r}-{i}", spec=specs[i % KINDS])) for i in range(WARM)]
        same += [decide_one(engine, one_of_a_set(r * WARM + i, specs[0])) for i in range(WARM)]
        for i in range(RUN):
            engine.apply(TaskSubmitted(Task(id=f"run-{r}-{i}", spec=specs[0])))
        runs.append(timed(engine.decide) / RUN)
        plain += [timed(partial(plain_numpy, engine, Task(id="plain", spec=specs[i]))) for i in range(PLAIN)]
    return {
        "nodes": nodes,
        "nothing known p50 us": percentiles(cold)[0],
        "all known p50 us": percentiles(same)[0],
        f"{KINDS} kinds in turn p50 us": percentiles(mixed)[0],
        "run of equal tasks p50 us": percentiles(runs)[0],
        "plain numpy p50 us": percentiles(plain)[0],
        "nothing known p99": percentiles(cold)[1],
        "all known p99": percentiles(same)[1],
    }


def fill_cache(engine: Engine) -> None:
    """Let kinds come until old ones go: from then on the arrays of new ones are memory that is used again."""
    before = -1
    while len(engine.kinds) > before:
        before = len(engine.kinds)
        for i in range(20):
            decide_one(engine, Task(id=f"fill-{before}-{i}", spec=spec(100_000 + before + i // 2)))


def one_of_a_set(i: int, known: TaskSpec) -> Task:
    """Return a task like a pod of a StatefulSet: a name and a label of its own, the rest as its siblings."""
    return Task(id=f"set-{i}", spec=known, labels={"index": str(i)})


def decide_one(engine: Engine, task: Task) -> float:
    """Submit ``task``, then return the seconds from pop to effect."""
    engine.apply(TaskSubmitted(task))
    return timed(engine.decide)


def plain_numpy(engine: Engine, task: Task) -> int:
    """Decide by asking every plugin about every node, and return the row: the peer that remembers nothing."""
    columns = engine.state.columns
    nodes = Nodes.all(columns)
    mask = columns.alive[: columns.n].copy()
    for plugin in engine.policy.filters:
        fragment = plugin.fragment(task)
        if fragment is not None:
            mask &= plugin.mask(fragment, nodes)
    total = np.zeros(columns.n, np.int64)
    for scorer, weight in engine.policy.scorers:
        fragment = scorer.fragment(task)
        if fragment is None:
            continue
        raw = scorer.score(fragment, nodes)
        if scorer.normaliser is not None:
            feasible = raw[mask]
            raw = scorer.normaliser.apply(raw, feasible.min().item(), feasible.max().item())
        total += weight * raw
    total[~mask] = -1
    return heap(np.flatnonzero(total == total.max()), preorder(np.flatnonzero(mask), columns.order, in_order=True))
