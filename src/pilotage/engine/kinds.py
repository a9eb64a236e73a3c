"""All kinds of tasks in use, and the memos that they share, within one budget of bytes.

The first task of a kind is a guest: it is decided on arrays that the next guest uses again. From its second task on
a kind is kept. So tasks that are one of a kind neither pay for memory nor push out what others come back to.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from pilotage.engine.kind import Key, Kind
from pilotage.engine.memo import FilterMemo, ScoreMemo
from pilotage.kernel.columns import Columns
from pilotage.kernel.policy import Policy
from pilotage.model.task import Task, TaskSpec

GUESTS_KNOWN = 4096
"""Guests that are known when they come again; with more of them in between a kind is a guest once more."""

M = TypeVar("M", bound=FilterMemo | ScoreMemo)


class Shelf(Generic[M]):
    """The memos of a policy's filters, or of its scorers: those that kinds share, and one a plugin for the guests."""

    def __init__(self, new: Callable[[int, Hashable], M]) -> None:
        self.kept: dict[tuple[int, Hashable], M] = {}
        self.spare: dict[int, M] = {}
        self._new = new

    def find(self, key: Sequence[Hashable], guest: bool) -> list[M]:
        """Return a memo for each fragment of ``key`` that is not None, one per plugin."""
        return [self._of(i, fragment, guest) for i, fragment in enumerate(key) if fragment is not None]

    def _of(self, i: int, fragment: Hashable, guest: bool) -> M:
        memo = self.kept.get((i, fragment))
        if memo is not None:
            return memo
        spare = self.spare.get(i) if guest else None
        if spare is not None:
            if spare.fragment != fragment:
                spare.turn_to(fragment)
            return spare
        memo = self._new(i, fragment)
        if guest:
            self.spare[i] = memo
        return memo

    @property
    def evaluated(self) -> int:
        """Rows that the plugins of these memos were asked for so far."""
        return sum(memo.evaluated for memo in (*self.kept.values(), *self.spare.values()))


class Kinds:
    """All kinds in use; the least recently used goes first once their arrays pass a budget of bytes."""

    def __init__(self, policy: Policy, columns: Columns, budget_bytes: int) -> None:
        self.policy = policy
        self.columns = columns
        self.budget_bytes = budget_bytes
        self._by_spec: dict[TaskSpec, Kind] = {}
        self._by_key: OrderedDict[Key, Kind] = OrderedDict()
        filters = [f for f in policy.filters if f.depends == "row"]
        scorers = [(s, weight) for s, weight in policy.scorers if s.depends == "row"]
        self._filter_memos = Shelf(lambda i, fragment: FilterMemo(i, filters[i], fragment))
        self._score_memos = Shelf(lambda i, fragment: ScoreMemo(i, scorers[i][0], fragment, scorers[i][1]))
        self._fragment_of = [plugin.fragment for plugin in (*filters, *(s for s, _ in scorers))]
        self._filter_count = len(filters)
        self._guests: dict[Key, int] = {}
        self._guest: Kind | None = None
        self._numbers = 0
        self._bytes_per_row = 0

    def __len__(self) -> int:
        return len(self._by_key)

    def of(self, task: Task) -> Kind:
        """Return the kind of ``task``, making it if it is new; it is good until the next call."""
        kind = self._by_spec.get(task.spec)
        if kind is None:
            key = tuple([fragment_of(task) for fragment_of in self._fragment_of])
            kind = self._by_key.get(key)
            if kind is None:
                number = self._guests.pop(key, 0)
                if not number:
                    return self._welcome(key)
                kind = self._keep(self._made(key, number, guest=False))
            kind.specs.append(task.spec)
            self._by_spec[task.spec] = kind
        self._by_key.move_to_end(kind.key)
        return kind

    @property
    def evaluated(self) -> int:
        """Rows that plugins were asked for so far, of kinds in use and of guests: the work, for tests of complexity."""
        return self._filter_memos.evaluated + self._score_memos.evaluated

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays kept, shared ones once, as long as the columns are now; guests use the same few again."""
        return self._bytes_per_row * self.columns.rows

    def _welcome(self, key: Key) -> Kind:
        """Return a kind that is not kept; it takes over the arrays of the guest before."""
        if len(self._guests) >= GUESTS_KNOWN:
            self._guests.clear()
        self._numbers += 1
        self._guests[key] = self._numbers
        kind = self._made(key, self._numbers, guest=True)
        if self._guest is not None:
            kind.feasible, kind.total = self._guest.feasible, self._guest.total
        self._guest = kind
        return kind

    def _made(self, key: Key, number: int, guest: bool) -> Kind:
        """Return a kind of the memos that are kept; for fragments that nobody has, of the guests' or of new ones."""
        filters = self._filter_memos.find(key[: self._filter_count], guest)
        scorers = self._score_memos.find(key[self._filter_count :], guest)
        return Kind(number, key, self.policy, filters, scorers)

    def _keep(self, kind: Kind) -> Kind:
        # Memos that only dropped kinds used go with them, so the kind must hold its own first.
        self._by_key[kind.key] = kind
        self._filter_memos.kept.update((memo.at, memo) for memo in kind.filters)
        self._score_memos.kept.update((memo.at, memo) for memo in kind.scorers)
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
                del self._filter_memos.kept[mask.at]
        for memo in kind.scorers:
            if self._left(memo):
                del self._score_memos.kept[memo.at]

    def _left(self, memo: FilterMemo | ScoreMemo) -> bool:
        """Note that a kind has left ``memo``; return whether it was the last one."""
        memo.users -= 1
        if memo.users:
            return False
        self._bytes_per_row -= memo.values.itemsize
        return True
