"""Tie rules: which of the best-scored nodes is taken. Each is a named, pure function of the order of the nodes."""

from functools import cache
from typing import Literal

import numpy as np

from pilotage.kernel.arrays import BoolArray, IntArray, UintArray
from pilotage.kernel.hashing import key_hash, random_numbers

Tie = Literal["first", "heap", "seeded-random"]

TIES: tuple[Tie, ...] = ("first", "heap", "seeded-random")


def first(best: IntArray, order: IntArray) -> int:
    """Return the row among ``best`` that comes first in the fixed node order (``order`` int64[rows])."""
    return int(best[order[best].argmin()])


def preorder(feasible: IntArray, order: IntArray, in_order: bool) -> IntArray:
    """Return the rank of each ``feasible`` row in the preorder of kube-scheduler's heap, int64[rows]; others undefined.

    ``order`` is the fixed node order; ``in_order`` says that rows stand in it already. With k counted from 1 in the
    list of feasible nodes, L the bit length of k and W the largest L, preorder is the order of the pairs
    (k << (W - L), L): the nodes of the implicit binary tree, parents before children, left before right.
    """
    rank = np.empty(len(order), np.int64)
    listed = feasible if in_order else feasible[order[feasible].argsort(kind="stable")]
    rank[listed] = _ranks(len(listed).bit_length())[: len(listed)]
    return rank


@cache
def _ranks(width: int) -> IntArray:
    """The pairs (k << (W - L), L) as one number each, for k = 1 .. 2^W - 1; the order is the same for any W."""
    k = np.arange(1, 1 << width, dtype=np.int64)
    length = np.frexp(k)[1].astype(np.int64)
    ranks: IntArray = ((k << (width - length)) << 6) + length
    return ranks


def heap(best: IntArray, preorder: IntArray) -> int:
    """Return the row that kube-scheduler 1.35 takes among ``best`` rows; ``preorder`` from the function of that name.

    That release builds a binary heap over the feasible list in node order and takes its root; the mechanics of the
    heap make that the first of the best in preorder.
    """
    return best.item(preorder.take(best).argmin())


def heap_once(best: IntArray, feasible: BoolArray) -> int:
    """Return what `heap` does among ``best`` rows (rising), without the ranks of all ``feasible`` ones (bool[n]).

    Rows stand in the fixed node order.
    """
    places = feasible.cumsum(dtype=np.int32).take(best)
    return best.item(_ranks(places.item(-1).bit_length()).take(places - 1).argmin())


def seeded_random(best: IntArray, name_hash: UintArray, seed: int, task_id: str) -> int:
    """Return one of ``best`` uniformly, keyed by seed and task; the same nodes always give the same choice."""
    return best.item(random_numbers(key_hash(seed, task_id), name_hash.take(best)).argmax())
