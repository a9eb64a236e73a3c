"""A run: equal tasks decided one after another.

Between two of them one row changed, the one that took the first. So the rows that are best are kept from one to the
next, lined up for the tie rule, and only that row is asked about again. The kind itself catches up when it is next
needed.
"""

from pilotage.engine.kind import Choice, Kind
from pilotage.engine.state import State
from pilotage.kernel.arrays import IntArray, UintArray
from pilotage.kernel.hashing import key_hash, random_numbers
from pilotage.kernel.ties import Tie

TIES: tuple[Tie, ...] = ("first", "seeded-random")
"""The tie rules of a run. In ``heap`` the order among equals depends on which rows are feasible, so it moves."""


class Run:
    """Decides as ``kind`` would, as long as nothing happens but that its own choices are placed.

    ``groups``: the column groups that a placement of its tasks changes.
    """

    def __init__(self, kind: Kind, groups: tuple[int, ...], state: State, seed: int) -> None:
        kind.refresh(state)
        self.kind = kind
        self._state = state
        self._seed = seed
        self._filters, rescored, _ = kind.reading(groups)
        self._moving = {id(memo) for memo in rescored}
        self._total = kind.total[: state.columns.n].copy()
        self._count = kind.count
        self._best: float = kind.lowest
        self._leaders: _InOrder | _Drawn = _InOrder([])
        """The rows that have the best total."""
        self._row = -1
        """The row that was chosen last, until it was asked about again."""

    def choose(self, task_id: str) -> Choice:
        """Return the best row for the next task; ``row`` is -1 when none is feasible."""
        if self._row >= 0:
            self._ask_again()
        if not self._leaders.rows:
            if not self._count:
                return Choice(-1, 0, 0)
            self._best = self._total.max().item()
            self._leaders = self._line_up((self._total == self._best).nonzero()[0])
        self._row = row = self._leaders.choose(task_id)
        return Choice(row, self._best, self._count)

    def _line_up(self, rows: IntArray) -> "_InOrder | _Drawn":
        """Make ready to choose among ``rows`` (rising) by the tie rule."""
        columns = self._state.columns
        if self.kind.tie == "seeded-random":
            return _Drawn(rows.tolist(), columns.name_hash.take(rows), self._seed)
        ordered = rows if self._state.in_order else rows[columns.order.take(rows).argsort()]
        return _InOrder(ordered[::-1].tolist())

    def _ask_again(self) -> None:
        """Work out the total of the row that was placed on, and where it stands now."""
        row, columns = self._row, self._state.columns
        total: float = 0
        for asked in self._filters:
            asked.evaluated += 1
            if not asked.plugin.mask_row(asked.fragment, columns, row):
                total = self.kind.lowest
                self._count -= 1
                break
        else:
            for memo in self.kind.scorers:
                if id(memo) in self._moving:
                    memo.evaluated += 1
                    total += memo.weight * memo.plugin.score_row(memo.fragment, columns, row)
                else:
                    total += memo.weight * memo.values.item(row)
        self._total[row] = total
        self._row = -1
        if total > self._best:
            self._best = total
            self._leaders = _InOrder([row])
        elif total < self._best:
            self._leaders.drop()


class _InOrder:
    """Equals of whom the first in the order of the nodes is taken; ``rows`` in that order, the first one last."""

    def __init__(self, rows: list[int]) -> None:
        self.rows = rows

    def choose(self, task_id: str) -> int:
        return self.rows[-1]

    def drop(self) -> None:
        """The one chosen last is not among the best any more."""
        self.rows.pop()


class _Drawn:
    """Equals among whom the seed draws; ``rows`` and their ``hashes`` without gaps."""

    def __init__(self, rows: list[int], hashes: UintArray, seed: int) -> None:
        self.rows = rows
        self._hashes = hashes
        self._seed = seed
        self._at = 0

    def choose(self, task_id: str) -> int:
        left = len(self.rows)
        if left > 1:
            self._at = random_numbers(key_hash(self._seed, task_id), self._hashes[:left]).argmax().item()
        else:
            self._at = 0
        return self.rows[self._at]

    def drop(self) -> None:
        """The one chosen last is not among the best any more: the last row takes its place."""
        self.rows[self._at] = self.rows[-1]
        self.rows.pop()
        self._hashes[self._at] = self._hashes[len(self.rows)]
