"""What a filter and a scorer are: the contract of every plugin, ours or a user's."""

from collections.abc import Hashable
from enum import IntEnum
from functools import cache
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from pilotage.kernel.arrays import BoolArray, IntArray, ScoreArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.normalise import Normaliser
from pilotage.model.change import Change
from pilotage.model.errors import InvalidInput
from pilotage.model.events import Cure
from pilotage.model.task import Task

Depends = Literal["row", "domain", "global", "time"]
"""What an answer for a node rests on: its row alone; the tasks on all nodes; anything in view; also the time."""


class Group(IntEnum):
    """Column groups: what the change log tells apart."""

    AMOUNTS = 0
    """Capacity and use of resources, and counted tasks."""
    DEVICES = 1
    """Shares left on single GPUs."""
    NODE = 2
    """The node object: name, labels, taints, cordon, GPU model."""
    PORTS = 3
    WORKLOAD = 4
    """The expected mix of tasks; changes for all rows at once."""
    IMAGES = 5
    """Container images, and on how many of the nodes each lies; changes for all rows at once."""


_GROUP_OF = {
    "counts": Group.AMOUNTS,
    "devices": Group.DEVICES,
    "names": Group.NODE,
    "labels": Group.NODE,
    "taints": Group.NODE,
    "cordon": Group.NODE,
    "models": Group.NODE,
    "ports": Group.PORTS,
    "workload": Group.WORKLOAD,
    "images": Group.IMAGES,
}


@cache
@cache
def groups_of(reads: tuple[str, ...]) -> tuple[Group, ...]:
    """Return the column groups behind what a plugin declares to read; any other word is a resource's name.

    At least one of them hears of new nodes: WORKLOAD alone does not.
    """
    groups = {_GROUP_OF.get(fact, Group.AMOUNTS) for fact in reads}
    return tuple(sorted(groups if groups - {Group.WORKLOAD} else groups | {Group.NODE}))


LARGEST_WEIGHT = 10_000
LARGEST_RAW = 2**49
"""Largest raw score in size that counts as it is: times `LARGEST_WEIGHT` it still fits an int64."""
LARGEST_NORMALISED = 2**55
"""Largest raw score in size that is normalised: the span of two, times 100, still fits an int64."""


class Plugin:
    """What filters and scorers share.

    ``reads`` names the facts that answers rest on: resources (``"cpu"``), ``"devices"``, ``"labels"``, ``"taints"``,
    ``"cordon"``, ``"names"``, ``"models"``, ``"ports"``, ``"images"``, ``"counts"``, ``"workload"``.
    ``depends="row"`` promises that the answer for a node rests on its own row only; it is then cached per fragment
    and refreshed for changed rows.
    """

    name: str
    depends: Depends = "row"
    reads: tuple[str, ...] = ()
    counter: ClassVar[str] = ""
    """Name of the per-row task counter that the plugin needs, if any; `count_key` is then its key."""

    def fragment(self, task: Task) -> Hashable | None:
        """Return the part of ``task`` that answers rest on, or None when the plugin has nothing to say about it.

        A row plugin may look at ``task.spec`` only: tasks with equal specs share its answers.
        """
        raise NotImplementedError

    def count_key(self, spec: Any) -> Hashable:
        """Return the key under which a task of ``spec`` is counted (only with `counter`)."""
        raise NotImplementedError


class Filter(Plugin):
    """Says yes or no per node. ``cures`` names the changes that may turn its no into a yes.

    ``narrows``: nodes that it refuses are not even looked at (they count for no sample of nodes); must come first.
    """

    cures: Cure = Cure.ANYTHING
    narrows: bool = False
    reason: str = ""

    def mask(self, fragment: Any, nodes: Nodes) -> BoolArray:
        """Return bool[n]: which nodes may take a task with this fragment."""
        raise NotImplementedError

    def mask_row(self, fragment: Any, columns: Columns, row: int) -> bool:
        """Return the answer for one row; equal to `mask`, and overridden where that is too slow for one."""
        return bool(self.mask(fragment, Nodes(columns, np.array([row])))[0])

    def why(self, fragment: Any, nodes: Nodes) -> dict[str, int]:
        """Return how many of ``nodes``, all refused by this filter, it refuses for each reason."""
        return {self.reason: len(nodes)}

    def remedy(self, fragment: Any, columns: Columns, row: int) -> tuple[Change, ...]:
        """Return the smallest changes that together turn this filter's no for ``row`` into a yes.

        Empty: none is known. A filter that says so is asked only about rows that it refuses.
        """
        return ()


class Scorer(Plugin):
    """Gives each node a number, more is better; ``normaliser`` then brings the feasible ones to 0..100.

    Without a normaliser the raw number counts as it is. Numbers are int64, or finite float64 if ``exact`` is False.
    ``bits`` says how wide raw scores are, sign included, whatever the node: 8, 32 or 64; so they are remembered.
    """

    normaliser: Normaliser | None = None
    exact: bool = True
    bits: int = 64

    def score(self, fragment: Any, nodes: Nodes) -> ScoreArray:
        """Return int64[n] or float64[n]: raw scores for a task with this fragment."""
        raise NotImplementedError

    def score_row(self, fragment: Any, columns: Columns, row: int) -> float:
        """Return the raw score of one row; equal to `score`, and overridden where that is too slow for one."""
        return self.score(fragment, Nodes(columns, np.array([row])))[0].item()  # type: ignore[no-any-return]


class DomainFilter(Filter):
    """A filter that looks at tasks on other nodes: asked about all rows at each decision."""

    depends: Depends = "domain"

    def admits(self, fragment: Any, nodes: Nodes) -> BoolArray | None:
        """Return bool[n]: which nodes may take a task with this fragment; None: all of them."""
        raise NotImplementedError

    def mask(self, fragment: Any, nodes: Nodes) -> BoolArray:
        """Return bool[n], as every filter does."""
        admitted = self.admits(fragment, nodes)
        return np.ones(len(nodes), np.bool_) if admitted is None else admitted


class ByDomain(NamedTuple):
    """Raw scores that are equal in a domain: ``values`` by label code, int64[D].

    ``codes`` int64[n]: each node's code; ``seen``: the codes of feasible nodes, each once.
    """

    values: IntArray
    codes: IntArray
    seen: IntArray


class DomainScorer(Scorer):
    """A scorer that looks at tasks on other nodes: asked about all rows, and told which of them are feasible."""

    depends: Depends = "domain"

    def score_among(self, fragment: Any, nodes: Nodes, feasible: BoolArray, count: int) -> ScoreArray | ByDomain | None:
        """Return raw scores of ``nodes``, of which ``count`` are ``feasible``; those of others mean nothing.

        None: normalised, all are 0.
        """
        raise NotImplementedError

    def score(self, fragment: Any, nodes: Nodes) -> ScoreArray:
        """Return the raw scores of feasible nodes, as every scorer does."""
        raw = self.score_among(fragment, nodes, np.ones(len(nodes), np.bool_), len(nodes))
        if isinstance(raw, ByDomain):
            return raw.values.take(raw.codes)
        return np.zeros(len(nodes), np.int64) if raw is None else raw


class DeviceRule(Plugin):
    """Chooses the GPUs of a node for a task that was given to it."""

    def choose(self, task: Task, columns: Columns, row: int, seed: int) -> tuple[int, ...]:
        """Return the numbers of ``task.gpus`` GPUs of ``row`` with enough share left; the row is feasible."""
        raise NotImplementedError


class PolicyFault(InvalidInput):
    """A user's policy broke its contract; ``field`` names the plugin and the line where it is defined."""
