"""What spread and company mean, said plainly: one node and one task at a time, counting everything anew."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pilotage.model.company import Company, Selector, Spread
from pilotage.model.expression import Expression
from pilotage.model.node import Node, TaintEffect
from pilotage.model.task import Task, Toleration

HOSTNAME = "kubernetes.io/hostname"


@dataclass
class Town:
    """Nodes, and the tasks on them."""

    nodes: dict[str, Node] = field(default_factory=dict)
    tasks: dict[str, tuple[Task, str]] = field(default_factory=dict)

    def on(self, node: Node) -> list[Task]:
        return [task for task, name in self.tasks.values() if name == node.name]

    # -- required ------------------------------------------------------------------------------------------------

    def admits(self, task: Task, node: Node) -> bool:
        return self.spread_admits(task, node) and self.company_admits(task, node)

    def spread_admits(self, task: Task, node: Node) -> bool:
        hard = [c for c in task.spec.spread if c.hard]
        for c in hard:
            if c.key not in node.labels:
                return False
            counts = self.counts(task, c, hard)
            fewest = min(counts.values(), default=0) if len(counts) >= c.min_domains else 0
            itself = 1 if c.selector.expressions and means(c.selector, task) else 0
            if counts.get(node.labels[c.key], 0) + itself - fewest > c.max_skew:
                return False
        return True

    def counts(self, task: Task, c: Spread, together: list[Spread]) -> dict[str, int]:
        """Matching tasks in each domain of the nodes that are counted."""
        keys = {other.key for other in together if not other.lenient} | {c.key}
        counts: dict[str, int] = {}
        for node in self.nodes.values():
            if not keys <= node.labels.keys():
                continue
            if c.honour_affinity and not all(node.labels.get(k) == v for k, v in task.spec.node_selector.items()):
                continue
            if c.honour_taints and not tolerated(task.spec.tolerations, node):
                continue
            here = [t for t in self.on(node) if c.selector.expressions and means(c.selector, t)]
            counts[node.labels[c.key]] = counts.get(node.labels[c.key], 0) + len(here)
        return counts

    def company_admits(self, task: Task, node: Node) -> bool:
        wanted = task.spec.company
        if wanted:
            friends = [t for t, _ in self.tasks.values() if all(means(c.selector, t) for c in wanted)]
            places = [(c.key, self.nodes[self.tasks[t.id][1]].labels.get(c.key)) for c in wanted for t in friends]
            first = not [place for place in places if place[1] is not None] and all(
                means(c.selector, task) for c in wanted
            )
            for c in wanted:
                if c.key not in node.labels:
                    return False
                if not first and (c.key, node.labels[c.key]) not in places:
                    return False
        for c in task.spec.no_company:
            if any(means(c.selector, other) for other in self.around(node, c.key)):
                return False
        return not any(
            means(c.selector, task)
            for other, name in self.tasks.values()
            for c in other.spec.no_company
            if c.key in node.labels and self.nodes[name].labels.get(c.key) == node.labels[c.key]
        )

    def around(self, node: Node, key: str) -> list[Task]:
        """Tasks in the node's domain."""
        if key not in node.labels:
            return []
        return [t for t, name in self.tasks.values() if self.nodes[name].labels.get(key) == node.labels[key]]

    # -- scores --------------------------------------------------------------------------------------------------

    def spread_score(self, task: Task, feasible: list[Node]) -> dict[str, int]:
        """0 to 100 for each feasible node."""
        soft = [c for c in task.spec.spread if not c.hard]
        strict = {c.key for c in soft if not c.lenient}
        scored = [node for node in feasible if strict <= node.labels.keys()]
        raw: dict[str, int] = {}
        for node in scored:
            total = 0.0
            for c in soft:
                if c.key not in node.labels:
                    continue
                if c.key == HOSTNAME:
                    count = sum(bool(c.selector.expressions) and means(c.selector, t) for t in self.on(node))
                    size = len(scored)
                else:
                    count = self.counts(task, c, soft).get(node.labels[c.key], 0)
                    size = len({other.labels.get(c.key) for other in scored})
                total += count * math.log(size + 2) + (c.max_skew - 1)
            raw[node.name] = math.floor(total + 0.5)
        low, high = min(raw.values(), default=0), max(raw.values(), default=0)
        scores = {name: 100 if high == 0 else 100 * (high + low - value) // high for name, value in raw.items()}
        return {node.name: scores.get(node.name, 0) for node in feasible}

    def company_score(self, task: Task, feasible: list[Node], required_weight: int) -> dict[str, int]:
        raw = {node.name: self._liked(task, node, required_weight) for node in feasible}
        low, high = min(raw.values(), default=0), max(raw.values(), default=0)
        return {name: 0 if high == low else int(100.0 * ((v - low) / (high - low))) for name, v in raw.items()}

    def _liked(self, task: Task, node: Node, required_weight: int) -> int:
        total = 0
        for p in task.spec.preferred_company:
            total += p.weight * sum(means(p.company.selector, t) for t in self.around(node, p.company.key))
        for other, name in self.tasks.values():
            wishes: list[tuple[int, Company]] = [(required_weight, c) for c in dict.fromkeys(other.spec.company)]
            wishes += [(p.weight, p.company) for p in dict.fromkeys(other.spec.preferred_company)]
            for weight, c in wishes:
                together = c.key in node.labels and self.nodes[name].labels.get(c.key) == node.labels[c.key]
                if together and means(c.selector, task):
                    total += weight
        return total


def means(selector: Selector | None, task: Task) -> bool:
    if selector is None or (selector.namespaces and task.namespace not in selector.namespaces):
        return False
    return all(holds(e, task.labels.get(e.key)) for e in selector.expressions)


def holds(e: Expression, value: str | None) -> bool:
    answers = {
        "In": value in e.values,
        "NotIn": value not in e.values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }
    return answers[e.operator.value]


def tolerated(tolerations: tuple[Toleration, ...], node: Node) -> bool:
    return all(
        taint.effect == TaintEffect.PREFER_NO_SCHEDULE
        or any(
            t.effect in (None, taint.effect) and t.key in ("", taint.key) and (t.exists or t.value == taint.value)
            for t in tolerations
        )
        for taint in node.taints
    )
