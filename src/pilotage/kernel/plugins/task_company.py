"""Filter and scorer: tasks that must, must not, or had better be in one domain (kube-scheduler's InterPodAffinity)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pilotage.kernel.arrays import BoolArray, IntArray
from pilotage.kernel.columns import ABSENT, Columns
from pilotage.kernel.domains import DomainCount, tasks_per_domain
from pilotage.kernel.label_changes import label_of
from pilotage.kernel.neighbours import Field, Meant, Neighbours, Wanting
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.normalise import Span
from pilotage.kernel.plugin import ByDomain, DomainFilter, DomainScorer
from pilotage.model.change import Change, CompanyThere, LabelGiven, TasksLeft
from pilotage.model.company import Company, PreferredCompany
from pilotage.model.events import Cure
from pilotage.model.task import Task


class Wishes(NamedTuple):
    """What a task requires of others, whether it would itself be the company it asks for, and how others see it."""

    company: tuple[Company, ...]
    no_company: tuple[Company, ...]
    itself: bool
    labels: Mapping[str, str]
    namespace: str


@dataclass(frozen=True)
class RequiredCompany(DomainFilter):
    """In the node's domains: all company that the task requires, none that it refuses, and nobody who refuses it.

    Company counts tasks that meet all required selectors at once. The first task of a set that asks for its own like
    may go anywhere the keys are.
    """

    name = "company"
    cures = Cure.TASK_LEFT | Cure.TASK_CAME | Cure.LABELS
    lonely = "node(s) didn't match pod affinity rules"
    crowded = "node(s) didn't match pod anti-affinity rules"
    unwelcome = "node(s) didn't satisfy existing pods anti-affinity rules"

    def fragment(self, task: Task) -> Wishes:
        company, labels, namespace = task.spec.company, task.labels, task.namespace
        itself = bool(company) and all(
            c.selector is not None and c.selector.matches(labels, namespace) for c in company
        )
        return Wishes(company, task.spec.no_company, itself, labels, namespace)

    def admits(self, fragment: Wishes, nodes: Nodes) -> BoolArray | None:
        admitted: BoolArray | None = None
        for _, fits in self._answers(fragment, nodes):
            admitted = fits if admitted is None else admitted & fits
        return admitted

    def why(self, fragment: Wishes, nodes: Nodes) -> dict[str, int]:
        """Names the first rule that refuses a node."""
        left = np.ones(len(nodes), np.bool_)
        found: dict[str, int] = {}
        for reason, fits in self._answers(fragment, nodes):
            refused = int(np.count_nonzero(left & ~fits))
            if refused:
                found[reason] = found.get(reason, 0) + refused
            left &= fits
        return found

    def remedy(self, fragment: Wishes, columns: Columns, row: int) -> tuple[Change, ...]:
        """Company in the node's domains where it is lacking, and fewer of those who are not to be together."""
        changes: list[Change] = []
        for per_domain in _wanted(fragment, columns):
            value = label_of(columns, per_domain.key, row)
            if value is not None and not per_domain.in_domain(value, columns):
                changes.append(CompanyThere(per_domain.key, value))
            elif value is None and per_domain.total:
                changes.append(LabelGiven(per_domain.key, per_domain.named(per_domain.sums.argmax().item(), columns)))
        for _, per_domain in self._unwanted(fragment, columns):
            value = label_of(columns, per_domain.key, row)
            if value is not None and (count := per_domain.in_domain(value, columns)):
                changes.append(TasksLeft(per_domain.key, value, count))
        return tuple(dict.fromkeys(changes))

    def _answers(self, fragment: Wishes, nodes: Nodes) -> Iterator[tuple[str, BoolArray]]:
        """Yield a reason and the nodes that pass it, rule by rule."""
        if fragment.company:
            yield self.lonely, _accompanied(fragment, nodes)
        for reason, per_domain in self._unwanted(fragment, nodes.columns):
            yield reason, per_domain.at_most(0, nodes, absent=True)

    def _unwanted(self, fragment: Wishes, columns: Columns) -> Iterator[tuple[str, DomainCount]]:
        """Yield a reason and the tasks that must not be in the node's domain, rule by rule."""
        for company in fragment.no_company:
            if company.selector is not None:
                yield self.crowded, tasks_per_domain(columns, Meant((company.selector,)), company.key)
        for wanting in columns.neighbours.wanting("no_company", fragment.labels, fragment.namespace):
            yield self.unwelcome, tasks_per_domain(columns, wanting, wanting.company.key)


def _wanted(fragment: Wishes, columns: Columns) -> list[DomainCount]:
    """Return the tasks that are required, by key; none where a selector means nobody."""
    selectors = tuple(company.selector for company in fragment.company if company.selector is not None)
    if len(selectors) < len(fragment.company):
        return []
    keys = dict.fromkeys(company.key for company in fragment.company)
    return [tasks_per_domain(columns, Meant(selectors), key) for key in keys]


def _accompanied(fragment: Wishes, nodes: Nodes) -> BoolArray:
    """Nodes that carry every key and, in each of those domains, have a task that meets all selectors."""
    counts = _wanted(fragment, nodes.columns)
    mask: BoolArray = np.full(len(nodes), bool(counts))
    first = fragment.itself and not any(count.total for count in counts)
    for count in counts:
        present = np.ones(len(count.sums), np.bool_) if first else count.sums > 0
        present[ABSENT] = False
        mask &= present.take(nodes.label(count.key))
    return mask


class Likes(NamedTuple):
    """What a task prefers of others, and how others see it."""

    preferred: tuple[PreferredCompany, ...]
    labels: Mapping[str, str]
    namespace: str


@dataclass(frozen=True)
class WelcomeCompany(DomainScorer):
    """Sum over the tasks in the node's domains of the weights by which the task, or they, like to be together.

    ``required_weight`` (0 to 100) counts for every task there whose required company the new one is;
    ``ignore_others``: a task that prefers nothing itself is not scored, whatever others like.
    """

    required_weight: int = 1
    ignore_others: bool = False

    name = "welcome-company"
    normaliser = Span()

    def fragment(self, task: Task) -> Likes:
        return Likes(task.spec.preferred_company, task.labels, task.namespace)

    def score_among(self, fragment: Likes, nodes: Nodes, feasible: BoolArray, count: int) -> IntArray | ByDomain | None:
        if self.ignore_others and not fragment.preferred:
            return None
        parts = [
            (per_domain, per_domain.sums * weight)
            for weight, who, key in self._terms(fragment, nodes.columns.neighbours)
            if (per_domain := tasks_per_domain(nodes.columns, who, key)).total
        ]
        if len(parts) == 1:
            ((per_domain, values),) = parts
            return ByDomain(values, nodes.label(per_domain.key), per_domain.seen(nodes, feasible))
        total: IntArray | None = None
        for per_domain, values in parts:
            some = values.take(nodes.label(per_domain.key))
            total = some if total is None else total + some
        return total

    def _terms(self, fragment: Likes, neighbours: Neighbours) -> Iterator[tuple[int, Meant | Wanting, str]]:
        """Yield weight, who counts, and the key of the domains, term by term."""
        for liked in fragment.preferred:
            if liked.company.selector is not None:
                yield liked.weight, Meant((liked.company.selector,)), liked.company.key
        fields: list[Field] = ["company"] if self.required_weight else []
        for field in [*fields, "preferred_company"]:
            for wanting in neighbours.wanting(field, fragment.labels, fragment.namespace):
                item = wanting.item
                weight = item.weight if isinstance(item, PreferredCompany) else self.required_weight
                yield weight, wanting, wanting.company.key
