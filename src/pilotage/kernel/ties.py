"""Tie rules: which of the best-scored nodes is taken. Each is a named, pure function of the order of the nodes."""

from typing import Literal

import numpy as np

from pilotage.kernel.arrays import BoolArray, IntArray, UintArray
from pilotage.kernel.hashing import key_hash, random_numbers

Tie = Literal["first", "heap", "seeded-random"]

TIES: tuple[Tie, ...] = ("first", "heap", "seeded-random")


def first(best: IntArray, order: IntArray) -> int:
    """Return the row among ``best`` that comes first in the fixed node order (``order`` int64[rows])."""
    return int(best[order[best].argmin()])


def heap(best: IntArray, feasible: BoolArray, order: IntArray, in_order: bool) -> int:
    """Return the row that kube-scheduler 1.35 takes among ``best`` rows of the ``feasible`` ones (bool[n]).

    That release builds a binary heap over the feasible list in node order and takes its root, so equal scores are
    settled by the mechanics of the heap: with k counted from 1 in the feasible list, the winner is the first of the
    best in the preorder of the implicit tree, which is the smallest pair (k << (W - L), L), L the bit length of k
    and W the largest L. ``in_order`` says that rows stand in node order already.
    """
    if in_order:
        place = best + 1 if feasible.all() else np.cumsum(feasible, dtype=np.int32)[best].astype(np.int64)
    else:
        rows = np.flatnonzero(feasible)
        place = np.searchsorted(np.sort(order[rows]), order[best]) + 1
    length = np.frexp(place.astype(np.float64))[1].astype(np.int64)
    width = int(length.max())
    return int(best[((place << (width - length)) * 64 + length).argmin()])


def seeded_random(best: IntArray, name_hash: UintArray, seed: int, task_id: str) -> int:
    """Return one of ``best`` uniformly, keyed by seed and task; the same nodes always give the same choice."""
    return int(best[random_numbers(key_hash(seed, task_id), name_hash[best]).argmax()])
