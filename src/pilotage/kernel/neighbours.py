"""Which tasks stand where: how many of those that a selector means are on each node.

::

    place, remove ─▶ log of (row, face, +1 or -1) ─▶ counts per node ─▶ counts per domain (kernel/domains.py)

A *face* is what others can tell of a task: its labels, its namespace and what it wants of company. Tasks with one face
are counted together. A count is made when it is first asked for, from the faces that the label index finds, and
follows the log from then on; so placing a task costs the same however many selectors there are.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from msgspec import Struct

from pilotage.kernel.arrays import IntArray, longer
from pilotage.model.company import Company, PreferredCompany, Selector
from pilotage.model.expression import Expression, Operator
from pilotage.model.task import Task

Field = Literal["company", "no_company", "preferred_company"]

BUDGET_BYTES = 64 * 2**20


class Face:
    """What others can tell of a task, the rows on which tasks with this face are, and which counts they enter."""

    __slots__ = ("counted_by", "labels", "namespace", "rows", "wants")

    def __init__(self, labels: Mapping[str, str], namespace: str, wants: "dict[Field, tuple[Hashable, ...]]") -> None:
        self.labels = labels
        self.namespace = namespace
        self.wants = wants
        self.rows: dict[int, int] = {}
        self.counted_by: dict[int, int] = {}


class Meant(Struct, frozen=True, cache_hash=True):
    """Tasks that every one of the selectors means."""

    selectors: tuple[Selector, ...]

    def times(self, face: Face) -> int:
        """Return how often each task with ``face`` counts: once if it is meant."""
        return int(all(selector.matches(face.labels, face.namespace) for selector in self.selectors))


class Wanting(Struct, frozen=True, cache_hash=True):
    """Tasks whose spec names ``item`` in ``field``."""

    field: Field
    item: Company | PreferredCompany

    def times(self, face: Face) -> int:
        """Return how often each task with ``face`` counts: as often as it names the item."""
        return face.wants.get(self.field, ()).count(self.item)

    @property
    def company(self) -> Company:
        """The company that is wanted, however much."""
        return self.item.company if isinstance(self.item, PreferredCompany) else self.item


Who = Meant | Wanting


class Entry(NamedTuple):
    """A change of one row: a task with ``face`` came (1) or left (-1); or the node itself changed (no face)."""

    row: int
    face: Face | None
    sign: int


class Count:
    """How many tasks of ``who`` are on each row: ``values`` int64[rows], right once `Neighbours` has handed it out."""

    __slots__ = ("number", "position", "values", "who")

    def __init__(self, number: int, who: Who) -> None:
        self.number = number
        self.who = who
        self.values: IntArray = np.zeros(0, np.int64)
        self.position = -1

    def times(self, face: Face) -> int:
        """Return how often each task with ``face`` counts; found out once per face."""
        known = face.counted_by.get(self.number)
        if known is None:
            known = face.counted_by[self.number] = self.who.times(face)
        return known


class Neighbours:
    """Faces of the tasks on all rows, the log of their changes, and the counts in use within a budget of bytes."""

    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        self.budget_bytes = budget_bytes
        self.followed = False
        """Whether tasks are entered at all: only where a plugin looks at them."""
        self.log: list[Entry] = []
        self.base = 0
        """Position of the first entry that is still in the log."""
        self.rows = 0
        self._faces: dict[tuple[Hashable, ...], Face] = {}
        self._index: dict[str, dict[str, dict[Face, None]]] = {}
        """By label key that a selector asked for, then by value: the faces that carry it."""
        self._wanting: dict[Wanting, dict[Face, None]] = {}
        self._wanted: dict[Field, dict[tuple[str, str] | None, dict[Wanting, None]]] = {}
        """By field, then by a label that a task must carry to be meant (None: cannot be told): who wants such tasks."""
        self._counts: OrderedDict[Who, Count] = OrderedDict()
        self._made = 0
        self.derived: OrderedDict[Hashable, Any] = OrderedDict()
        """What others work out of counts and keep up to date by the same log (kernel/domains.py)."""

    @property
    def end(self) -> int:
        """Position behind the newest entry of the log."""
        return self.base + len(self.log)

    # -- changes -------------------------------------------------------------------------------------------------

    def grow(self, rows: int) -> None:
        """Make room for ``rows`` rows."""
        self.rows = max(self.rows, rows)

    def add(self, row: int, task: Task, sign: int) -> None:
        """Count a task that comes to (``sign`` 1) or leaves (-1) ``row``; its own inverse."""
        if not self.followed:
            return
        spec = task.spec
        key = (task.namespace, tuple(task.labels.items()), spec.company, spec.no_company, spec.preferred_company)
        face = self._faces.get(key)
        if face is None:
            face = self._faces[key] = self._met(task)
        count = face.rows.get(row, 0) + sign
        if count:
            face.rows[row] = count
        else:
            del face.rows[row]
            if not face.rows:
                del self._faces[key]
                self._forget(face)
        self._append(Entry(row, face, sign))

    def touch(self, row: int) -> None:
        """Note that the node in ``row`` came, changed or went."""
        if self.followed:
            self._append(Entry(row, None, 0))

    def _append(self, entry: Entry) -> None:
        self.log.append(entry)
        keep = max(4096, 2 * self.rows)
        if len(self.log) > 2 * keep:
            drop = len(self.log) - keep
            del self.log[:drop]
            self.base += drop

    def _met(self, task: Task) -> Face:
        """Return a face that was not there before, entered where it can be found."""
        spec = task.spec
        wants: dict[Field, tuple[Hashable, ...]] = {}
        if spec.company:
            wants["company"] = spec.company
        if spec.no_company:
            wants["no_company"] = spec.no_company
        if spec.preferred_company:
            wants["preferred_company"] = spec.preferred_company
        face = Face(task.labels, task.namespace, wants)
        for key, by_value in self._index.items():
            value = task.labels.get(key)
            if value is not None:
                by_value.setdefault(value, {})[face] = None
        for wanting in _wantings(face):
            faces = self._wanting.get(wanting)
            if faces is None:
                faces = self._wanting[wanting] = {}
                for label in _telling_labels(wanting):
                    self._wanted.setdefault(wanting.field, {}).setdefault(label, {})[wanting] = None
            faces[face] = None
        return face

    def _forget(self, face: Face) -> None:
        for key, by_value in self._index.items():
            value = face.labels.get(key)
            if value is not None:
                del by_value[value][face]
                if not by_value[value]:
                    del by_value[value]
        for wanting in _wantings(face):
            faces = self._wanting[wanting]
            del faces[face]
            if not faces:
                del self._wanting[wanting]
                for label in _telling_labels(wanting):
                    del self._wanted[wanting.field][label][wanting]

    # -- answers -------------------------------------------------------------------------------------------------

    def count(self, who: Who) -> Count:
        """Return the count of ``who``, up to date."""
        count = self._counts.get(who)
        if count is None:
            self._made += 1
            count = self._counts[who] = Count(self._made, who)
            while len(self._counts) > 1 and 8 * self.rows * len(self._counts) > self.budget_bytes:
                self._drop(self._counts.popitem(last=False)[1])
        else:
            self._counts.move_to_end(who)
        self.refresh(count)
        return count

    def refresh(self, count: Count) -> None:
        """Bring ``count`` up to the end of the log."""
        if len(count.values) < self.rows:
            count.values = longer(count.values, self.rows, axis=0)
        end = self.end
        if count.position == end:
            return
        if count.position < self.base:
            count.values[:] = 0
            for face in self._candidates(count.who):
                if times := count.times(face):
                    for row, tasks in face.rows.items():
                        count.values[row] += times * tasks
        else:
            for row, changed, sign in self.log[count.position - self.base :]:
                if changed is not None and (times := count.times(changed)):
                    count.values[row] += sign * times
        count.position = end

    def wanting(self, field: Field, labels: Mapping[str, str], namespace: str) -> list[Wanting]:
        """Return whatever tasks on any node name in ``field`` and that means a task with these labels."""
        wanted = self._wanted.get(field)
        if not wanted:
            return []
        keys: list[tuple[str, str] | None] = [*labels.items(), None]
        return [
            wanting
            for key in keys
            for wanting in wanted.get(key, ())
            if (selector := wanting.company.selector) is not None and selector.matches(labels, namespace)
        ]

    @property
    def counts(self) -> list[Count]:
        """The counts in use, the least recently used first."""
        return list(self._counts.values())

    def _candidates(self, who: Who) -> Iterable[Face]:
        """Return faces among which are all of ``who``."""
        if isinstance(who, Wanting):
            return list(self._wanting.get(who, ()))
        for selector in who.selectors:
            for expression in selector.expressions:
                if expression.operator == Operator.IN:
                    return self._carrying(expression)
        return list(self._faces.values())

    def _carrying(self, expression: Expression) -> list[Face]:
        by_value = self._index.get(expression.key)
        if by_value is None:
            by_value = self._index[expression.key] = {}
            for face in self._faces.values():
                value = face.labels.get(expression.key)
                if value is not None:
                    by_value.setdefault(value, {})[face] = None
        return [face for value in dict.fromkeys(expression.values) for face in by_value.get(value, ())]

    def _drop(self, count: Count) -> None:
        for face in self._faces.values():
            face.counted_by.pop(count.number, None)


def _wantings(face: Face) -> list[Wanting]:
    return [Wanting(field, item) for field, items in face.wants.items() for item in dict.fromkeys(items)]  # type: ignore[arg-type]


def _telling_labels(wanting: Wanting) -> list[tuple[str, str] | None]:
    """Return labels of which a task that is meant carries exactly one, or [None] if they cannot be told."""
    selector = wanting.company.selector
    for expression in selector.expressions if selector is not None else ():
        if expression.operator == Operator.IN:
            return [(expression.key, value) for value in dict.fromkeys(expression.values)]
    return [None]
