"""Entries leave a lineup as they would leave a heap, whatever order they came in."""

from heapq import heappop, heappush

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.engine.lineup import Lineup


@given(st.lists(st.none() | st.integers(-3, 3)))
def test_the_smallest_goes_first(steps: list[int | None]) -> None:
    """An integer is pushed (the number of the step tells equals apart), None pops."""
    line: Lineup[tuple[int, int]] = Lineup()
    heap: list[tuple[int, int]] = []
    for at, step in enumerate(steps):
        if step is not None:
            line.push((step, at))
            heappush(heap, (step, at))
        elif heap:
            assert line.pop() == heappop(heap)
        assert sorted(line) == sorted(heap)
    assert [line.pop() for _ in list(line)] == sorted(heap)
    with pytest.raises(IndexError):
        line.pop()


class Counted(tuple[int]):
    """An entry that counts how often it is compared."""

    asked = 0

    def __lt__(self, other: object) -> bool:
        Counted.asked += 1
        return super().__lt__(other)  # type: ignore[operator]


def test_what_comes_in_order_costs_a_comparison_each() -> None:
    line: Lineup[Counted] = Lineup()
    for i in range(1000):
        line.push(Counted((i // 10,)))
    assert [line.pop()[0] for _ in range(1000)] == [i // 10 for i in range(1000)]
    assert Counted.asked <= 1000
