"""What a GPU remainder is worth, and how much idle GPU a node's CPU can not feed (this project's placement rule).

Both are read off the expected workload alone. A remainder of r thousandths is worth what the pods that still fit it
would cost when the whole mix is packed well: the dual prices of the cutting-stock problem of the mix's GPU shares.
Idle GPU is stranded, in part, where the CPU left beside it is less than the mix asks for per GPU.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from pilotage.kernel.arrays import FloatArray, IntArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.knapsack import knapsack
from pilotage.model.amounts import WHOLE_GPU
from pilotage.model.workload import Workload

HEADROOM = 0.9
"""An untouched node never counts as stranded: its own ratio of CPU to GPUs, times this, bounds the mix's."""

OPENING = 100
"""Thousandths of a GPU that breaking a whole one for a share costs more, where tasks leave again.

Where nothing leaves, every remainder is filled in the end. Where tasks come and go, whole GPUs are what runs out.
"""

MOST = WHOLE_GPU + OPENING
"""What a share costs at most; also where no GPU fits."""

_UNIT = 10
"""Thousandths of a GPU in one unit of the knapsack; shares are rounded up, remainders down."""
_CAPACITY = WHOLE_GPU // _UNIT
_TOLERANCE = 1e-7
_MOST_ROUNDS = 10_000


class Losses(NamedTuple):
    """The worth that a share takes from each remainder 0 .. 1000; ``MOST`` where it does not fit."""

    column: IntArray
    """int64[1001], for many remainders at once."""
    numbers: list[int]
    """The same for a few."""


class Worth:
    """The expected workload, compiled: ``worth`` int64[1001] by remainder; ``cpu_per_gpu`` in milli per GPU.

    ``opening``: what breaking a whole GPU costs besides. Without a workload a remainder is worth itself, and a node's
    own ratio alone bounds the CPU per GPU.
    """

    def __init__(self, workload: Workload | None) -> None:
        self.opening = OPENING if workload is not None and workload.leaves else 0
        if workload is None:
            self.cpu_per_gpu = math.inf
            self._set(list(range(WHOLE_GPU + 1)))
            return
        parts = [(spec, weight) for spec, weight in workload.parts if spec.gpus]
        gpu = sum(weight * spec.gpus * spec.gpu_share for spec, weight in parts)
        cpu = sum(weight * spec.demand.get("cpu", 0) for spec, weight in parts)
        self.cpu_per_gpu = WHOLE_GPU * cpu / gpu if gpu else 0.0
        demand: dict[int, int] = {}
        for spec, weight in parts:
            if spec.gpu_share < WHOLE_GPU:
                demand[spec.gpu_share] = demand.get(spec.gpu_share, 0) + weight
        self._set(worth_table(demand))

    def _set(self, table: list[int]) -> None:
        self.worth: IntArray = np.array(table, np.int64)
        self._losses: dict[int, Losses] = {}

    def losses(self, share: int) -> Losses:
        """Return what a share of a GPU, in thousandths, takes from the worth of each remainder."""
        found = self._losses.get(share)
        if found is None:
            column = np.full(WHOLE_GPU + 1, MOST)
            column[share:] = self.worth[share:] - self.worth[: WHOLE_GPU + 1 - share]
            column[WHOLE_GPU] += self.opening
            found = self._losses[share] = Losses(column, column.tolist())
        return found

    def limits(self, own: FloatArray) -> FloatArray:
        """Return the CPU per GPU, in milli, below which nodes with such ratios of their own strand idle GPUs, [n]."""
        limits: FloatArray = np.minimum(own, self.cpu_per_gpu)
        return limits


@lru_cache(maxsize=64)
def worth_of(workload: Workload | None) -> Worth:
    """Return the compiled form of a workload; the same one for the same workload."""
    return Worth(workload)


def stranded(cpu: IntArray, gpu: IntArray, limits: FloatArray) -> FloatArray:
    """Return the stranded part of ``gpu`` idle thousandths beside ``cpu`` free milli, float64[..., n].

    gpu x max(0, 1 - 1000 cpu / (gpu x limit))^3: nothing while the CPU suffices, all of it when none is left.
    """
    need = gpu * limits
    some = need > 0
    lacking = 1.0 - WHOLE_GPU * np.maximum(cpu, 0) / np.where(some, need, 1.0)
    np.maximum(lacking, 0.0, out=lacking)
    part: FloatArray = gpu * (lacking * lacking * lacking)
    part *= some
    return part


