"""A run: equal tasks decided one after another, among whose best nodes the seed chooses.

Between two of them one row changed, the one that took the first. So the rows that are best, and their hashes, are kept
from one to the next, and only that row is asked about again. The kind itself catches up when it is next needed.
"""

from pilotage.engine.kind import Choice, Kind
from pilotage.engine.state import State
from pilotage.kernel.hashing import key_hash, random_numbers
from pilotage.kernel.ties import Tie

TIE: Tie = "seeded-random"
"""The tie rule of a run: it draws among all rows that are best, while the others keep their first ones in order."""


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
        self._left = 0
        """How many rows have the best total: so many of ``_rows`` and of their ``_hashes``."""
        self._at = -1
        """Where among them the row stands that was chosen last, until it was asked about again."""

    def choose(self, task_id: str) -> Choice:
        """Return the best row for the next task; ``row`` is -1 when none is feasible."""
        if self._at >= 0:
            self._ask_again()
        if not self._left:
            if not self._count:
                return Choice(-1, 0, 0)
            self._best = self._total.max().item()
            self._rows = (self._total == self._best).nonzero()[0]
            self._hashes = self._state.columns.name_hash.take(self._rows)
            self._left = len(self._rows)
        self._at = 0
        if self._left > 1:
            self._at = random_numbers(key_hash(self._seed, task_id), self._hashes[: self._left]).argmax().item()
        return Choice(self._rows.item(self._at), self._best, self._count)

    def _ask_again(self) -> None:
        """Work out the total of the row that was placed on, and where it stands now."""
        at, row = self._at, self._rows.item(self._at)
        columns = self._state.columns
        if all(memo.plugin.mask_row(memo.fragment, columns, row) for memo in self._filters):
            total: float = 0
            for memo in self.kind.scorers:
                moves = id(memo) in self._moving
                raw = memo.plugin.score_row(memo.fragment, columns, row) if moves else memo.values.item(row)
                total += memo.weight * raw
        else:
            total = self.kind.lowest
            self._count -= 1
        self._total[row] = total
        if total > self._best:
            self._best, self._left = total, 1
            self._rows[0], self._hashes[0] = row, self._hashes[at]
        elif total < self._best:
            self._left -= 1
            self._rows[at], self._hashes[at] = self._rows[self._left], self._hashes[self._left]
        self._at = -1
