"""What does a decision on a pod cost, beside kube-scheduler's own framework on the same cases, in one run?

Both sides get the same nodes and the same pods in the same order, default profile, and must choose the same node for
every pod. Ours is timed from pop to effect, its record included; theirs from snapshot to choice and assumption, without
queue and API server, by the oracle of tests/controlplane that links release 1.35 (build it with `make controlplane`).
"""

from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks.report import Row, percentiles, publish, timed
from pilotage.adapters.kubernetes.objects import Node, Pod
from pilotage.adapters.kubernetes.profile import Profile, policy_of
from pilotage.adapters.kubernetes.translate import node_of, task_of
from pilotage.engine.engine import Engine
from pilotage.model.effects import Bind
from pilotage.model.events import NodeAdded, TaskSubmitted
from tests.controlplane.oracle import Oracle
from tests.controlplane.programs import find

Object = dict[str, Any]

SIZES = (1_000, 5_000)
PODS, WARM_UP, ROUNDS = 600, 100, 3
API = "kubescheduler.config.k8s.io/v1"


def run() -> None:
    """Measure and publish."""
    program = find("oracle")
    if program is None:
        raise SystemExit("error: the oracle is not built: make controlplane (needs Go)")
    oracle = Oracle(program)
    try:
        rows = [
            measure(oracle, nodes, kind, percentage)
            for nodes in SIZES
            for kind in KINDS
            for percentage in ((0, 100) if kind == "equal pods" else (0,))
        ]
    finally:
        oracle.close()
    slowest = min(row["ratio"] for row in rows)
    fastest = max(row["ratio"] for row in rows)
    publish(
        "kubernetes",
        "Cost of one decision on a pod in microseconds, default profile of kube-scheduler 1.35",
        rows,
        [
            "sampling 0: as many nodes as that release looks at by default; 100: all of them",
            f"every pod went to the same node on both sides; ours is {slowest} to {fastest} times as fast as the Go "
            "framework with 16 workers on this machine's cores",
        ],
    )


def measure(oracle: Oracle, nodes: int, kind: str, percentage: int) -> Row:
    """Measure one case in rounds that take turns: the clock of a shared machine wanders."""
    made, pod = [node(i) for i in range(nodes)], KINDS[kind]
    labels = {"app": "web"}
    pods = [{**pod(i), "metadata": {"name": f"p{i}", "namespace": "default", "labels": labels}} for i in range(PODS)]
    steps = [{"schedule": each} for each in pods]
    config = {"apiVersion": API, "kind": "KubeSchedulerConfiguration", "percentageOfNodesToScore": percentage}
    ours: list[float] = []
    theirs: dict[int, list[float]] = {1: [], 16: []}
    for _ in range(ROUNDS):
        seconds, chosen = decide(made, pods, percentage)
        ours += seconds[WARM_UP:]
        for workers, found in theirs.items():
            done = oracle.run(made, steps, config=config, parallelism=workers)["steps"]
            found += [each["nanos"] / 1e9 for each in done[WARM_UP:]]
            if workers == 1 and [each.get("node", "") for each in done] != chosen:
                raise AssertionError(f"{kind} at {nodes} nodes: the two sides chose differently")
    own, go = percentiles(ours), percentiles(theirs[16])
    return {
        "nodes": nodes,
        "pods": kind,
        "sampling": percentage,
        "ours p50": own[0],
        "ours p99": own[1],
        "Go p50": go[0],
        "Go p99": go[1],
        "Go, 1 worker p50": percentiles(theirs[1])[0],
        "ratio": round(go[0] / own[0], 1),
    }


def decide(nodes: list[Object], pods: list[Object], percentage: int) -> tuple[list[float], list[str]]:
    """Return the seconds of each of our decisions, and the nodes chosen."""
    engine = Engine(policy_of(Profile(percentage=percentage)))
    for each in nodes:
        engine.apply(NodeAdded(node_of(msgspec.convert(each, Node))))
    seconds, chosen = [], []
    for each in pods:
        engine.apply(TaskSubmitted(task_of(msgspec.convert(each, Pod))))
        effects: list[Any] = []
        seconds.append(timed(lambda into=effects: into.extend(engine.decide())))  # type: ignore[misc]
        chosen += [effect.node if isinstance(effect, Bind) else "" for effect in effects]
    return seconds, chosen


def node(i: int) -> Object:
    """A node as scheduler_perf makes them, in one of three zones; one in ten is tainted."""
    labels = {
        "kubernetes.io/hostname": f"n{i}",
        "topology.kubernetes.io/zone": "abc"[i % 3],
        "disk": "ssd" if i % 2 else "hdd",
    }
    taints = [{"key": "dedicated", "effect": "NoSchedule"}] if i % 10 == 9 else []
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": f"n{i}", "labels": labels},
        "spec": {"taints": taints},
        "status": {"allocatable": {"cpu": "4", "memory": "32Gi", "pods": "110"}},
    }


def equal_pod(i: int) -> Object:
    """One of many equal pods: 100m CPU, 500Mi."""
    return with_requests("100m", "500Mi")


def mixed_pod(i: int) -> Object:
    """One of twenty kinds: amounts, selectors, tolerations, preferences."""
    k = i % 20
    pod = with_requests(f"{100 + 50 * (k % 7)}m", f"{128 * (1 + k % 5)}Mi")
    if k % 4 == 1:
        pod["spec"]["nodeSelector"] = {"disk": "ssd"}
    if k % 5 == 2:
        pod["spec"]["tolerations"] = [{"key": "dedicated", "operator": "Exists"}]
    if k % 3 == 1:
        term = {
            "matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["abc"[k % 3]]}]
        }
        wanted = [{"weight": 10, "preference": term}]
        pod["spec"]["affinity"] = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": wanted}}
    return pod


def new_pod(i: int) -> Object:
    """A pod like no other: amounts that were never asked for before."""
    return with_requests(f"{100 + i}m", f"{500 + i}Mi")


ALIKE = {"labelSelector": {"matchLabels": {"app": "web"}}}


def spread_pod(i: int) -> Object:
    """One of many equal pods, spread evenly over the zones."""
    pod = equal_pod(i)
    even = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
    pod["spec"]["topologySpreadConstraints"] = [{**even, **ALIKE}]
    return pod


def lone_pod(i: int) -> Object:
    """One of many equal pods, no two of them on one host."""
    pod = equal_pod(i)
    term = {"topologyKey": "kubernetes.io/hostname", **ALIKE}
    pod["spec"]["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    return pod


def sociable_pod(i: int) -> Object:
    """One of many equal pods that like to be in one zone."""
    pod = equal_pod(i)
    term = {"weight": 10, "podAffinityTerm": {"topologyKey": "topology.kubernetes.io/zone", **ALIKE}}
    pod["spec"]["affinity"] = {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}
    return pod


def with_requests(cpu: str, memory: str) -> Object:
    """A pod of one container."""
    container = {"name": "c", "image": "app", "resources": {"requests": {"cpu": cpu, "memory": memory}}}
    return {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [container]}}


KINDS: dict[str, Callable[[int], Object]] = {
    "equal pods": equal_pod,
    "20 kinds in turn": mixed_pod,
    "each pod new": new_pod,
    "spread over zones": spread_pod,
    "apart by host": lone_pod,
    "fond of a zone": sociable_pod,
}
