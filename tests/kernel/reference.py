"""A naive kernel: plain Python, written from the published definitions, one node and one task at a time.

It shares the model's structs with the real one, and the table of worths, which has oracles of its own; else nothing:
no numpy, no codes, no caches, no columns. Slow and obvious on purpose. `decide` answers for one task: which nodes are
feasible, their totals, and what is taken.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise

from pilotage.kernel.worth import worth_of
from pilotage.model.expression import Expression
from pilotage.model.node import Node, Taint
from pilotage.model.task import HostPort, Task, TaskSpec, Term, Toleration
from pilotage.model.workload import Workload


@dataclass
class Place:
    """A node, and what runs on it: task id -> (spec, GPUs)."""

    node: Node
    tasks: dict[str, tuple[TaskSpec, tuple[int, ...]]] = field(default_factory=dict)

    def capacity(self, resource: str) -> int:
        return self.node.capacity.get(resource, 0)

    def used(self, resource: str) -> int:
        return sum(spec.demand.get(resource, 0) for spec, _ in self.tasks.values())

    def free(self, resource: str) -> int:
        return self.capacity(resource) - self.used(resource)

    def remainders(self) -> list[int]:
        """Thousandths left on each GPU; below zero where a GPU went away under its tasks."""
        taken: dict[int, int] = {}
        for spec, gpus in self.tasks.values():
            for gpu in gpus:
                taken[gpu] = taken.get(gpu, 0) + spec.gpu_share
        lines = max([self.node.gpus, *(gpu + 1 for gpu in taken)])
        return [(1000 if gpu < self.node.gpus else 0) - taken.get(gpu, 0) for gpu in range(lines)]


@dataclass
class Cluster:
    """Places by node name, in the fixed node order (a node that joins goes last)."""

    places: dict[str, Place] = field(default_factory=dict)
    workload: Workload | None = None
    seed: int = 0


# ---------------------------------------------------------------- filters: None, or the reasons of the refusal


def tolerated(tolerations: tuple[Toleration, ...], taint: Taint) -> bool:
    for t in tolerations:
        effect = t.effect is None or t.effect == taint.effect
        key = t.key == "" or t.key == taint.key
        value = True if t.exists else t.value == taint.value
        if effect and key and value:
            return True
    return False


def cordon(task: Task, place: Place) -> list[str]:
    tolerates = tolerated(task.spec.tolerations, Taint("node.kubernetes.io/unschedulable"))
    return ["node(s) were unschedulable"] if place.node.cordoned and not tolerates else []


def node_name(task: Task, place: Place) -> list[str]:
    asked = task.spec.node_name
    return ["node(s) didn't match the requested node name"] if asked and asked != place.node.name else []


def taints(task: Task, place: Place) -> list[str]:
    hard = [t for t in place.node.taints if t.effect in ("NoSchedule", "NoExecute")]
    bad = [t for t in hard if not tolerated(task.spec.tolerations, t)]
    return ["node(s) had untolerated taint(s)"] if bad else []


def parsed(text: str) -> int | None:
    """As Go's ParseInt(text, 10, 64)."""
    if not re.fullmatch(r"[+-]?[0-9]+", text, re.ASCII):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


def holds(expression: Expression, labels: dict[str, str]) -> bool:
    here = expression.key in labels
    value = labels.get(expression.key, "")
    if expression.operator == "Exists":
        return here
    if expression.operator == "DoesNotExist":
        return not here
    if expression.operator == "In":
        return here and value in expression.values
    if expression.operator == "NotIn":
        return not here or value not in expression.values
    left, right = (parsed(value) if here else None), parsed(expression.values[0])
    if left is None or right is None:
        return False
    return left > right if expression.operator == "Gt" else left < right


def term_matches(term: Term, node: Node) -> bool:
    if not term.expressions and term.names is None and not term.other_names:
        return False
    named = (term.names is None or node.name in term.names) and node.name not in term.other_names
    return named and all(holds(e, dict(node.labels)) for e in term.expressions)


def node_affinity(task: Task, place: Place) -> list[str]:
    spec, labels = task.spec, place.node.labels
    selected = all(labels.get(key) == value for key, value in spec.node_selector.items())
    required = spec.node_affinity is None or any(term_matches(t, place.node) for t in spec.node_affinity)
    return [] if selected and required else ["node(s) didn't match the task's node affinity/selector"]


