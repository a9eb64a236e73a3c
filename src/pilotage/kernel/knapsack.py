"""The unbounded knapsack: what a whole number of things, each as often as wanted, can be worth together."""

from collections.abc import Sequence


def knapsack(sizes: Sequence[int], values: Sequence[float], capacity: int) -> tuple[list[float], list[int]]:
    """Return the most value per capacity 0 .. ``capacity``, and the counts of things that reach the last one.

    Values are added in a fixed order, and a thing is taken only for a gain above 1e-12: every machine has the same
    answer.
    """
    best = [0.0]
    taken = [-1]
    for room in range(1, capacity + 1):
        value, thing = best[-1], -1
        for i, size in enumerate(sizes):
            if size <= room and best[room - size] + values[i] > value + 1e-12:
                value, thing = best[room - size] + values[i], i
        best.append(value)
        taken.append(thing)
    counts, room = [0] * len(sizes), capacity
    while room > 0:
        if taken[room] < 0:
            room -= 1
        else:
            counts[taken[room]] += 1
            room -= sizes[taken[room]]
    return best, counts
