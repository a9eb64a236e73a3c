"""All kinds of tasks in use, and the memos that they share, within one budget of bytes.

The first task of a kind is a guest: it is decided on arrays that the next guest uses again. From its second task on
a kind is kept. So tasks that are one of a kind neither pay for memory nor push out what others come back to.
"""

from collections import OrderedDict
from collections.abc import Hashable

from pilotage.engine.kind import Key, Kind
from pilotage.engine.memo import FilterMemo, ScoreMemo
from pilotage.kernel.columns import Columns
from pilotage.kernel.policy import Policy
from pilotage.model.task import Task, TaskSpec

Memos = FilterMemo | ScoreMemo

_GUESTS_KNOWN = 4096
"""Guests that are known when they come again; with more of them in between a kind is a guest once more."""


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
        self._guests: dict[Key, int] = {}
        self._guest: Kind | None = None
        self._spare: dict[int, Memos] = {}
        """By plugin of ``(*filters, *scorers)``, the memo whose array the next guest takes over."""
        self._numbers = 0
        self._evaluated_for_guests = 0
        self._bytes_per_row = 0

    def __len__(self) -> int:
        return len(self._by_key)

    def of(self, task: Task) -> Kind:
        """Return the kind of ``task``, making it if it is new; it is good until the next call."""
        kind = self._by_spec.get(task.spec)
        if kind is None:
            key = (*(f.fragment(task) for f in self._filters), *(s.fragment(task) for s, _ in self._scorers))
            kind = self._by_key.get(key)
            if kind is None:
                number = self._guests.pop(key, 0)
                if not number:
                    return self._welcome(key)
                kind = self._keep(self._made(key, number))
            kind.specs.append(task.spec)
            self._by_spec[task.spec] = kind
        self._by_key.move_to_end(kind.key)
        return kind

    @property
    def evaluated(self) -> int:
        """Rows that plugins were asked for so far, of kinds in use and of guests: the work, for tests of complexity."""
        return self._evaluated_for_guests + sum(memo.evaluated for memo in (*self._memos, *self._spare.values()))

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays kept, shared ones once, as long as the columns are now; guests use the same few again."""
        return self._bytes_per_row * self.columns.rows

    @property
    def _memos(self) -> list[Memos]:
        return [*self._filter_memos.values(), *self._score_memos.values()]

    def _welcome(self, key: Key) -> Kind:
        """Return a kind that is not kept; it takes over the arrays of the guest before."""
        if len(self._guests) >= _GUESTS_KNOWN:
            self._guests.clear()
        self._numbers += 1
        self._guests[key] = self._numbers
        kind = self._made(key, self._numbers)
        if self._guest is not None:
            kind.feasible, kind.total = self._guest.feasible, self._guest.total
        self._guest = kind
        for offset, memos in ((0, kind.filters), (len(self._filters), kind.scorers)):
            for memo in memos:
                if not memo.users:
                    spare = self._spare.get(offset + memo.at[0])
                    if spare is not None:
                        self._evaluated_for_guests += spare.evaluated
                        memo.values = spare.values
                    self._spare[offset + memo.at[0]] = memo
        return kind

    def _made(self, key: Key, number: int) -> Kind:
        """Return a kind of the memos that are kept and, for fragments that nobody has, of new ones."""
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
        return Kind(number, key, self.policy, filters, scorers)

    def _keep(self, kind: Kind) -> Kind:
        # Memos that only dropped kinds used go with them, so the kind must hold its own first.
        self._by_key[kind.key] = kind
        self._filter_memos.update((memo.at, memo) for memo in kind.filters)
        self._score_memos.update((memo.at, memo) for memo in kind.scorers)
        self._bytes_per_row += kind.bytes_per_row
        for memo in kind.memos:
            self._bytes_per_row += 0 if memo.users else memo.values.itemsize
            memo.users += 1
        while len(self._by_key) > 1 and self.nbytes > self.budget_bytes:
            self._drop(next(iter(self._by_key.values())))
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

    def _left(self, memo: Memos) -> bool:
        """Note that a kind has left ``memo``; return whether it was the last one."""
        memo.users -= 1
        if memo.users:
            return False
        self._bytes_per_row -= memo.values.itemsize
        return True