def conflict(a: HostPort, b: HostPort) -> bool:
    same = (a.protocol, a.port) == (b.protocol, b.port)
    return same and (a.address == b.address or "0.0.0.0" in (a.address, b.address))


def ports(task: Task, place: Place) -> list[str]:
    taken = [port for spec, _ in place.tasks.values() for port in spec.ports]
    clash = any(conflict(wanted, port) for wanted in task.spec.ports for port in taken)
    return ["node(s) didn't have free ports for the requested task ports"] if clash else []


def capacity(task: Task, place: Place) -> list[str]:
    reasons = []
    for resource, amount in task.spec.demand.items():
        limited = resource != "gpu" and resource not in task.spec.uncapped
        if limited and amount > 0 and amount > place.free(resource):
            reasons.append("Too many tasks" if resource == "tasks" else f"Insufficient {resource}")
    return reasons


def gpu_fit(task: Task, place: Place) -> list[str]:
    spec = task.spec
    if spec.gpus == 0:
        return []
    if spec.gpu_models and place.node.gpu_model not in spec.gpu_models:
        return ["GPU model not allowed"]
    fitting = [r for r in place.remainders() if r >= spec.gpu_share]
    return ["Insufficient gpu"] if len(fitting) < spec.gpus else []


def pool(task: Task, place: Place) -> list[str]:
    asked = task.spec.node_selector.get("pool")
    return ["is in another pool"] if asked is not None and place.node.labels.get("pool") != asked else []


def dedicated(task: Task, place: Place) -> list[str]:
    asked = task.spec.node_selector.get("dedicated")
    there = place.node.labels.get("dedicated") == "true"
    wrong = asked is not None and (asked == "true") != there
    return ["is dedicated and the VM is not, or the other way round"] if wrong else []


def traits(task: Task, place: Place) -> list[str]:
    for expression in (task.spec.node_affinity or [Term(())])[0].expressions:
        if expression.operator in ("Exists", "DoesNotExist") and not holds(expression, dict(place.node.labels)):
            return ["lacks a required trait, or has a forbidden one"]
    return []


FilterRule = Callable[[Task, Place], list[str]]

FILTERS: dict[str, FilterRule] = {
    "cordon": cordon,
    "node-name": node_name,
    "taints": taints,
    "node-affinity": node_affinity,
    "ports": ports,
    "capacity": capacity,
    "gpu-fit": gpu_fit,
}


VM_FILTERS: dict[str, FilterRule] = {
    "cordon": cordon,
    "pool": pool,
    "dedicated": dedicated,
    "traits": traits,
    "capacity": capacity,
    "gpu-fit": gpu_fit,
}


# ---------------------------------------------------------------- scorers: None where the task is not scored


def fewest_taints(task: Task, place: Place, cluster: Cluster) -> int:
    soft = [t for t in place.node.taints if t.effect == "PreferNoSchedule"]
    usable = tuple(t for t in task.spec.tolerations if t.effect in (None, "PreferNoSchedule"))
    return len([t for t in soft if not tolerated(usable, t)])


def preferred_affinity(task: Task, place: Place, cluster: Cluster) -> int | None:
    terms = [p for p in task.spec.preferences if p.weight > 0]
    terms = [p for p in terms if p.term != Term()]
    return sum(p.weight for p in terms if term_matches(p.term, place.node)) if terms else None


ALWAYS = {"cpu", "memory", "ephemeral-storage", "cpu.nominal", "memory.nominal"}
"""Resources that weigh for tasks which ask for nothing of them, too."""


def amount_scored(task: Task, resource: str) -> int:
    return task.spec.scored.get(resource, task.spec.demand.get(resource, 0))


def image_locality(task: Task, place: Place, cluster: Cluster) -> int | None:
    """Sizes as the first node in order that has the image tells them: no node of the reference ever changes images."""
    if not task.spec.images:
        return None
    total, places = 0, cluster.places.values()
    for image in task.spec.images:
        having = [p.node.images[image] for p in places if image in p.node.images]
        if image in place.node.images:
            total += math.floor(having[0] * (len(having) / len(places)))
    most = 1000 * 2**20 * len(task.spec.images)
    return 100 * (max(23 * 2**20, min(total, most)) - 23 * 2**20) // (most - 23 * 2**20)


