"""Tie rules: the formulas against the mechanics that they stand for."""

import random
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pilotage.kernel.hashing import name_hash
from pilotage.kernel.ties import first, heap, heap_once, preorder, seeded_random
from tests.kernel.reference import heap_root


@st.composite
def contests(draw):
    """Scores of feasible rows among up to 300, many of them equal, and an order of the rows."""
    rows = draw(st.integers(1, 300))
    shuffler = draw(st.randoms(use_true_random=False))
    levels = draw(st.integers(1, 4))
    feasible = [shuffler.random() < 0.7 for _ in range(rows)]
    feasible[shuffler.randrange(rows)] = True
    scores = [shuffler.randrange(levels) for _ in range(rows)]
    order = list(range(rows))
    if draw(st.booleans()):
        shuffler.shuffle(order)
    return feasible, scores, order


@given(contests())
def test_heap_takes_the_root_that_the_heap_would_have(contest) -> None:
    feasible, scores, order = contest
    listed = sorted((row for row in range(len(order)) if feasible[row]), key=lambda row: order[row])
    root = listed[heap_root([scores[row] for row in listed])]
    top = max(scores[row] for row in listed)
    best = np.array([row for row in range(len(order)) if feasible[row] and scores[row] == top])
    rows = np.flatnonzero(feasible)
    assert heap(best, preorder(rows, np.array(order), in_order=False)) == root
    if order == sorted(order):
        assert heap(best, preorder(rows, np.array(order), in_order=True)) == root
        assert heap_once(best, np.array(feasible)) == root


def test_heap_with_all_scores_equal_takes_the_first() -> None:
    for n in range(1, 70):
        assert heap(np.arange(n), preorder(np.arange(n), np.arange(n), in_order=True)) == 0


def test_heap_by_hand() -> None:
    # Scores 1 2 2 of three nodes: the root's better child is the left one. Scores 1 1 2 2: the pair (2, 4) is settled
    # first, node 4 rises to place 2, node 3 stays; then the root takes place 2, its left child.
    assert heap(np.array([1, 2]), preorder(np.arange(3), np.arange(3), in_order=True)) == 1
    assert heap(np.array([2, 3]), preorder(np.arange(4), np.arange(4), in_order=True)) == 3


@given(contests())
def test_first_takes_the_first_in_the_node_order(contest) -> None:
    feasible, _, order = contest
    best = np.flatnonzero(feasible)
    assert first(best, np.array(order)) == min(best.tolist(), key=lambda row: order[row])


def test_seeded_random_depends_on_seed_task_and_names_only() -> None:
    hashes = np.array([name_hash(f"node-{i}") for i in range(50)], np.uint64)
    best = np.arange(0, 50, 2)
    chosen = seeded_random(best, hashes, 7, "task")
    assert chosen in best
    assert seeded_random(best[::-1], hashes, 7, "task") == chosen
    turned = np.roll(hashes, 1)
    assert turned[seeded_random((best + 1) % 50, turned, 7, "task")] == hashes[chosen]
    others = {seeded_random(best, hashes, seed, "task") for seed in range(40)}
    assert len(others) > 10


def test_seeded_random_is_uniform() -> None:
    seed = random.randrange(2**32)
    hashes = np.array([name_hash(f"node-{i}") for i in range(10)], np.uint64)
    counts = Counter(seeded_random(np.arange(10), hashes, seed, f"task-{i}") for i in range(5000))
    # 500 each, standard deviation 21: six of them are 128.
    assert set(counts) == set(range(10)), f"seed {seed}"
    assert max(abs(count - 500) for count in counts.values()) < 128, f"seed {seed}"
