"""A strategy of your own: stay with the instance that served the same session last, unless it is busy.

pilotage serve --strategy examples/custom_strategy.py
"""

BUSY = 3
"""Tasks on an instance at which a session goes elsewhere."""


class StickySessions:
    name = "sticky-sessions"

    def __init__(self):
        self.last = {}

    def choose(self, task, candidates, now):
        """Return one of ``candidates``; each has ``id``, ``outstanding``, ``expected_s(now)``, ``error_s()``."""
        session = task.metadata.get("session")
        known = next((each for each in candidates if each.id == self.last.get(session)), None)
        chosen = known if known and known.outstanding < BUSY else min(candidates, key=lambda each: each.outstanding)
        if session is not None:
            self.last[session] = chosen.id
        return chosen


strategy = StickySessions()
