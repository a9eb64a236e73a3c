"""A priority queue for entries most of which come in their order already: those cost one comparison in and one out."""

from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Any, Generic, TypeVar

E = TypeVar("E", bound=tuple[Any, ...])


class Lineup(Generic[E]):
    """Entries, the smallest first. One that is no smaller than the last stands at the end, others go into a heap."""

    def __init__(self) -> None:
        self._line: deque[E] = deque()
        self._heap: list[E] = []

    def __iter__(self) -> Iterator[E]:
        """All entries, in no order."""
        yield from self._line
        yield from self._heap

    def push(self, entry: E) -> None:
        """Take in an entry."""
        if not self._line or not entry < self._line[-1]:
            self._line.append(entry)
        else:
            heappush(self._heap, entry)

    def pop(self) -> E:
        """Take out the smallest entry; raises `IndexError` where there is none."""
        if self._heap and not (self._line and self._line[0] < self._heap[0]):
            return heappop(self._heap)
        return self._line.popleft()
