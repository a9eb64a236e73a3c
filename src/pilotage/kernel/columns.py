"""The columns of a cluster: one array per fact, one row per node.

Arrays are laid out fact first (``used[resource, row]``), so that a fact of all nodes is contiguous: that is what the
kernel reads. Rows are allocated in doubling blocks; a freed row is blank until it is used again. Versions and the
meaning of a change belong to the engine; here are only the numbers.
"""

from collections.abc import Callable, Hashable
from copy import copy
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from msgspec import Struct

from pilotage.kernel.arrays import BoolArray, CodeArray, FloatArray, IntArray, UintArray, longer
from pilotage.kernel.hashing import name_hash
from pilotage.kernel.images import Images
from pilotage.kernel.neighbours import Neighbours
from pilotage.model.amounts import BASE_RESOURCES, WHOLE_GPU
from pilotage.model.node import Node, Taint
from pilotage.model.task import HostPort, TaskSpec
from pilotage.model.workload import Workload

T = TypeVar("T", bound=Hashable)
Fact = TypeVar("Fact")

ABSENT = 0
"""Code of a label that a node does not have."""

RowNumbers = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""One row as plain numbers: what is used and the capacity, by resource index; thousandths left, by GPU."""

_ROWS_KEPT = 8192
"""Rows that are kept as plain numbers; one takes about 1 KiB."""

_PER_RESOURCE = ("capacity", "used", "float_capacity", "float_used")


class Demand(NamedTuple):
    """What a task takes of the node that it is on.

    ``vector`` int64[resources known when it was made]; ``amounts`` its (resource index, amount) that are not 0, and
    ``capped`` those of them of which a node must have enough, GPUs apart.
    """

    vector: IntArray
    amounts: tuple[tuple[int, int], ...]
    capped: tuple[tuple[int, int], ...]


class Claim(NamedTuple):
    """A task that made room on a node, what it will take there, and the GPUs that it means to have."""

    task_id: str
    priority: int
    spec: TaskSpec
    gpus: tuple[int, ...]


class Codes(Generic[T]):
    """A dictionary encoding: values of one kind, numbered in the order they were first seen."""

    def __init__(self, first: T) -> None:
        self.values: list[T] = [first]
        self._code: dict[T, int] = {first: 0}

    def of(self, value: T) -> int:
        """Return the number of ``value``, giving it the next one if it is new."""
        code = self._code.get(value)
        if code is None:
            code = self._code[value] = len(self.values)
            self.values.append(value)
        return code

    def known(self, value: T) -> int | None:
        """Return the number of ``value``, or None if it was never seen."""
        return self._code.get(value)


class ColumnCodes(Struct, frozen=True):
    """What the numbers in columns stand for, in the order of the numbers, and how many GPUs there is room for."""

    resources: tuple[str, ...]
    gpus: int
    models: tuple[str, ...]
    taints: tuple[tuple[Taint, ...], ...]
    labels: tuple[tuple[str, tuple[str, ...]], ...]
    images: tuple[tuple[str, int], ...]


class Columns:
    """All facts about the nodes of one cluster, and what the tasks on them take.

    ``n`` rows have been used so far; arrays are longer. Shapes, with R resources, G GPUs on the largest node:
    ``capacity``, ``used`` int64[R, rows] in base units, and the same as float64 (exact up to 2^53) in
    ``float_capacity``, ``float_used``, for scorers that divide; ``gpu_free`` int64[G, rows] thousandths left on each
    GPU, 0 where there is none; ``gpu_count``, ``gpu_model`` (code), ``taint_set`` (code), ``cordoned``, ``alive``
    [rows]; ``labels`` a code column per key; ``order`` the place of a node in the fixed node order; ``name_hash`` the
    number that stands for a node in random choice. A blank row has capacity 0 and ``alive`` False.
    """

    def __init__(self) -> None:
        self.n = 0
        self.names: list[str] = []
        self.row_of: dict[str, int] = {}
        self.resources: dict[str, int] = {name: i for i, name in enumerate(BASE_RESOURCES)}
        self.capacity: IntArray = np.zeros((len(BASE_RESOURCES), 0), np.int64)
        self.used: IntArray = self.capacity.copy()
        self.float_capacity: FloatArray = self.capacity.astype(np.float64)
        self.float_used: FloatArray = self.float_capacity.copy()
        self.gpu_free: IntArray = np.zeros((0, 0), np.int64)
        self.gpu_count: IntArray = np.zeros(0, np.int64)
        self.gpu_model: CodeArray = np.zeros(0, np.int64)
        self.taint_set: CodeArray = np.zeros(0, np.int64)
        self.cordoned: BoolArray = np.zeros(0, np.bool_)
        self.alive: BoolArray = np.zeros(0, np.bool_)
        self.order: IntArray = np.zeros(0, np.int64)
        self.name_hash: UintArray = np.zeros(0, np.uint64)
        self.labels: dict[str, CodeArray] = {}
        self.models: Codes[str] = Codes("")
        self.taints: Codes[tuple[Taint, ...]] = Codes(())
        self.label_values: dict[str, Codes[str]] = {}
        self.images = Images()
        self.ports: dict[tuple[str, int], dict[int, dict[str, int]]] = {}
        self.workload: Workload | None = None
        self.claims: dict[int, tuple[Claim, ...]] = {}
        """By row, who made room there and has not come yet."""
        self._numbers: dict[int, RowNumbers] = {}
        self._of_nodes: dict[Hashable, Any] = {}
        self.counters: dict[str, Callable[[TaskSpec], Hashable]] = {}
        """By name, the function that files a task's spec under a key."""
        self._counts: dict[str, dict[Hashable, IntArray]] = {}
        self.neighbours = Neighbours()

    @property
    def rows(self) -> int:
        """Rows allocated; every per-node array has at least this length."""
        return len(self.alive)

    # -- nodes ---------------------------------------------------------------------------------------------------

    def add_row(self) -> int:
        """Return a new blank row behind the last one, growing the arrays when they are full."""
        if self.n == self.rows:
            self._grow(max(16, 2 * self.rows))
        self.names.append("")
        self._of_nodes = {}
        self.n += 1
        return self.n - 1

    def write_node(self, row: int, node: Node, order: int) -> None:
        """Write what ``node`` says into ``row``; what its tasks use stays as it is."""
        self.forget_numbers()
        self._of_nodes = {}
        self.neighbours.touch(row)
        self.names[row] = node.name
        self.row_of[node.name] = row
        self.alive[row] = True
        self.order[row] = order
        self.name_hash[row] = name_hash(node.name)
        self.capacity[:, row] = 0
        for name, amount in node.capacity.items():
            index = self.resource(name)
            self.capacity[index, row] = amount
        self.float_capacity[:, row] = self.capacity[:, row]
        self._write_gpus(row, node)
        self.taint_set[row] = self.taints.of(node.taints)
        self.cordoned[row] = node.cordoned
        self.images.write(row, node.images)
        for key in node.labels.keys() - self.labels.keys():
            self.labels[key] = np.zeros(self.rows, np.int64)
            self.label_values[key] = Codes("")
        for key, column in self.labels.items():
            value = node.labels.get(key)
            column[row] = ABSENT if value is None else 1 + self.label_values[key].of(value)

    def clear_row(self, row: int) -> None:
        """Make ``row`` blank. No task may be on it."""
        self.forget_numbers()
        self._of_nodes = {}
        self.neighbours.touch(row)
        del self.row_of[self.names[row]]
        self.names[row] = ""
        self.capacity[:, row] = 0
        self.float_capacity[:, row] = 0
        self.gpu_free[:, row] = 0
        for column in (self.gpu_count, self.gpu_model, self.taint_set, self.cordoned, self.alive, self.order):
            column[row] = 0
        self.name_hash[row] = 0
        self.images.write(row, {})
        for column in self.labels.values():
            column[row] = ABSENT

    def _write_gpus(self, row: int, node: Node) -> None:
        """Set the GPUs of a row; shares taken stay taken, also on a GPU that is no longer there (below zero)."""
        if node.gpus > len(self.gpu_free):
            self.gpu_free = longer(self.gpu_free, node.gpus, axis=0)
        before = int(self.gpu_count[row])
        self.gpu_free[before : node.gpus, row] += WHOLE_GPU
        self.gpu_free[node.gpus : before, row] -= WHOLE_GPU
        self.gpu_count[row] = node.gpus
        self.gpu_model[row] = self.models.of(node.gpu_model)

    # -- tasks on nodes ------------------------------------------------------------------------------------------

    def demand_of(self, spec: TaskSpec) -> Demand:
        """Return what a task of ``spec`` takes, making room for resources that no node has named yet."""
        asked = [(name, self.resource(name), amount) for name, amount in spec.demand.items()]
        vector = np.zeros(len(self.resources), np.int64)
        for _, i, amount in asked:
            vector[i] = amount
        amounts = tuple([(i, amount) for _, i, amount in asked if amount])
        uncapped = ("gpu", *spec.uncapped)
        return Demand(
            vector, amounts, tuple([(i, amount) for name, i, amount in asked if amount and name not in uncapped])
        )

    def add_task(self, row: int, spec: TaskSpec, demand: Demand, gpus: tuple[int, ...], sign: int) -> None:
        """Take (``sign`` 1) or give back (``sign`` -1) what a task of ``spec`` uses of ``row``; its own inverse."""
        before, capacity, gpu_free = self.numbers_of(row)
        used = list(before)
        for i, amount in demand.amounts:
            used[i] += sign * amount
            self.used[i, row] = self.float_used[i, row] = used[i]
        for gpu in gpus:
            self.gpu_free[gpu, row] -= sign * spec.gpu_share
        if gpus:
            del self._numbers[row]
        else:
            self._numbers[row] = tuple(used), capacity, gpu_free
        if self.counters or spec.ports:
            self.add_uncounted(row, spec, sign)

    def add_uncounted(self, row: int, spec: TaskSpec, sign: int) -> None:
        """The part of `add_task` that is no amount: counters and ports."""
        for name, key_of in self.counters.items():
            self._count(name, key_of(spec), row, sign)
        for port in spec.ports:
            self._add_port(row, port, sign)

    def _add_port(self, row: int, port: HostPort, sign: int) -> None:
        users = self.ports.setdefault((port.protocol, port.port), {})
        addresses = users.setdefault(row, {})
        addresses[port.address] = addresses.get(port.address, 0) + sign
        if not addresses[port.address]:
            del addresses[port.address]
        if not addresses:
            del users[row]

    def numbers_of(self, row: int) -> RowNumbers:
        """Return the amounts and GPUs of one row, kept until they change: to ask arrays one by one is slow."""
        numbers = self._numbers.get(row)
        if numbers is None:
            if len(self._numbers) >= _ROWS_KEPT:
                self._numbers.clear()
            used, capacity, gpu_free = self.used[:, row], self.capacity[:, row], self.gpu_free[:, row]
            numbers = tuple(used.tolist()), tuple(capacity.tolist()), tuple(gpu_free.tolist())
            self._numbers[row] = numbers
        return numbers

    def of_nodes(self, key: Hashable, work_out: Callable[[], Fact]) -> Fact:
        """Return what ``work_out`` returns, kept under ``key`` until a node comes, changes or goes.

        For what follows from the nodes alone, whatever tasks they have.
        """
        found: Fact | None = self._of_nodes.get(key)
        if found is None:
            found = self._of_nodes[key] = work_out()
        return found

    def capacity_bounds(self, resource: int) -> tuple[int, int]:
        """Return the smallest and the largest capacity of a resource, by index, among all rows; (0, 0) of none."""

        def look() -> tuple[int, int]:
            column = self.capacity[resource, : self.n]
            return (column.min().item(), column.max().item()) if self.n else (0, 0)

        return self.of_nodes(("capacity bounds", resource), look)

    def scratch(self) -> "Columns":
        """Return columns of which all that tasks change is a copy: for trying out what is not to be."""
        other = self.scratch_amounts()
        other.float_used = self.float_used.copy()
        other.ports = {
            port: {row: dict(addresses) for row, addresses in users.items()} for port, users in self.ports.items()
        }
        other._counts = {
            name: {key: vector.copy() for key, vector in vectors.items()} for name, vectors in self._counts.items()
        }
        return other

    def scratch_amounts(self) -> "Columns":
        """The same where nothing but amounts and GPU shares will change: no task may be added to the result."""
        other = copy(self)
        other.used, other.gpu_free = self.used.copy(), self.gpu_free.copy()
        other.float_used = np.zeros((0, 0))
        other.forget_numbers()
        return other

    def forget_numbers(self) -> None:
        """Somebody wrote amounts directly: the numbers of rows are old."""
        self._numbers = {}

    # -- counters ------------------------------------------------------------------------------------------------

    def count_tasks(self, name: str, key_of: Callable[[TaskSpec], Hashable]) -> None:
        """From now on count the tasks of each row by ``key_of(spec)`` (None: not counted).

        Must be called before the first task is placed.
        """
        if name not in self.counters:
            self.counters[name] = key_of
            self._counts[name] = {}

    def counts(self, name: str, key: Hashable) -> IntArray:
        """Tasks with ``key`` on each row, int64[rows]; key None stands for all counted tasks together."""
        return self._counts[name].get(key, np.zeros(self.rows, np.int64))

    def count_keys(self, name: str) -> list[Hashable]:
        """Return the keys under which counter ``name`` has ever filed a task, and None."""
        return list(self._counts[name])

    def _count(self, name: str, key: Hashable, row: int, sign: int) -> None:
        if key is None:
            return
        vectors = self._counts[name]
        for counted in (key, None):
            if counted not in vectors:
                vectors[counted] = np.zeros(self.rows, np.int64)
            vectors[counted][row] += sign

    # -- codes ---------------------------------------------------------------------------------------------------

    def codes(self) -> ColumnCodes:
        """Return what `learn_codes` needs to give the same values the same numbers, and the sizes of images."""
        return ColumnCodes(
            resources=tuple(self.resources),
            gpus=len(self.gpu_free),
            models=tuple(self.models.values),
            taints=tuple(self.taints.values),
            labels=tuple((key, tuple(self.label_values[key].values)) for key in self.labels),
            images=self.images.sizes(),
        )

    def learn_codes(self, codes: ColumnCodes) -> None:
        """Take over the numbers of other columns; these must be new."""
        for name in codes.resources:
            self.resource(name)
        self.gpu_free = longer(self.gpu_free, max(codes.gpus, len(self.gpu_free)), axis=0)
        for model in codes.models:
            self.models.of(model)
        for taints in codes.taints:
            self.taints.of(taints)
        for key, values in codes.labels:
            self.labels[key] = np.zeros(self.rows, np.int64)
            self.label_values[key] = Codes("")
            for value in values:
                self.label_values[key].of(value)

    # -- room ----------------------------------------------------------------------------------------------------

    def resource(self, name: str) -> int:
        """Return the index of a resource, adding it (capacity 0 everywhere) if no node named it before."""
        index = self.resources.get(name)
        if index is None:
            self.forget_numbers()
            index = self.resources[name] = len(self.resources)
            for amounts in _PER_RESOURCE:
                setattr(self, amounts, longer(getattr(self, amounts), index + 1, axis=0))
        return index

    def _grow(self, rows: int) -> None:
        self.neighbours.grow(rows)
        for name in (*_PER_RESOURCE, "gpu_free"):
            setattr(self, name, longer(getattr(self, name), rows, axis=1))
        for name in ("gpu_count", "gpu_model", "taint_set", "cordoned", "order", "name_hash", "alive"):
            setattr(self, name, longer(getattr(self, name), rows, axis=0))
        self.labels = {key: longer(column, rows, axis=0) for key, column in self.labels.items()}
        for vectors in self._counts.values():
            for key, vector in vectors.items():
                vectors[key] = longer(vector, rows, axis=0)
