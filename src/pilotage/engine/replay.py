"""Replay: feeds a record to an engine again and holds every effect against the one on record."""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from pilotage.engine.engine import CACHE_BYTES, Checkpoint, Engine
from pilotage.engine.record import (
    NO_DIGEST,
    Applied,
    Decided,
    Header,
    Item,
    Opened,
    digest_after,
    effect_bytes,
    effect_of,
)
from pilotage.kernel.faults import told
from pilotage.kernel.policy import Policy
from pilotage.model.effects import Effect
from pilotage.model.errors import InvalidInput


class Difference(Struct, frozen=True, kw_only=True):
    """Where a replay first does something else than the record says.

    ``effect`` is the number of the effect, counted from 1 over the whole record; ``recorded`` and ``made`` are the two
    effects (None: there is none), or ``what`` says in words what else is different.
    """

    effect: int
    now: float
    what: str
    recorded: Effect | None = None
    made: Effect | None = None


class Replayed(Struct, frozen=True, kw_only=True):
    """The outcome: what was fed, how many effects came out as recorded, and the running digest behind them."""

    events: int
    effects: int
    digest: str
    difference: Difference | None


class Replay:
    """An engine that is fed a record item by item. ``engine`` is there after the first item."""

    def __init__(self, policy: Policy, *, cache_bytes: int = CACHE_BYTES) -> None:
        self.policy = policy
        self.cache_bytes = cache_bytes
        self.engine: Engine | None = None
        self.events = 0
        self.effects = 0
        self.digest = NO_DIGEST

    def feed(self, item: Item) -> Difference | None:
        """Do what ``item`` says; return the first difference, after which no more must be fed."""
        if isinstance(item, Opened):
            return self._open(item)
        if isinstance(item, Applied):
            return self._apply(item)
        if isinstance(item, Decided):
            return self._decide(item)
        return None

    def outcome(self, difference: Difference | None = None) -> Replayed:
        """Return what was found so far."""
        return Replayed(events=self.events, effects=self.effects, digest=self.digest.hex(), difference=difference)

    def _open(self, item: Opened) -> Difference | None:
        if self.engine is None:
            self.engine = engine_of(item, self.policy, self.cache_bytes)
            self.effects, self.digest = item.header.decisions, item.header.digest
        elif not _same(self.engine.checkpoint(), item.checkpoint):
            what = f"what the engine knows at the begin of segment {item.header.segment}"
            return Difference(effect=self.effects, now=item.checkpoint.decided_at, what=what)
        return None

    def _apply(self, item: Applied) -> Difference | None:
        assert self.engine is not None
        try:
            self.engine.apply(item.event, item.now)
        except InvalidInput as error:
            what = f"{type(item.event).__name__} was taken then and is refused now: {error}"
            return Difference(effect=self.effects + 1, now=item.now, what=what)
        self.events += 1
        return None

    def _decide(self, item: Decided) -> Difference | None:
        assert self.engine is not None
        fault, effects = "", []
        try:
            effects = self.engine.decide(item.now, item.budget)
        except Exception as error:
            fault = told(error)
        if fault != item.fault:
            what = f"the error that ended the call, recorded {item.fault or 'none'!r}, now {fault or 'none'!r}"
            return Difference(effect=self.effects + 1, now=item.now, what=what)
        for i in range(max(len(effects), len(item.effects))):
            made = effects[i] if i < len(effects) else None
            data = b"" if made is None else effect_bytes(made)
            digest = digest_after(self.digest, data)
            if i >= len(item.effects) or digest != item.digest_of(i):
                recorded = effect_of(item.effects[i]) if i < len(item.effects) else None
                what = "the effect" if recorded and made else "the number of effects"
                return Difference(effect=self.effects + 1, now=item.now, what=what, recorded=recorded, made=made)
            self.digest = digest
            self.effects += 1
        return None


def replay(items: Iterable[Item], policy: Policy, *, cache_bytes: int = CACHE_BYTES) -> Replayed:
    """Feed a whole record to an engine under ``policy``; stop at the first difference."""
    run = Replay(policy, cache_bytes=cache_bytes)
    for item in items:
        difference = run.feed(item)
        if difference is not None:
            return run.outcome(difference)
    return run.outcome()


def engine_of(opened: Opened, policy: Policy, cache_bytes: int = CACHE_BYTES) -> Engine:
    """Return an engine that goes on where a segment begins, under ``policy``."""
    header: Header = opened.header
    engine = Engine(policy, seed=header.seed, retry=header.retry, backoff=header.backoff, cache_bytes=cache_bytes)
    engine.restore(opened.checkpoint)
    return engine


def _same(mine: Checkpoint, recorded: Checkpoint) -> bool:
    """Whether two engines know the same; numbers of kinds, which count what one process remembers, aside."""
    return replace(mine, effects=()) == replace(recorded, effects=()) and [*map(effect_bytes, mine.effects)] == [
        *map(effect_bytes, recorded.effects)
    ]
