"""Filter and scorer: members of a group keep together, or apart, over hosts, racks or zones."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pilotage.kernel.arrays import BoolArray, CodeArray, IntArray
from pilotage.kernel.columns import ABSENT, Columns
from pilotage.kernel.label_changes import label_of
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.normalise import MinMax
from pilotage.kernel.plugin import Filter, Scorer
from pilotage.model.change import Change, TasksLeft
from pilotage.model.events import Cure
from pilotage.model.group import HOST, Group
from pilotage.model.task import Task, TaskSpec

COUNTER = "group"


def _group_of(spec: TaskSpec) -> str | None:
    return spec.group.name if spec.group else None


def _places(group: Group, nodes: Nodes) -> CodeArray:
    """Code of each node's place in the group's scope, `ABSENT` where it has none."""
    if group.scope == HOST:
        rows = nodes.rows
        return np.arange(rows.start, rows.stop) + 1 if isinstance(rows, slice) else rows + 1
    return nodes.label(group.scope)


def _members(group: Group, nodes: Nodes) -> tuple[IntArray, int]:
    """Members of the group in each node's place, int64[n], and in all."""
    columns = nodes.columns
    counts = columns.counts(COUNTER, group.name)[: columns.n]
    everywhere = _places(group, Nodes.all(columns))
    sums = np.bincount(everywhere, weights=counts, minlength=1).astype(np.int64)
    sums[ABSENT] = 0
    there: IntArray = sums.take(_places(group, nodes))
    return there, int(counts.sum())


@dataclass(frozen=True)
class GroupRule(Filter):
    """A hard rule: affinity to the place that the members are in, anti-affinity to places that are full.

    A node without the label of the scope is in no place and takes no member. The first member may go anywhere.
    """

    name = "group"
    depends = "global"
    reads = ("counts", "labels")
    cures = Cure.LABELS | Cure.TASK_LEFT | Cure.TASK_CAME
    counter = COUNTER

    def count_key(self, spec: Any) -> str | None:
        return _group_of(spec)

    def fragment(self, task: Task) -> Group | None:
        group = task.spec.group
        return group if group is not None and group.mode == "hard" else None

    def mask(self, fragment: Group, nodes: Nodes) -> BoolArray:
        placed = _places(fragment, nodes) != ABSENT
        members, total = _members(fragment, nodes)
        mask: BoolArray = placed
        if fragment.rule == "anti-affinity":
            mask = placed & (members < fragment.at_most)
        elif total:
            mask = placed & (members > 0)
        return mask

    def why(self, fragment: Group, nodes: Nodes) -> dict[str, int]:
        homeless = int(np.count_nonzero(_places(fragment, nodes) == ABSENT))
        told = {
            f"has no {fragment.scope}": homeless,
            f"its {fragment.scope} has other members"
            if fragment.rule == "anti-affinity"
            else f"its {fragment.scope} has no member of the group": len(nodes) - homeless,
        }
        return {reason: count for reason, count in told.items() if count}

    def remedy(self, fragment: Group, columns: Columns, row: int) -> tuple[Change, ...]:
        nodes = Nodes(columns, np.array([row]))
        if fragment.rule != "anti-affinity" or _places(fragment, nodes)[0] == ABSENT:
            return ()
        members, _ = _members(fragment, nodes)
        place = columns.names[row] if fragment.scope == HOST else label_of(columns, fragment.scope, row)
        return (TasksLeft(fragment.scope, place or "", members.item(0) - fragment.at_most + 1),)


@dataclass(frozen=True)
class PreferGroup(Scorer):
    """A soft rule: the more members in a node's place the better, or the worse."""

    name = "prefer-group"
    depends = "global"
    reads = ("counts", "labels")
    normaliser = MinMax()
    counter = COUNTER

    def count_key(self, spec: Any) -> str | None:
        return _group_of(spec)

    def fragment(self, task: Task) -> Group | None:
        group = task.spec.group
        return group if group is not None and group.mode == "soft" else None

    def score(self, fragment: Group, nodes: Nodes) -> IntArray:
        members, _ = _members(fragment, nodes)
        return members if fragment.rule == "affinity" else -members
