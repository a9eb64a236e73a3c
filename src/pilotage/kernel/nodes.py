"""What a plugin sees of the cluster: some rows of its columns, and the moment of the decision."""

from collections.abc import Hashable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pilotage.kernel.arrays import BoolArray, CodeArray, IntArray, S, UintArray
from pilotage.kernel.columns import Columns
from pilotage.model.errors import InvalidInput
from pilotage.model.workload import Workload

Rows = slice | IntArray


BLOCK = 8192
"""Rows worked on at once: 64 KiB an array. Larger temporaries leave the cache of the processor."""


def blocks(n: int) -> Iterator[slice]:
    """Yield the slices that cut n rows into blocks."""
    return (slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK))


class Amounts:
    """Amounts per node by resource name: ``nodes.free["cpu"]`` is int64[n] in base units."""

    __slots__ = ("_kind", "_nodes")

    def __init__(self, nodes: "Nodes", kind: str) -> None:
        self._nodes = nodes
        self._kind = kind

    def __getitem__(self, resource: str) -> IntArray:
        c, of = self._nodes.columns, self._nodes.of
        index = c.resources.get(resource)
        if index is None:
            raise InvalidInput(
                f"nodes.{self._kind}[{resource!r}]", f"no such resource; known: {', '.join(c.resources)}"
            )
        if self._kind == "capacity":
            return of(c.capacity[index])
        if self._kind == "used":
            return of(c.used[index])
        free: IntArray = of(c.capacity[index]) - of(c.used[index])
        return free


class Nodes:
    """A read-only view of n rows. Every array it gives has one entry per row, in the same order.

    ``now`` (seconds) and ``seed`` belong to the decision at hand; only plugins that declare ``depends="time"`` or
    ``"global"`` may use them.
    """

    __slots__ = ("columns", "now", "rows", "seed")

    def __init__(self, columns: Columns, rows: Rows, now: float = 0.0, seed: int = 0) -> None:
        self.columns = columns
        self.rows = rows
        self.now = now
        self.seed = seed

    @classmethod
    def all(cls, columns: Columns, now: float = 0.0, seed: int = 0) -> "Nodes":
        """Return the view of every row in use, blank rows included."""
        return cls(columns, slice(0, columns.n), now, seed)

    @classmethod
    def blocks(cls, columns: Columns) -> Iterator["Nodes"]:
        """Yield views that together make up every row in use, each small enough for its arrays to stay in cache."""
        for block in blocks(columns.n):
            yield cls(columns, block)

    def only(self, rows: IntArray) -> "Nodes":
        """Return the view of some rows of the same columns, at the same moment."""
        return Nodes(self.columns, rows, self.now, self.seed)

    def __len__(self) -> int:
        return self.rows.stop - self.rows.start if isinstance(self.rows, slice) else len(self.rows)

    def of(self, column: NDArray[S]) -> NDArray[S]:
        """Return the entries of a whole column that belong to the rows in view."""
        return column[self.rows] if isinstance(self.rows, slice) else column.take(self.rows)

    def across(self, facts: NDArray[S]) -> NDArray[S]:
        """Return the entries of several columns, [facts, rows], that belong to the rows in view."""
        return facts[:, self.rows] if isinstance(self.rows, slice) else facts.take(self.rows, axis=1)

    @property
    def free(self) -> Amounts:
        """Amounts not taken, in base units; below zero when a node shrank under its tasks."""
        return Amounts(self, "free")

    @property
    def used(self) -> Amounts:
        """Amounts taken by tasks, in base units; ``used["tasks"]`` is their number."""
        return Amounts(self, "used")

    @property
    def capacity(self) -> Amounts:
        """Amounts that tasks may take at most, in base units."""
        return Amounts(self, "capacity")

    @property
    def gpu_free(self) -> IntArray:
        """Thousandths left on each GPU: int64[G, n], 0 where a node has fewer GPUs."""
        return self.across(self.columns.gpu_free)

    @property
    def gpu_count(self) -> IntArray:
        """Number of GPUs of each node: int64[n]."""
        return self.of(self.columns.gpu_count)

    @property
    def gpu_model(self) -> CodeArray:
        """Code of each node's GPU model: int64[n]; ``columns.models`` tells the names."""
        return self.of(self.columns.gpu_model)

    @property
    def taint_set(self) -> CodeArray:
        """Code of each node's set of taints: int64[n]; ``columns.taints`` tells the sets."""
        return self.of(self.columns.taint_set)

    @property
    def cordoned(self) -> BoolArray:
        """Whether each node takes no new tasks: bool[n]."""
        return self.of(self.columns.cordoned)

    @property
    def names(self) -> Sequence[str]:
        """Names of the nodes; a blank row has an empty one."""
        if isinstance(self.rows, slice):
            return self.columns.names[self.rows]
        return [self.columns.names[row] for row in self.rows]

    @property
    def name_hash(self) -> UintArray:
        """The number that stands for each node in random choice: uint64[n]."""
        return self.of(self.columns.name_hash)

    @property
    def workload(self) -> Workload | None:
        """The mix of tasks that the cluster expects, if anybody told."""
        return self.columns.workload

    def label(self, key: str) -> CodeArray:
        """Codes of a label's value: int64[n]; 0 where the node has no such label. Equal codes, equal values.

        A topology domain is such a label: ``label(ZONE_LABEL)`` says in which zone each node stands.
        """
        column = self.columns.labels.get(key)
        return np.zeros(len(self), np.int64) if column is None else self.of(column)

    def has_label(self, key: str, value: str) -> BoolArray:
        """Whether each node carries label ``key`` with ``value``: bool[n]."""
        values = self.columns.label_values.get(key)
        code = None if values is None else values.known(value)
        if code is None:
            return np.zeros(len(self), np.bool_)
        mask: BoolArray = self.label(key) == code + 1
        return mask

    def named(self, names: Sequence[str]) -> BoolArray:
        """Whether each node goes by one of ``names``: bool[n]."""
        row_of = self.columns.row_of
        rows = np.array([row_of[name] for name in names if name in row_of], np.int64)
        if not isinstance(self.rows, slice):
            among: BoolArray = np.isin(self.rows, rows)
            return among
        mask: BoolArray = np.zeros(len(self), np.bool_)
        mask[rows[(rows >= self.rows.start) & (rows < self.rows.stop)] - self.rows.start] = True
        return mask

    def counts(self, name: str, key: Hashable) -> IntArray:
        """Tasks on each node that a registered counter files under ``key``: int64[n]."""
        return self.of(self.columns.counts(name, key))
