"""All kinds of tasks in use, and the memos that they share, within one budget of bytes."""

from collections import OrderedDict
from collections.abc import Hashable

from pilotage.engine.kind import Key, Kind
from pilotage.engine.memo import FilterMemo, ScoreMemo
from pilotage.kernel.columns import Columns
from pilotage.kernel.policy import Policy
from pilotage.model.task import Task, TaskSpec


class Kinds:
    """All kinds in use; the least recently used goes first once their arrays pass a budget of bytes."""

    def __init__(self, policy: Policy, columns: Columns, budget_bytes: int) -> None:
        self.policy = policy
        self.columns = columns
        self.budget_bytes = budget_bytes
        self._by_spec: dict[TaskSpec, Kind] = {}
        self._by_key: OrderedDict[Key, Kind] = OrderedDict()
        self._filter_memos: dict[tuple[int, Hashable], FilterMemo] = {}
        self._score_memos: dict[tuple[int, Hashable], ScoreMemo] = {}
        self._filters = [f for f in policy.filters if f.depends == "row"]
        self._scorers = [(s, weight) for s, weight in policy.scorers if s.depends == "row"]
        self._made = 0
        self._bytes_per_row = 0

    def __len__(self) -> int:
        return len(self._by_key)

    def of(self, task: Task) -> Kind:
        """Return the kind of ``task``, making it if it is new."""
        kind = self._by_spec.get(task.spec)
        if kind is None:
            key = (*(f.fragment(task) for f in self._filters), *(s.fragment(task) for s, _ in self._scorers))
            kind = self._by_key.get(key) or self._make(key)
            kind.specs.append(task.spec)
            self._by_spec[task.spec] = kind
        self._by_key.move_to_end(kind.key)
        return kind

    @property
    def evaluated(self) -> int:
        """Rows that plugins of the kinds in use were asked for so far: the work done, for tests of complexity."""
        return sum(memo.evaluated for memo in self._memos)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays kept, shared ones once, as long as the columns are now."""
        return self._bytes_per_row * self.columns.rows

    @property
    def _memos(self) -> list[FilterMemo | ScoreMemo]:
        return [*self._filter_memos.values(), *self._score_memos.values()]

    def _make(self, key: Key) -> Kind:
        while len(self._by_key) > 1 and self.nbytes > self.budget_bytes:
            self._drop(next(iter(self._by_key.values())))
        filters = [
            self._filter_memos.get((i, fragment)) or FilterMemo(i, plugin, fragment)
            for i, (plugin, fragment) in enumerate(zip(self._filters, key, strict=False))
            if fragment is not None
        ]
        scorers = [
            self._score_memos.get((i, fragment)) or ScoreMemo(i, scorer, fragment, weight)
            for i, ((scorer, weight), fragment) in enumerate(zip(self._scorers, key[len(self._filters) :], strict=True))
            if fragment is not None
        ]
        self._filter_memos.update((memo.at, memo) for memo in filters)
        self._score_memos.update((memo.at, memo) for memo in scorers)
        self._made += 1
        kind = self._by_key[key] = Kind(self._made, key, self.policy, filters, scorers)
        self._bytes_per_row += kind.bytes_per_row
        for memo in kind.memos:
            self._bytes_per_row += 0 if memo.users else memo.values.itemsize
            memo.users += 1
        return kind

    def _drop(self, kind: Kind) -> None:
        del self._by_key[kind.key]
        for spec in kind.specs:
            del self._by_spec[spec]
        self._bytes_per_row -= kind.bytes_per_row
        for mask in kind.filters:
            if self._left(mask):
                del self._filter_memos[mask.at]
        for memo in kind.scorers:
            if self._left(memo):
                del self._score_memos[memo.at]

    def _left(self, memo: FilterMemo | ScoreMemo) -> bool:
        """Note that a kind has left ``memo``; return whether it was the last one."""
        memo.users -= 1
        if memo.users:
            return False
        self._bytes_per_row -= memo.values.itemsize
        return True
