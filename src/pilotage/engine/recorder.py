"""An engine that writes down what it is told and what it decides."""

from typing import Protocol

from msgspec import Raw, Struct
from msgspec.structs import replace

from pilotage.engine.engine import CACHE_BYTES, Engine
from pilotage.engine.record import (
    NO_DIGEST,
    Applied,
    Closed,
    Decided,
    Header,
    Opened,
    digest_after,
    effect_bytes,
    encoded,
)
from pilotage.engine.waiting import Backoff
from pilotage.kernel.faults import told
from pilotage.kernel.policy import Policy
from pilotage.model.effects import Effect
from pilotage.model.events import Event


class RecordSink(Protocol):
    """Where the items of a record go."""

    @property
    def full(self) -> bool:
        """Whether the next item should begin a new segment; true before the first one."""

    def begin(self, item: bytes) -> None:
        """Begin a segment with its first item."""

    def add(self, item: bytes) -> None:
        """Add an item to the segment."""


class Recording(Struct, frozen=True):
    """Where to record, and what a reader wants to know of the run.

    ``about`` says what ran, ``policy`` is the text that named the policy, ``versions`` are those of the software.
    """

    sink: RecordSink
    about: str
    policy: str
    versions: dict[str, str]


class RecordingEngine(Engine):
    """Does what an `Engine` does and records it. Call `close` when no more will come.

    An event that is refused changes nothing and is not recorded.
    """

    def __init__(
        self,
        policy: Policy,
        recording: Recording,
        *,
        seed: int = 0,
        retry: bool = True,
        backoff: Backoff | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        super().__init__(policy, seed=seed, retry=retry, backoff=backoff, cache_bytes=cache_bytes)
        self._sink = recording.sink
        self._digest = NO_DIGEST
        self._recorded = 0
        self._segments = 0
        self._header = Header(
            about=recording.about,
            policy=recording.policy,
            policy_digest=policy.digest,
            versions=recording.versions,
            seed=seed,
            retry=retry,
            backoff=backoff or Backoff(),
        )

    def apply(self, event: Event, now: float = 0.0) -> None:
        """As `Engine.apply`."""
        self._begin_when_full()
        super().apply(event, now)
        self._sink.add(encoded(Applied(now, event)))

    def decide(self, now: float = 0.0, budget: int | None = None) -> list[Effect]:
        """As `Engine.decide`."""
        self._begin_when_full()
        try:
            effects = super().decide(now, budget)
        except Exception as error:
            self._sink.add(encoded(Decided(now, budget, fault=told(error))))
            raise
        written = [effect_bytes(effect) for effect in effects]
        digests = []
        for data in written:
            self._digest = digest_after(self._digest, data)
            digests.append(self._digest)
        self._recorded += len(written)
        self._sink.add(encoded(Decided(now, budget, tuple(map(Raw, written)), b"".join(digests))))
        return effects

    def close(self) -> None:
        """End the record in order."""
        self._begin_when_full()
        self._sink.add(encoded(Closed(self._digest, self._recorded, last=True)))

    def _begin_when_full(self) -> None:
        if not self._sink.full:
            return
        if self._segments:
            self._sink.add(encoded(Closed(self._digest, self._recorded, last=False)))
        self._segments += 1
        header = replace(self._header, segment=self._segments, digest=self._digest, decisions=self._recorded)
        self._sink.begin(encoded(Opened(header, self.checkpoint())))
