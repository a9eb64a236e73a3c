"""What a user's function is given: a task reduced to what its kind shares, and one node as plain values."""

from collections.abc import Hashable
from typing import Any

from pilotage.kernel.columns import ABSENT, Columns
from pilotage.model.errors import InvalidInput
from pilotage.model.node import Taint
from pilotage.model.task import TaskSpec
from pilotage.model.workload import Workload

_OF_ONE_TASK = frozenset({"id", "priority", "arrival_s", "labels", "gates"})


class SharedTask:
    """What tasks of equal specs share, as a ``depends="row"`` function sees it.

    It has ``spec``, everything that the spec has, and nothing of a single task: the answer serves all of them.
    """

    __slots__ = ("spec",)

    def __init__(self, spec: TaskSpec) -> None:
        self.spec = spec

    def __getattr__(self, name: str) -> Any:
        if name in _OF_ONE_TASK:
            raise AttributeError(
                f'task.{name} is not there with depends="row": the answer serves every task of the same spec; '
                f'leave out depends="row" to read it'
            )
        return getattr(self.spec, name)


class RowAmounts:
    """Amounts of one node by resource name."""

    __slots__ = ("_columns", "_kind", "_row")

    def __init__(self, columns: Columns, row: int, kind: str) -> None:
        self._columns = columns
        self._row = row
        self._kind = kind

    def __getitem__(self, resource: str) -> int:
        c, row = self._columns, self._row
        index = c.resources.get(resource)
        if index is None:
            known = ", ".join(c.resources)
            raise InvalidInput(f"node.{self._kind}[{resource!r}]", f"no such resource; known: {known}")
        if self._kind == "capacity":
            return int(c.capacity[index, row])
        if self._kind == "used":
            return int(c.used[index, row])
        return int(c.capacity[index, row]) - int(c.used[index, row])


class NodeRow:
    """One node, as a per-node function sees it: the facts of `Nodes` under the same names, as plain values.

    Where `Nodes` has codes there are words here: ``gpu_model``, ``label(key)`` and ``taints``.
    """

    __slots__ = ("_columns", "_row", "now", "seed")

    def __init__(self, columns: Columns, row: int, now: float = 0.0, seed: int = 0) -> None:
        self._columns = columns
        self._row = row
        self.now = now
        self.seed = seed

    @property
    def name(self) -> str:
        """Name of the node."""
        return self._columns.names[self._row]

    @property
    def free(self) -> RowAmounts:
        """Amounts not taken, by resource, in base units; below zero when the node shrank under its tasks."""
        return RowAmounts(self._columns, self._row, "free")

    @property
    def used(self) -> RowAmounts:
        """Amounts taken by tasks, by resource, in base units; ``used["tasks"]`` is their number."""
        return RowAmounts(self._columns, self._row, "used")

    @property
    def capacity(self) -> RowAmounts:
        """Amounts that tasks may take at most, by resource, in base units."""
        return RowAmounts(self._columns, self._row, "capacity")

    @property
    def gpu_count(self) -> int:
        """Number of GPUs."""
        return int(self._columns.gpu_count[self._row])

    @property
    def gpu_free(self) -> list[int]:
        """Thousandths left on each GPU of the node."""
        left: list[int] = self._columns.gpu_free[: self.gpu_count, self._row].tolist()
        return left

    @property
    def gpu_model(self) -> str:
        """Model of the node's GPUs, empty without GPUs."""
        return self._columns.models.values[int(self._columns.gpu_model[self._row])]

    @property
    def taints(self) -> tuple[Taint, ...]:
        """The node's taints."""
        return self._columns.taints.values[int(self._columns.taint_set[self._row])]

    @property
    def cordoned(self) -> bool:
        """Whether the node takes no new tasks."""
        return bool(self._columns.cordoned[self._row])

    @property
    def workload(self) -> Workload | None:
        """The mix of tasks that the cluster expects, if anybody told."""
        return self._columns.workload

    def label(self, key: str) -> str | None:
        """Value of a label, None where the node has no such label."""
        column = self._columns.labels.get(key)
        code = ABSENT if column is None else int(column[self._row])
        return None if code == ABSENT else self._columns.label_values[key].values[code - 1]

    def has_label(self, key: str, value: str) -> bool:
        """Whether the node carries label ``key`` with ``value``."""
        return self.label(key) == value

    def counts(self, name: str, key: Hashable) -> int:
        """Tasks on the node that a registered counter files under ``key``."""
        return int(self._columns.counts(name, key)[self._row])
