"""Who lives: a lease per keep-alive stream, and an eye on the other managers that share the database.

Pure: time is an argument (seconds of a clock that never goes back), and what must be written is returned. Rules:

- A member lives until its stream ends or is silent for three intervals (`LEASE_INTERVALS`).
- A newer stream of the same member replaces the older one: the older one's end changes nothing. When the newer one
  ends, an older one that has spoken since it began takes its place; one that has not is a connection left behind.
- A member heard by another manager lives as long as that manager shows signs of life (its beat in the database); once
  the beat stands still for the member's lease, anybody may call the member dead, unless it has come back elsewhere.
- A member called alive by nobody (it only registered) has one lease from when it was first seen.
- A process that slept does not blame others: the gap is added to every lease.
"""

from collections.abc import Hashable, Iterable

from msgspec import Struct

from pilotage.registry.entities import ACTIVE, Member

LEASE_INTERVALS = 3
LONGEST_SWEEP_GAP_S = 2.0
"""Sweeps further apart than this mean that this process was stopped: nobody could be heard."""

Key = tuple[type[Member], int]


class Stream(Struct):
    """One keep-alive stream: whose it is, since when, when it was heard, and until when it may be silent."""

    key: Key
    lease_s: float
    opened_s: float
    heard_s: float
    expires_s: float


class Liveness:
    """The state machine of one manager (``replica``)."""

    def __init__(self, replica: str) -> None:
        self.replica = replica
        self._streams: dict[Hashable, Stream] = {}
        self._of: dict[Key, list[Hashable]] = {}  # oldest first; the last speaks for the member
        self._beats: dict[str, tuple[int, float]] = {}
        self._unheard: dict[tuple[Key, int], float] = {}
        self._swept_s: float | None = None

    def __len__(self) -> int:
        return len(self._streams)

    @staticmethod
    def lease_s(interval_s: float) -> float:
        """Return how long a member that speaks every ``interval_s`` may be silent."""
        return LEASE_INTERVALS * interval_s

    # ------------------------------------------------------------ streams

    def opened(self, stream: Hashable, key: Key, interval_s: float, now_s: float) -> None:
        """A stream has said whose it is; it replaces an older one of the same member."""
        lease = self.lease_s(interval_s)
        self._streams[stream] = Stream(key, lease, now_s, now_s, now_s + lease)
        self._of.setdefault(key, []).append(stream)

    def ticked(self, stream: Hashable, now_s: float) -> Key | None:
        """A stream has spoken again; return the member it speaks for, None if it is over or a newer one stands."""
        known = self._streams.get(stream)
        if known is None:
            return None
        known.heard_s, known.expires_s = now_s, now_s + known.lease_s
        return known.key if self._of[known.key][-1] == stream else None

    def closed(self, stream: Hashable) -> Key | None:
        """A stream has ended; return the member that is dead by that, None if another stream stands for it.

        What was left behind by a member that is dead speaks for it again with its next message.
        """
        known = self._streams.pop(stream, None)
        if known is None:
            return None
        streams = self._of[known.key]
        was_newest = streams[-1] == stream
        streams.remove(stream)
        if not streams:
            del self._of[known.key]
            return known.key
        if not was_newest:
            return None
        streams.sort(key=lambda each: self._streams[each].heard_s)
        return None if self._streams[streams[-1]].heard_s > known.opened_s else known.key

    def expires_in(self, stream: Hashable, now_s: float) -> float | None:
        """Return the seconds that a stream may still be silent, None if it is not known (any more)."""
        known = self._streams.get(stream)
        return None if known is None else max(0.0, known.expires_s - now_s)

    def holds(self, key: Key) -> bool:
        """Return whether a stream here speaks for the member."""
        return key in self._of

    # ------------------------------------------------------------ the passing of time

    def sweep(self, now_s: float) -> list[Key]:
        """Return the members whose streams have been silent for too long; these streams are forgotten."""
        gap = 0.0 if self._swept_s is None else now_s - self._swept_s
        self._swept_s = now_s
        if gap > LONGEST_SWEEP_GAP_S:
            self._forgive(gap)
        silent = [stream for stream, known in self._streams.items() if known.expires_s <= now_s]
        return [key for stream in silent if (key := self.closed(stream)) is not None]

    def _forgive(self, gap_s: float) -> None:
        for known in self._streams.values():
            known.expires_s += gap_s
        self._beats = {replica: (beat, seen + gap_s) for replica, (beat, seen) in self._beats.items()}
        self._unheard = {key: seen + gap_s for key, seen in self._unheard.items()}

    # ------------------------------------------------------------ the other managers

    def saw_beats(self, beats: dict[str, int], now_s: float) -> None:
        """The database shows these beats of all managers."""
        for replica, beat in beats.items():
            if self._beats.get(replica, (None, 0.0))[0] != beat:
                self._beats[replica] = (beat, now_s)
        for replica in self._beats.keys() - beats.keys():
            del self._beats[replica]

    def beats(self, replica: str, lease_s: float, now_s: float) -> bool:
        """Return whether that manager has shown a sign of life within ``lease_s``."""
        return replica in self._beats and now_s - self._beats[replica][1] < lease_s

    def database_was_away(self, now_s: float) -> None:
        """No beat could be seen for a while: that says nothing about who wrote them."""
        self._beats = {replica: (beat, now_s) for replica, (beat, _) in self._beats.items()}
        self._unheard = dict.fromkeys(self._unheard, now_s)

    def orphans(self, members: Iterable[tuple[Member, float]], now_s: float) -> list[Member]:
        """Return the members, given with their intervals, that count as alive but have lost whoever said so."""
        dead: list[Member] = []
        unheard: dict[tuple[Key, int], float] = {}
        for member, interval_s in members:
            key = (type(member), member.id)
            if member.state != ACTIVE or self.holds(key):
                continue
            if member.owner in self._beats and member.owner != self.replica:
                since = self._beats[member.owner][1]
            else:
                mark = (key, member.generation)
                since = unheard[mark] = self._unheard.get(mark, now_s)
            if now_s - since >= self.lease_s(interval_s):
                dead.append(member)
        self._unheard = unheard
        return dead
