"""What happened to one object, for error messages and questions: the last events, each with what caused it."""

from collections import deque
from typing import NamedTuple


class Line(NamedTuple):
    """One thing that happened to ``key``; ``cause`` is the number of the last decision made before it."""

    cause: int
    now: float
    key: str
    what: str
    detail: object

    def __str__(self) -> str:
        detail = f": {self.detail}" if self.detail else ""
        return f"t={self.now:g} after decision {self.cause}: {self.what}{detail}"


class Story:
    """The last ``length`` events of all objects, oldest first."""

    def __init__(self, length: int = 100_000) -> None:
        self.cause = 0
        """The last decision so far."""
        self._lines: deque[tuple[int, float, str, str, object]] = deque(maxlen=length)

    def tell(self, now: float, key: str, what: str, detail: object = "") -> None:
        """Add one line."""
        self._lines.append((self.cause, now, key, what, detail))

    def of(self, key: str) -> list[Line]:
        """Return what is still known about ``key`` (a task or a node), oldest first."""
        return [Line(*line) for line in self._lines if line[2] == key]
