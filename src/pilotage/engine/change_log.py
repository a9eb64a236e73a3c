"""The change log: which rows changed in which column group, in order. Positions only rise."""

import numpy as np

from pilotage.kernel.arrays import IntArray
from pilotage.kernel.plugin import Group


class Changed:
    """Rows that changed, each once, in the order of their first changes."""

    __slots__ = ("_array", "rows")

    def __init__(self, rows: list[int]) -> None:
        self.rows = rows
        self._array: IntArray | None = None

    @property
    def array(self) -> IntArray:
        """The same rows, rising, int64; worked out once for all who ask."""
        if self._array is None:
            self._array = np.array(sorted(self.rows), np.int64)
        return self._array


Position = list[int]
"""How far a consumer has read, one entry per group that it reads."""


class ChangeLog:
    """One list of rows per column group; a consumer asks for what came after its position.

    ``version`` counts all entries, so it rises with every change of anything. Old entries are dropped once a group
    holds more than ``keep``; a consumer that is further behind is told to look at everything.
    """

    def __init__(self, keep: int = 4096) -> None:
        self.version = 0
        self.keep = keep
        self.last: tuple[int, tuple[int, ...]] | None = None
        """The newest entry, (row, groups); None if it was one for all rows."""
        self.ends = [0] * len(Group)
        """Position behind the newest entry of each group."""
        self._rows: list[list[int]] = [[] for _ in Group]
        self._base = [0] * len(Group)

    def append(self, row: int, groups: tuple[int, ...]) -> None:
        """Record that ``row`` changed in each of ``groups``."""
        for group in groups:
            rows = self._rows[group]
            rows.append(row)
            self.ends[group] += 1
            if len(rows) > 2 * self.keep:
                drop = len(rows) - self.keep
                del rows[:drop]
                self._base[group] += drop
        self.last = (row, groups)
        self.version += 1

    def append_all(self, group: int) -> None:
        """Record that every row changed in ``group``: whoever has read less must look at everything."""
        self.ends[group] += 1
        self._base[group] = self.ends[group]
        self._rows[group].clear()
        self.last = None
        self.version += 1

    def position(self, groups: tuple[int, ...]) -> Position:
        """Return the position of a consumer of ``groups`` that has read everything."""
        ends = self.ends
        return [ends[group] for group in groups]

    def since(self, groups: tuple[int, ...], position: Position) -> Changed | None:
        """Return the rows changed after ``position``, or None for all, and move ``position`` to now."""
        changed: list[int] = []
        everything = False
        for i, group in enumerate(groups):
            seen, end = position[i], self.ends[group]
            if seen == end:
                continue
            base = self._base[group]
            if seen < base:
                everything = True
            else:
                changed += self._rows[group][seen - base :]
            position[i] = end
        return None if everything else Changed(list(dict.fromkeys(changed)))
