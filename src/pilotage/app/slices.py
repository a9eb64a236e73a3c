"""Drives an engine's sessions by a clock: slices short enough that nothing else in the process has to wait long."""

from collections.abc import Callable, Iterator

from pilotage.engine.session import Session
from pilotage.model.effects import Effect

SLICE_S = 0.020
"""How long a slice should take."""


def slices(session: Session, clock: Callable[[], float], slice_s: float = SLICE_S) -> Iterator[list[Effect]]:
    """Yield the effects of a session slice by slice, each of about ``slice_s`` seconds, until it is done.

    Between two slices the caller may do other work, tell the session of events, or end it. ``clock`` gives seconds
    that only rise. The budget of a slice follows from what the one before took; it grows at most fourfold at once,
    since one slow decision (a preemption, a new kind on a large cluster) follows many fast ones.
    """
    budget = 1
    while not session.done:
        begin = clock()
        effects = session.step(budget)
        took_s = clock() - begin
        budget = max(1, min(4 * budget, int(budget * slice_s / took_s) if took_s > 0 else 4 * budget))
        yield effects
