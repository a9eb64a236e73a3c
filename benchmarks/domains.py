"""What does a decision cost that looks at tasks on other nodes, beside one that does not?

Nodes with hosts and zones, ten tasks a node already there; every fragment is known. One task a decision is placed, so
each decision finds one row changed. The peer is a task without such wishes in the same cluster; beside it the same task
under a policy that has no plugin that looks at other nodes.
"""

import numpy as np
from msgspec.structs import replace

from benchmarks.cluster import GIB, node, spec
from benchmarks.report import Row, percentiles, publish, timed
from pilotage import Policy, Task, TaskSpec, filters, policies, scorers
from pilotage.engine.engine import Engine
from pilotage.model.company import Company, PreferredCompany, Selector, Spread
from pilotage.model.events import NodeAdded, TaskFinished, TaskPlaced, TaskSubmitted
from pilotage.model.expression import Expression, Operator
from pilotage.model.node import ZONE_LABEL

SIZES = (1_000, 5_000, 20_000)
ROUNDS, EACH = 15, 40
HOST = "kubernetes.io/hostname"
CAPACITY = {"cpu": 64_000, "memory": 256 * GIB, "tasks": 250}


def run() -> None:
    """Measure and publish."""
    rows = [measure(nodes) for nodes in SIZES]
    five = next(row for row in rows if row["nodes"] == 5_000)
    publish(
        "domains",
        "Cost of one decision in microseconds by what the task wants of other tasks (p50, fragments known)",
        rows,
        [
            f"at 5,000 nodes: {name} x{five[name] / five['plain']:.2f} of plain (bar 3), "
            f"x{five[name] / five['never looking']:.2f} of a policy that never looks"
            for name in list(five)[3:]
        ],
    )


def measure(nodes: int) -> Row:
    """Measure one size, the kinds of tasks in turn."""
    plain = policies.named("kubernetes")
    policy = Policy(
        filters=[*plain.filters, *filters.DOMAIN],
        scorers=[*plain.scorers, (scorers.even_spread(), 2), (scorers.welcome_company(), 2)],
        tie="heap",
    )
    looking, peer = (_cluster(each, nodes) for each in (policy, plain))
    wishes = _wishes()
    taken: dict[str, list[float]] = {name: [] for name in wishes}
    for r in range(ROUNDS):
        for name, wish in wishes.items():
            engine = peer if name == "never looking" else looking
            for i in range(EACH):
                task = Task(id=f"{name}-{r}-{i}", spec=wish, labels={"app": f"mine-{name}"})
                engine.apply(TaskSubmitted(task))
                taken[name].append(timed(engine.decide))
            for i in range(EACH):
                engine.apply(TaskFinished(f"{name}-{r}-{i}"))
    return {"nodes": nodes} | {name: percentiles(times)[0] for name, times in taken.items()}


def _cluster(policy: Policy, nodes: int) -> Engine:
    """Return an engine whose nodes carry zone and host, and ten tasks each, of 500 applications."""
    engine = Engine(policy)
    for i in range(nodes):
        one = node(i)
        engine.apply(NodeAdded(replace(one, labels={**one.labels, HOST: one.name}, capacity={**CAPACITY})))
    rng = np.random.default_rng(0)
    for i in range(10 * nodes):
        task = Task(id=f"old-{i}", spec=spec(1_000_000 + i % 100), labels={"app": f"app-{i % 500}"})
        engine.apply(TaskPlaced(task, f"node-{int(rng.integers(nodes)):06}"))
    return engine


def _wishes() -> dict[str, TaskSpec]:
    """The same demand with one wish each."""

    def select(name: str) -> Selector:
        return Selector((Expression("app", Operator.IN, (f"mine-{name}",)),))

    def ask(name: str, **wish: object) -> TaskSpec:
        base = spec(7)
        return TaskSpec(demand={"cpu": 57, "memory": base.demand["memory"]}, tolerations=base.tolerations, **wish)  # type: ignore[arg-type]

    return {
        "never looking": ask("plain"),
        "plain": ask("plain"),
        "hard spread, zones": ask("z", spread=(Spread(key=ZONE_LABEL, selector=select("hard spread, zones")),)),
        "hard spread, hosts": ask("h", spread=(Spread(key=HOST, selector=select("hard spread, hosts")),)),
        "soft spread, zones": ask(
            "s", spread=(Spread(key=ZONE_LABEL, selector=select("soft spread, zones"), hard=False),)
        ),
        "anti-affinity, hosts": ask("a", no_company=(Company(HOST, select("anti-affinity, hosts")),)),
        "preferred company, zones": ask(
            "p", preferred_company=(PreferredCompany(10, Company(ZONE_LABEL, select("preferred company, zones"))),)
        ),
    }
