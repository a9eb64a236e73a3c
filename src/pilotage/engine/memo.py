"""Remembered answers: one plugin's mask or raw scores for one fragment, over all rows, kept fresh by the change log.

An answer is asked for again only for the rows that changed, in the column groups that the plugin reads, since it was
last looked at. A few rows take the plugin's scalar path, many the vector path; both give the same bits.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from pilotage.engine.change_log import Changed
from pilotage.engine.state import State
from pilotage.kernel.arrays import BoolArray, ScoreArray
from pilotage.kernel.nodes import Nodes, Rows
from pilotage.kernel.plugin import Filter, Scorer, groups_of

FEW = 8
"""Up to this many changed rows the scalar path is faster (measured: one row 1 to 3 us, a vector call 10 to 40)."""

Values = TypeVar("Values", bound=NDArray[np.generic])


class Memo(Generic[Values]):
    """One plugin's answers for one fragment: ``values[row]``, right for the state version ``version``."""

    __slots__ = ("at", "evaluated", "few", "fragment", "groups", "position", "users", "values", "version")

    def __init__(
        self, plugin_number: int, reads: tuple[str, ...], fragment: Hashable, few: int, values: Values
    ) -> None:
        self.at = (plugin_number, fragment)
        self.fragment = fragment
        self.groups = groups_of(reads)
        self.few = few
        self.values = values
        self.position = [-1] * len(self.groups)
        self.version = -1
        self.users = 0
        self.evaluated = 0
        """Rows asked for so far: the work done, for tests of complexity."""

    def refresh(self, state: State) -> None:
        """Ask again for the rows that changed."""
        if self.version == state.log.version:
            return
        if len(self.values) < state.columns.rows:
            self.values = np.zeros(state.columns.rows, self.values.dtype)  # type: ignore[assignment]
            self.forget()
        if self.version < 0:
            self._learn(state, None)
            self.position = state.log.position(self.groups)
        else:
            self._learn(state, state.log.since(self.groups, self.position))

    def follow(self, state: State, changed: Changed | None, since: int) -> None:
        """`refresh` when ``changed`` holds all rows that changed in this memo's groups after version ``since``."""
        if changed is None or self.version < since or len(self.values) < state.columns.rows:
            self.refresh(state)
        elif self.version != state.log.version:
            self._learn(state, changed)
            self.position = state.log.position(self.groups)

    def step(self, state: State, row: int) -> None:
        """`refresh` when all that happened since the version before is that ``row`` changed."""
        log = state.log
        if self.version != log.version - 1 or not self.few or len(self.values) < state.columns.rows:
            self.refresh(state)
            return
        self.values[row] = self.answer_row(state, row)
        self.evaluated += 1
        self.version = log.version
        self.position = log.position(self.groups)

    def turn_to(self, fragment: Hashable) -> None:
        """Answer for another fragment from now on, in the same array."""
        self.at = (self.at[0], fragment)
        self.fragment = fragment
        self.forget()

    def forget(self) -> None:
        """Trust no answer any more: the next refresh asks for every row."""
        self.version = -1
        self.position = [-1] * len(self.groups)

    def _learn(self, state: State, changed: Changed | None) -> None:
        try:
            self._ask(state, changed)
        except BaseException:
            self.forget()
            raise
        self.version = state.log.version

    def _ask(self, state: State, changed: Changed | None) -> None:
        columns = state.columns
        if changed is not None and len(changed.rows) <= self.few:
            self.evaluated += len(changed.rows)
            for row in changed.rows:
                self.values[row] = self.answer_row(state, row)
        elif changed is None or len(changed.rows) * 4 > columns.n:
            self.evaluated += columns.n
            for nodes in Nodes.blocks(columns):
                self.values[nodes.rows] = self.answer(nodes)
        elif changed.rows:
            self.evaluated += len(changed.rows)
            self.values[changed.array] = self.answer(Nodes(columns, changed.array))

    def answer(self, nodes: Nodes) -> Values:
        """Return fresh answers for ``nodes``."""
        raise NotImplementedError

    def answer_row(self, state: State, row: int) -> bool | float:
        """Return the fresh answer for one row."""
        raise NotImplementedError


class FilterMemo(Memo[BoolArray]):
    """A filter's mask for one fragment."""

    __slots__ = ("plugin",)

    def __init__(self, number: int, plugin: Filter, fragment: Hashable) -> None:
        few = FEW if type(plugin).mask_row is not Filter.mask_row else 0
        super().__init__(number, plugin.reads, fragment, few, np.zeros(0, np.bool_))
        self.plugin = plugin

    def answer(self, nodes: Nodes) -> BoolArray:
        return self.plugin.mask(self.fragment, nodes)

    def answer_row(self, state: State, row: int) -> bool:
        return self.plugin.mask_row(self.fragment, state.columns, row)


class ScoreMemo(Memo[ScoreArray]):
    """A scorer's raw scores for one fragment, with its weight in the policy."""

    __slots__ = ("normaliser", "plugin", "weight")

    def __init__(self, number: int, plugin: Scorer, fragment: Hashable, weight: int) -> None:
        few = FEW if type(plugin).score_row is not Scorer.score_row else 0
        values: ScoreArray = np.zeros(0, f"i{plugin.bits // 8}" if plugin.exact else "f8")
        super().__init__(number, plugin.reads, fragment, few, values)
        self.plugin = plugin
        self.normaliser = plugin.normaliser
        self.weight = weight

    def raw(self, rows: Rows) -> ScoreArray:
        """Return the raw scores of some rows as int64 or float64, whatever they are remembered in."""
        values: ScoreArray = self.values[rows]
        return values if values.dtype.itemsize == 8 else values.astype(np.int64)

    def answer(self, nodes: Nodes) -> ScoreArray:
        return self.plugin.score(self.fragment, nodes)

    def answer_row(self, state: State, row: int) -> float:
        return self.plugin.score_row(self.fragment, state.columns, row)
