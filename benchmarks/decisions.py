"""What does one decision cost, by how much is known and by the number of nodes?

From pop to effect, record included, default Kubernetes row plugins, no sampling. The peer is plain numpy: the same
plugins asked about every node at every decision, nothing remembered.
"""

from functools import partial

import numpy as np

from benchmarks.cluster import cluster, spec
from benchmarks.report import Row, exponent, percentiles, publish, timed
from pilotage import Task, policies
from pilotage.engine.engine import Engine
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.ties import heap, places
from pilotage.model.events import TaskSubmitted

SIZES = (1_000, 5_000, 20_000, 50_000)
KNOWN_KINDS = 20
COLD, WARM, PLAIN = 150, 2_000, 40


def run() -> None:
    """Measure and publish."""
    rows: list[Row] = []
    for nodes in SIZES:
        engine = cluster(policies.named("kubernetes"), nodes, tasks_per_node=3)
        cold = [decide_one(engine, Task(id=f"cold-{i}", spec=spec(i))) for i in range(COLD)]
        known = [spec(10_000 + i) for i in range(KNOWN_KINDS)]
        for i, known_spec in enumerate(known):
            decide_one(engine, Task(id=f"first-{i}", spec=known_spec))
        warm = [decide_one(engine, Task(id=f"warm-{i}", spec=known[i % KNOWN_KINDS])) for i in range(WARM)]
        equal = [decide_one(engine, Task(id=f"equal-{i}", spec=known[0])) for i in range(WARM)]
        plain = [timed(partial(plain_numpy, engine, Task(id="plain", spec=known[i % 20]))) for i in range(PLAIN)]
        p50 = {
            "cold": percentiles(cold),
            "warm": percentiles(warm),
            "equal": percentiles(equal),
            "plain": percentiles(plain),
        }
        rows.append({
            "nodes": nodes,
            "nothing known p50 us": p50["cold"][0], "p99": p50["cold"][1],
            "all known p50 us": p50["warm"][0], "p99 ": p50["warm"][1],
            "equal task p50 us": p50["equal"][0],
            "plain numpy p50 us": p50["plain"][0],
            "plain / equal": round(p50["plain"][0] / p50["equal"][0], 1),
        })  # fmt: skip
    by_nodes = {row["nodes"]: row for row in rows}
    names = ("nothing known p50 us", "all known p50 us", "equal task p50 us", "plain numpy p50 us")
    growth = ", ".join(f"{name[:-7]} {exponent(SIZES, [row[name] for row in rows])}" for name in names)
    five, fifty = by_nodes[5_000], by_nodes[50_000]
    publish(
        "decisions",
        "Cost of one decision, pop to effect (default Kubernetes row plugins)",
        rows,
        [
            f"growth exponents: {growth}",
            f"at 5,000 nodes: nothing known {five[names[0]]} us (bar 250), all known {five[names[1]]} us (bar 40)",
            f"50,000 / 5,000 nodes: nothing known x{fifty[names[0]] / five[names[0]]:.1f} (bar 10), "
            f"all known x{fifty[names[1]] / five[names[1]]:.1f} (bar 3)",
            f"a run of equal tasks at 5,000 nodes: {five['plain / equal']}x faster than plain numpy (bar 10)",
        ],
    )


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
    return heap(np.flatnonzero(total == total.max()), places(np.flatnonzero(mask), columns.order))