def allocated(weights: dict[str, int], most: bool = False) -> "ScoreRule":
    def score(task: Task, place: Place, cluster: Cluster) -> int | None:
        counted = [r for r in weights if r in ALWAYS or amount_scored(task, r) > 0]
        if not counted:
            return None
        total = weight = 0
        for resource in counted:
            cap = place.capacity(resource)
            req = place.used(resource) + amount_scored(task, resource)
            if cap == 0:
                continue
            least = 0 if req > cap else (cap - req) * 100 // cap
            part = min(req, cap) * 100 // cap if most else least
            total += part * weights[resource]
            weight += weights[resource]
        return total // weight if weight else 0

    return score


def exponential_fit(spread: bool) -> "ScoreRule":
    def score(task: Task, place: Place, cluster: Cluster) -> int:
        total = 0
        with localcontext() as context:
            context.prec = 40
            for resource in ("cpu", "memory"):
                cap = place.capacity(resource)
                free = min(max(cap - place.used(resource) - task.spec.demand.get(resource, 0), 0), cap)
                thousandths = free * 1000 // cap if cap else 0
                total += int(Decimal(10) ** (Decimal(thousandths) / 1000) * 10**6)
        return (total - 2 * 10**6 if spread else 20 * 10**6 - total) // 18_000

    return score


def dominant_share(task: Task, place: Place, cluster: Cluster) -> int:
    asked = {r: a for r, a in task.spec.demand.items() if a and r not in ("gpu", "tasks")}
    shares = [min(place.used(r) + a, place.capacity(r)) / max(place.capacity(r), 1) for r, a in asked.items()]
    return max([int(share * 10_000) for share in shares], default=0)


