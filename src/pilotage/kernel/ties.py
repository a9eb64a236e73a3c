"""Tie rules: which of the best-scored nodes is taken. Each is a named, pure function of the order of the nodes."""

from typing import Literal

import numpy as np

from pilotage.kernel.arrays import IntArray, UintArray
from pilotage.kernel.hashing import key_hash, random_numbers

Tie = Literal["first", "heap", "seeded-random"]

TIES: tuple[Tie, ...] = ("first", "heap", "seeded-random")


def first(best: IntArray, order: IntArray) -> int:
    """Return the row among ``best`` that comes first in the fixed node order (``order`` int64[rows])."""
    return int(best[order[best].argmin()])


def places(feasible: IntArray, order: IntArray) -> IntArray:
    """Return the place, from 1, of each row in the list of ``feasible`` rows in node order; 0 of any other row."""
    place = np.zeros(len(order), np.int64)
    place[feasible[order[feasible].argsort(kind="stable")]] = np.arange(1, len(feasible) + 1)
    return place


def heap(best: IntArray, places: IntArray) -> int:
    """Return the row that kube-scheduler 1.35 takes among ``best`` rows; ``places`` from `places`.

    That release builds a binary heap over the feasible list in node order and takes its root, so equal scores are
    settled by the mechanics of the heap: with k counted from 1 in the feasible list, the winner is the first of the
    best in the preorder of the implicit tree, which is the smallest pair (k << (W - L), L), L the bit length of k
    and W the largest L.
    """
    place = places.take(best)
    length = np.frexp(place)[1]
    key = place << (int(length.max()) - length)
    key <<= 6
    key += length
    return best.item(key.argmin())


def seeded_random(best: IntArray, name_hash: UintArray, seed: int, task_id: str) -> int:
    """Return one of ``best`` uniformly, keyed by seed and task; the same nodes always give the same choice."""
    return int(best[random_numbers(key_hash(seed, task_id), name_hash[best]).argmax()])
