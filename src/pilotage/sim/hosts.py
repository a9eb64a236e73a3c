"""Nodes in use: how many, what is stranded on them, and how full each is over time."""

from collections.abc import Iterable, Sequence

import numpy as np

from pilotage.engine.engine import Engine
from pilotage.kernel.arrays import FloatArray, IntArray
from pilotage.model.task import Task
from pilotage.sim.result import HeatGroup

_KINDS = ("cpu", "memory", "gpu")


class Hosts:
    """Follows the rows that change. All nodes must be there when it is made.

    The mean CPU, memory and GPU of ``tasks`` is the shape of an average one. What is free on a node beyond as many of
    those as fit is stranded: it lacks another amount beside it.
    """

    def __init__(self, engine: Engine, tasks: Sequence[Task]) -> None:
        self._columns = columns = engine.state.columns
        self._at = [columns.resources[kind] for kind in _KINDS]
        self._capacity: IntArray = columns.capacity[self._at, : columns.n].copy()
        average = [sum(task.demand.get(kind, 0) for task in tasks) / max(len(tasks), 1) for kind in _KINDS]
        self._typical: FloatArray = np.where(self._capacity.any(axis=1), average, 0.0)
        self._used: IntArray = np.zeros_like(self._capacity)
        self._busy = np.zeros(columns.n, np.bool_)
        self._stranded: FloatArray = np.zeros(self._capacity.shape)
        self._since = np.zeros(columns.n)
        self._amount_time: FloatArray = np.zeros(self._capacity.shape)
        self.in_use = 0
        self.most = 0

    def look_at(self, rows: Iterable[int], now: float) -> None:
        """Take note of rows that changed at ``now``."""
        changed = np.array(sorted(set(rows)), np.int64)
        if not changed.size:
            return
        columns = self._columns
        self._amount_time[:, changed] += self._used[:, changed] * (now - self._since[changed])
        self._since[changed] = now
        used = columns.used[np.ix_(self._at, changed)]
        self._used[:, changed] = used
        busy = columns.used[columns.resources["tasks"], changed] > 0
        self.in_use += int(np.count_nonzero(busy)) - int(np.count_nonzero(self._busy[changed]))
        self.most = max(self.most, self.in_use)
        self._busy[changed] = busy
        self._stranded[:, changed] = self._stranding(self._capacity[:, changed] - used) * busy

    def _stranding(self, free: IntArray) -> FloatArray:
        needed = self._typical > 0
        if not needed.any():
            return np.zeros(free.shape)
        fits = (np.maximum(free[needed], 0) / self._typical[needed, None]).min(axis=0)
        stranded: FloatArray = np.maximum(np.maximum(free, 0) - fits * self._typical[:, None], 0.0)
        return stranded * needed[:, None]

    def stranded_pct(self, kind: str) -> float:
        """Return what is stranded now of one amount, in % of the cluster's."""
        i = _KINDS.index(kind)
        whole = self._capacity[i].sum()
        return float(100 * self._stranded[i].sum() / whole) if whole else 0.0

    @property
    def fewest(self) -> int:
        """The fewest nodes that could hold what is in use now, were they all like the largest."""
        largest = self._capacity.max(axis=1)
        used = self._used.sum(axis=1)
        return max(int(-(-used[i] // largest[i])) for i in range(len(_KINDS)) if largest[i])

    def heat(self, now: float | None = None) -> tuple[HeatGroup, ...]:
        """Return how full each node is, or was on average from 0 to ``now``, by the shape of the nodes."""
        amounts: FloatArray = self._used.astype(np.float64)
        if now:
            amounts = (self._amount_time + self._used * (now - self._since)) / now
        columns = self._columns
        groups: dict[tuple[str, int, int], list[int]] = {}
        for row in range(columns.n):
            gpus = int(columns.gpu_count[row])
            kind = 2 if gpus else 0
            whole = self._capacity[kind, row]
            shape = (columns.models.values[columns.gpu_model[row]], gpus, int(self._capacity[0, row]))
            groups.setdefault(shape, []).append(round(float(100 * amounts[kind, row] / whole)) if whole else 0)
        ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
        return tuple(HeatGroup(_shape(*shape), tuple(sorted(cells, reverse=True))) for shape, cells in ordered)


def _shape(model: str, gpus: int, cpu: int) -> str:
    cores = f"{cpu / 1000:g} cores"
    return f"{gpus} × {model or 'GPU'}, {cores}" if gpus else cores