def own_ratios(columns: Columns) -> FloatArray:
    """Return `HEADROOM` times the milli CPU per GPU of each row, float64[n]."""

    def work_out() -> FloatArray:
        cpu, gpus = columns.capacity[columns.resources["cpu"], : columns.n], columns.gpu_count[: columns.n]
        ratios: FloatArray = HEADROOM * cpu / np.maximum(gpus, 1)
        return ratios

    return columns.of_nodes("own ratios of CPU to GPUs", work_out)


def stranded_of_one(cpu: int, gpu: int, limit: float) -> float:
    """`stranded` for one node, in plain numbers and the same order of operations."""
    need = gpu * limit
    if not need > 0:
        return 0.0
    lacking = max(1.0 - WHOLE_GPU * max(cpu, 0) / need, 0.0)
    return gpu * (lacking * lacking * lacking)


def worth_table(demand: dict[int, int]) -> list[int]:
    """Return the worth of each remainder 0 .. 1000, in thousandths of a GPU, for a demand by share.

    With u the dual prices of the cutting-stock problem, w(r) = round(1000 x the most that u adds up to over shares
    with total at most r). Without shares a remainder is worth nothing and a whole GPU itself.
    """
    if not demand:
        return [0] * WHOLE_GPU + [WHOLE_GPU]
    shares = sorted(demand)
    best, _ = knapsack(_units(shares), _dual_prices(shares, [float(demand[share]) for share in shares]), _CAPACITY)
    table = [min(WHOLE_GPU, round(WHOLE_GPU * best[r // _UNIT])) for r in range(WHOLE_GPU + 1)]
    return [*table[:-1], WHOLE_GPU]


def _dual_prices(shares: list[int], demand: list[float]) -> list[float]:
    """Solve min sum x, pattern matrix x >= demand, by column generation; return the dual price of each share.

    A revised simplex with an explicit inverse: as many rows as there are shares, a few dozen rounds. Plain floats in
    a fixed order, so every machine has the same prices.
    """
    n = len(shares)
    fits = [_CAPACITY // units for units in _units(shares)]
    inverse = [[1.0 / fits[i] if i == j else 0.0 for j in range(n)] for i in range(n)]
    amounts = [demand[i] / fits[i] for i in range(n)]
    costs = [1.0] * n
    for _ in range(_MOST_ROUNDS):
        prices = [sum(costs[i] * inverse[i][j] for i in range(n)) for j in range(n)]
        entering, cost = _entering(shares, prices)
        if entering is None:
            return prices
        direction = [sum(inverse[i][j] * entering[j] for j in range(n)) for i in range(n)]
        ratios = [(amounts[i] / direction[i], i) for i in range(n) if direction[i] > _TOLERANCE]
        step, leaving = min(ratios)
        pivot = direction[leaving]
        inverse[leaving] = [value / pivot for value in inverse[leaving]]
        for i in range(n):
            if i != leaving and direction[i]:
                inverse[i] = [a - direction[i] * b for a, b in zip(inverse[i], inverse[leaving], strict=True)]
                amounts[i] -= direction[i] * step
        amounts[leaving], costs[leaving] = step, cost
    raise ArithmeticError("the prices of the GPU shares did not settle")


def _entering(shares: list[int], prices: list[float]) -> tuple[list[float] | None, float]:
    """Return a column that improves the solution and its cost: a surplus, else the most valuable pattern, else None."""
    for i, price in enumerate(prices):
        if price < -_TOLERANCE:
            return [-1.0 if j == i else 0.0 for j in range(len(shares))], 0.0
    best, pattern = knapsack(_units(shares), prices, _CAPACITY)
    if best[-1] <= 1.0 + _TOLERANCE:
        return None, 0.0
    return [float(count) for count in pattern], 1.0


def _units(shares: list[int]) -> list[int]:
    return [-(-share // _UNIT) for share in shares]
