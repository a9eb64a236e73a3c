"""A session: decisions in slices, on a frozen event position.

::

    begin(now) ─▶ step ─▶ step ─▶ ... ─▶ done      the events that come meanwhile wait in line
                    └─────────────────────┴─▶ end: they are applied, in their order

However a session is sliced, its effects are those of one call of ``decide(now)``: nothing changes between its steps.
"""

from pilotage.engine.engine import Engine
from pilotage.model.effects import Effect
from pilotage.model.errors import InvalidInput
from pilotage.model.events import Event


class Session:
    """Decides on what waits now, a bounded piece of work at a time; news wait until it ends.

    While a session is open, tell it the events instead of the engine. No clock is read: a budget counts decisions,
    and the caller looks at its clock between two steps.
    """

    def __init__(self, engine: Engine, now: float) -> None:
        self.engine = engine
        self.now = now
        self.ended = False
        self._news: list[tuple[Event, float]] = []

    @property
    def done(self) -> bool:
        """Whether nothing is left that could be decided at the session's time."""
        return self.ended or not self.engine.room.active

    def step(self, budget: int) -> list[Effect]:
        """Decide on at most ``budget`` units and return the effects; a gang is one unit, whatever its size.

        Raises `InvalidInput` for a budget that is not positive, or once the session has ended.
        """
        if budget < 1:
            raise InvalidInput("budget", f"must be at least 1, got {budget}")
        if self.ended:
            raise InvalidInput("session", "has ended: begin another one")
        return self.engine.decide(self.now, budget)

    def apply(self, event: Event, now: float) -> None:
        """Take note of an event that happened at ``now``: the engine hears of it when the session ends."""
        if self.ended:
            raise InvalidInput("session", "has ended: tell the engine itself")
        self._news.append((event, now))

    def end(self) -> list[tuple[Event, InvalidInput]]:
        """End or break off: tell the engine what came meanwhile, in its order; return what it refused, and why."""
        self.ended = True
        refused = []
        news, self._news = self._news, []
        for event, now in news:
            try:
                self.engine.apply(event, now)
            except InvalidInput as error:
                refused.append((event, error))
        return refused