def shape(points: list[tuple[int, int]], weights: dict[str, int]) -> "ScoreRule":
    def line(u: int) -> int:
        scaled = [(level, score * 10) for level, score in points]
        if u <= scaled[0][0]:
            return scaled[0][1]
        for (u0, s0), (u1, s1) in pairwise(scaled):
            if u <= u1:
                return s0 + int(Fraction((s1 - s0) * (u - u0), u1 - u0))  # int() truncates toward zero
        return scaled[-1][1]

    def score(task: Task, place: Place, cluster: Cluster) -> int | None:
        counted = [r for r in weights if r in ALWAYS or amount_scored(task, r) > 0]
        if not counted:
            return None
        total = weight = 0
        for resource in counted:
            cap = place.capacity(resource)
            req = place.used(resource) + amount_scored(task, resource)
            if cap == 0:
                continue
            value = line(100 if req > cap else req * 100 // cap)
            if value > 0:
                total += value * weights[resource]
                weight += weights[resource]
        return math.floor(Fraction(total, weight) + Fraction(1, 2)) if weight else 0

    return score


def balanced(resources: list[str]) -> "ScoreRule":
    def score(task: Task, place: Place, cluster: Cluster) -> int | None:
        if not any(task.spec.demand.get(r, 0) for r in resources):
            return None
        present = [r for r in resources if place.capacity(r) and (r in ALWAYS or task.spec.demand.get(r, 0))]
        fractions = [min(1.0, (place.used(r) + task.spec.demand.get(r, 0)) / place.capacity(r)) for r in present]
        if len(fractions) < 2:
            deviation = 0.0
        elif len(fractions) == 2:
            deviation = abs(fractions[0] - fractions[1]) / 2
        else:
            mean = plain_sum(fractions) / len(fractions)
            deviation = math.sqrt(plain_sum([(f - mean) * (f - mean) for f in fractions]) / len(fractions))
        return int((1.0 - deviation) * 100.0)

    return score


def plain_sum(numbers: list[float]) -> float:
    """One float64 addition after the other, as Go does (`sum` compensates since Python 3.12)."""
    total = 0.0
    for number in numbers:
        total = total + number
    return total


def dot_product_of(norms: dict[str, int]) -> "ScoreRule":
    def score(task: Task, place: Place, cluster: Cluster) -> int:
        total = 0.0
        for resource, norm in norms.items():
            total += place.free(resource) * (task.spec.demand.get(resource, 0) / (norm * norm))
        return math.floor(100.0 * (1.0 - total / len(norms)))

    return score


def best_fit_of(norms: dict[str, int]) -> "ScoreRule":
    def score(task: Task, place: Place, cluster: Cluster) -> int:
        left = 0.0
        for resource, norm in norms.items():
            left += (place.free(resource) - task.spec.demand.get(resource, 0)) / (norm * len(norms))
        return math.floor(100.0 * (1.0 - left))

    return score


LARGEST_NODE = {"cpu": 128_000, "gpu": 8_000}
dot_product, best_fit = dot_product_of(LARGEST_NODE), best_fit_of(LARGEST_NODE)


def gpu_packing(task: Task, place: Place, cluster: Cluster) -> int | None:
    spec, left, n = task.spec, place.remainders(), place.node.gpus
    if not spec.gpus:
        return None
    tightest = min((r for r in left if r >= spec.gpu_share), default=1000)
    if spec.gpus == 1 and tightest < 1000:
        return max(50, 100 - tightest // 100)
    if any(r < 1000 for r in left[:n]):
        return max(33, 50 - spec.gpus)
    return max(33 - n, n)


def gpu_class(spec: TaskSpec) -> str:
    return "share" if spec.gpu_share < 1000 else f"{spec.gpus} GPUs"


def gpu_clustering(task: Task, place: Place, cluster: Cluster) -> int | None:
    if not task.spec.gpus:
        return None
    classes = {gpu_class(spec) for spec, _ in place.tasks.values() if spec.gpus}
    if not classes:
        company = 25
    elif gpu_class(task.spec) not in classes:
        company = 0
    else:
        company = 75 if len(classes) == 1 else 50
    return 25 * (8000 - place.free("gpu")) // 8000 + company


def fragmentation(node: Node, cpu_left: int, left: list[int], workload: Workload) -> Fraction:
    """F_n(M) = sum of p_m F_n(m), by the paper's definition."""
    total = Fraction(0)
    for spec, weight in workload.parts:
        enough = [r for r in left if r >= spec.gpu_share]
        runs = (
            spec.gpus > 0
            and cpu_left >= spec.demand.get("cpu", 0)
            and len(enough) >= spec.gpus
            and (not spec.gpu_models or node.gpu_model in spec.gpu_models)
        )
        idle = sum(r for r in left if r < spec.gpu_share) if runs else sum(left)
        total += Fraction(weight, workload.total) * idle
    return total


@lru_cache(maxsize=10_000)
def sigmoid_score(gain: Fraction) -> int:
    """floor(100 / (1 + exp(-gain / 1000))) in decimal arithmetic."""
    with localcontext() as context:
        context.prec = 60
        exponent = -Decimal(gain.numerator) / Decimal(gain.denominator) / 1000
        return int(100 / (1 + exponent.exp()))


def fgd_per_gpu(task: Task, place: Place, cluster: Cluster) -> dict[int, int]:
    """Score of each first GPU that may be taken (-1: the task takes none)."""
    spec, left = task.spec, place.remainders()
    assert cluster.workload is not None
    cpu = place.free("cpu")
    before = fragmentation(place.node, cpu, left, cluster.workload)
    fitting = [gpu for gpu, r in enumerate(left) if r >= spec.gpu_share]
    shared = spec.gpus == 1 and spec.gpu_share < 1000
    choices = [(gpu,) for gpu in fitting] if shared else [tuple(fitting[: spec.gpus])]
    scores = {}
    for chosen in choices:
        after = [r - spec.gpu_share * (gpu in chosen) for gpu, r in enumerate(left)]
        rest = fragmentation(place.node, cpu - spec.demand.get("cpu", 0), after, cluster.workload)
        scores[chosen[0] if chosen else -1] = sigmoid_score(before - rest)
    return scores


def fgd(task: Task, place: Place, cluster: Cluster) -> int:
    return 50 if cluster.workload is None else max(fgd_per_gpu(task, place, cluster).values())


def random_score(task: Task, place: Place, cluster: Cluster) -> int:
    return mixed(name_number(place.node.name) ^ key_number(cluster.seed, task.id)) >> 24


ScoreRule = Callable[[Task, Place, Cluster], float | None]
GroupRule = Callable[[Task, list[Place]], list[float]]
"""A score that looks at all feasible nodes at once."""


# ---------------------------------------------------------------- normalisers: over the feasible nodes' raw scores


def as_they_are(raw: list[float]) -> list[float]:
    return raw


def by_maximum(raw: list[int]) -> list[int]:
    return [100 * s // max(raw) for s in raw] if max(raw) > 0 else raw


def by_maximum_reversed(raw: list[int]) -> list[int]:
    return [100 - s for s in by_maximum(raw)]


def min_max(raw: list[float]) -> list[float]:
    low, high = min(raw), max(raw)
    if low == high:
        return [0 for _ in raw]
    if isinstance(low, int):
        return [(s - low) * 100 // (high - low) for s in raw]
    return [(s - low) * 100.0 / (high - low) for s in raw]


# ---------------------------------------------------------------- ties and devices


def mixed(x: int) -> int:
    """SplitMix64's finaliser."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
    return x ^ (x >> 31)


def name_number(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


def key_number(seed: int, name: str) -> int:
    return mixed((name_number(name) + seed * 0x9E3779B97F4A7C15) % 2**64)


def heap_root(totals: list[float]) -> int:
    """Index at the root after heap initialisation over the list, as Go's container/heap does it."""
    heap = list(range(len(totals)))
    for start in range(len(heap) // 2 - 1, -1, -1):
        k = start
        while 2 * k + 1 < len(heap):
            child = 2 * k + 1
            if child + 1 < len(heap) and totals[heap[child + 1]] > totals[heap[child]]:
                child += 1
            if not totals[heap[child]] > totals[heap[k]]:
                break
            heap[k], heap[child] = heap[child], heap[k]
            k = child
    return heap[0]


def take(tie: str, totals: dict[str, float], task: Task, seed: int) -> str:
    names = list(totals)
    if tie == "heap":
        return names[heap_root(list(totals.values()))]
    best = [name for name in names if totals[name] == max(totals.values())]
    if tie == "first":
        return best[0]
    return max(best, key=lambda name: mixed(name_number(name) ^ key_number(seed, task.id)))


def tightest(task: Task, place: Place, cluster: Cluster) -> tuple[int, ...]:
    fitting = [(r, gpu) for gpu, r in enumerate(place.remainders()) if r >= task.gpu_share]
    return tuple(gpu for _, gpu in sorted(fitting)[: task.gpus])


def random_gpus(task: Task, place: Place, cluster: Cluster) -> tuple[int, ...]:
    key = key_number(cluster.seed, task.id)
    fitting = [gpu for gpu, r in enumerate(place.remainders()) if r >= task.gpu_share]
    return tuple(sorted(sorted(fitting, key=lambda gpu: mixed(gpu ^ key))[: task.gpus]))


def least_fragmenting(task: Task, place: Place, cluster: Cluster) -> tuple[int, ...]:
    if task.gpu_share == 1000 or cluster.workload is None:
        return tuple(gpu for gpu, r in enumerate(place.remainders()) if r >= task.gpu_share)[: task.gpus]
    scores = fgd_per_gpu(task, place, cluster)
    return (min(scores, key=lambda gpu: (-scores[gpu], gpu)),)


def worth_and_stranding(task: Task, place: Place, cluster: Cluster) -> float:
    """Cost in buckets of 50 thousandths, negated. The worth table itself has oracles of its own (test_worth.py)."""
    free, node = [max(r, 0) for r in place.remainders()], place.node
    lost = 1000 * task.gpus
    if task.gpus and task.gpu_share < 1000:
        lost = min(worth_lost(task, cluster).get(r, 1100) for r in [*free, -1])
    limit = min(0.9 * node.capacity.get("cpu", 0) / max(node.gpus, 1), worth_of(cluster.workload).cpu_per_gpu)

    def stranded(cpu: int, gpu: int) -> float:
        if gpu * limit <= 0:
            return 0.0
        lacking = max(1 - 1000 * max(cpu, 0) / (gpu * limit), 0)
        return gpu * (lacking * lacking * lacking)

    cpu, gpu = place.free("cpu"), sum(free)
    after = stranded(cpu - task.demand.get("cpu", 0), max(gpu - task.gpus * task.gpu_share, 0))
    newly = after - stranded(cpu, gpu)
    return -(math.ceil(lost / 50 - 1e-6) + math.ceil(newly / 50 - 1e-6))


def worth_lost(task: Task, cluster: Cluster) -> dict[int, int]:
    """By remainder, what the task's share takes of its worth; only remainders that fit."""
    table = worth_of(cluster.workload).worth.tolist()
    opening = 100 if cluster.workload is not None and cluster.workload.leaves else 0
    return {r: table[r] - table[r - task.gpu_share] + opening * (r == 1000) for r in range(task.gpu_share, 1001)}


def least_worth(task: Task, place: Place, cluster: Cluster) -> tuple[int, ...]:
    if task.gpu_share == 1000:
        return tuple(gpu for gpu, r in enumerate(place.remainders()) if r >= 1000)[: task.gpus]
    lost = worth_lost(task, cluster)
    fitting = [gpu for gpu, r in enumerate(place.remainders()) if r >= task.gpu_share]
    return (min(fitting, key=lambda gpu: (lost[place.remainders()[gpu]], gpu)),)


# ---------------------------------------------------------------- policies and the decision

Normalise = Callable[[list[float]], list[float]]
DeviceChoice = Callable[[Task, Place, Cluster], tuple[int, ...]]


@dataclass
class Rules:
    """What a policy does: filters in order, (scorer, normaliser, weight), tie rule, devices."""

    scorers: list[tuple[ScoreRule, Normalise, int]]
    group_scorers: list[tuple[GroupRule, Normalise, int]] = field(default_factory=list)
    tie: str = "first"
    devices: DeviceChoice = tightest
    filters: dict[str, FilterRule] = field(default_factory=lambda: dict(FILTERS))
    timed: frozenset[str] = frozenset()
    """Filters that may look at the clock."""
    listens: bool = True
    """Whether it takes the mix of tasks that it is told (else it learns one, and here none arrives often enough)."""


POLICIES: dict[str, Rules] = {
    "random": Rules([(random_score, as_they_are, 1)], devices=random_gpus),
    "dotprod": Rules([(dot_product, as_they_are, 1)]),
    "gpu-clustering": Rules([(gpu_clustering, as_they_are, 1)]),
    "gpu-packing": Rules([(gpu_packing, as_they_are, 1)]),
    "bestfit": Rules([(best_fit, min_max, 1)]),
    "fgd": Rules([(fgd, as_they_are, 1)], devices=least_fragmenting),
    "pilotage": Rules([(worth_and_stranding, as_they_are, 1)], devices=least_worth),
    "pilotage-learned": Rules([(worth_and_stranding, as_they_are, 1)], devices=least_worth, listens=False),
    "kubernetes": Rules(
        [
            (fewest_taints, by_maximum_reversed, 3),
            (preferred_affinity, by_maximum, 2),
            (allocated({"cpu": 1, "memory": 1}), as_they_are, 1),
            (balanced(["cpu", "memory"]), as_they_are, 1),
        ],
        tie="heap",
    ),
    **{
        name: Rules([(rule, as_they_are, 1)], tie="first", filters=VM_FILTERS)
        for name, rule in {
            "cpu": allocated({"cpu": 1}),
            "memory": allocated({"memory": 1}),
            "hybrid": allocated({"cpu": 1, "memory": 1}),
            "binpack": exponential_fit(spread=False),
            "spread": exponential_fit(spread=True),
            "best-fit": dominant_share,
        }.items()
    },
}


@dataclass
class Outcome:
    """``totals``: of the feasible nodes, in node order. ``rejections``: (filter, reason) -> nodes."""

    totals: dict[str, float]
    rejections: dict[tuple[str, str], int]
    node: str = ""
    gpus: tuple[int, ...] = ()


def decide(rules: Rules, task: Task, cluster: Cluster) -> Outcome:
    """Decide on one task as if nothing had ever been decided before."""
    feasible, rejections = [], {}
    for place in cluster.places.values():
        for name, rule in rules.filters.items():
            reasons = rule(task, place)
            if reasons:
                for reason in reasons:
                    rejections[name, reason] = rejections.get((name, reason), 0) + 1
                break
        else:
            feasible.append(place)
    if not feasible:
        return Outcome({}, rejections)
    parts = [([score(task, p, cluster) for p in feasible], normalise, w) for score, normalise, w in rules.scorers]
    parts += [(score(task, feasible), normalise, w) for score, normalise, w in rules.group_scorers]
    totals: list[float] = [0] * len(feasible)
    for raw, normalise, weight in parts:
        if None not in raw:
            totals = [total + weight * s for total, s in zip(totals, normalise(raw), strict=True)]
    by_name = {place.node.name: total for place, total in zip(feasible, totals, strict=True)}
    node = take(rules.tie, by_name, task, cluster.seed)
    gpus = rules.devices(task, cluster.places[node], cluster) if task.gpus else ()
    return Outcome(by_name, rejections, node, gpus)
