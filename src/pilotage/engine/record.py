"""What a record of an engine is made of: the items of its stream, their bytes, and the digests of what was decided.

::

    Opened (header, checkpoint) ─▶ Applied | Decided ... ─▶ Closed        one segment
                                                             Closed.last  the record ends here

A segment begins with all that the engine knew, so that replay can begin there. Events and effects are written as what
they are in the model; payloads and secrets never come this far, since no event carries any.
"""

from hashlib import blake2b
from typing import Any, TypeAlias

import msgspec
from immutabledict import immutabledict
from msgspec import Raw, Struct
from msgspec.structs import replace

from pilotage.engine.engine import Checkpoint
from pilotage.engine.waiting import Backoff
from pilotage.model.effects import Effect
from pilotage.model.events import Event

DIGEST_BYTES = 8

NO_DIGEST = bytes(DIGEST_BYTES)
"""The running digest before the first effect."""


class Header(Struct, frozen=True, kw_only=True):
    """Who decided, and how to make the same engine again.

    ``policy`` is the text that named it, ``policy_digest`` stands for what it does. ``versions`` are those of what
    decided (pilotage, python, numpy), for people. ``segment`` counts from 1; ``digest`` is the running digest and
    ``decisions`` the number of effects before this segment, so that segments can be seen to follow each other.
    """

    about: str
    policy: str
    policy_digest: str
    versions: dict[str, str]
    seed: int
    retry: bool
    backoff: Backoff
    segment: int = 1
    digest: bytes = NO_DIGEST
    decisions: int = 0


class Opened(Struct, frozen=True, tag="opened", array_like=True):
    """The first item of a segment."""

    header: Header
    checkpoint: Checkpoint


class Applied(Struct, frozen=True, tag="applied", array_like=True):
    """An event, and when the engine was told."""

    now: float
    event: Event


class Decided(Struct, frozen=True, tag="decided", array_like=True):
    """A call of `decide` and its effects as bytes; ``digests``: eight bytes each, every one covers all before it.

    ``fault`` is the error that the call ended in, if it did.
    """

    now: float
    budget: int | None
    effects: tuple[Raw, ...] = ()
    digests: bytes = b""
    fault: str = ""

    def digest_of(self, effect: int) -> bytes:
        """Return the digest of one of the effects, counted from 0."""
        return self.digests[effect * DIGEST_BYTES : (effect + 1) * DIGEST_BYTES]


class Closed(Struct, frozen=True, tag="closed", array_like=True):
    """The last item of a segment that was ended in order. ``last``: of the record, too."""

    digest: bytes
    decisions: int
    last: bool


Item: TypeAlias = Opened | Applied | Decided | Closed


def _plain(value: Any) -> Any:
    if isinstance(value, immutabledict):
        return dict(value.items())
    raise NotImplementedError(f"{type(value).__name__} has no place in a record")


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
_items = msgspec.msgpack.Decoder(list[Item])
_effect: msgspec.msgpack.Decoder[Effect] = msgspec.msgpack.Decoder(Effect)

_ARRAY32 = b"\xdd"


def encoded(item: Item) -> bytes:
    """Return one item as bytes (MessagePack)."""
    return _encoder.encode(item)


def block_of(items: list[bytes]) -> bytes:
    """Return several encoded items as one block."""
    return _ARRAY32 + len(items).to_bytes(4, "big") + b"".join(items)


def items_of(block: bytes) -> list[Item]:
    """Return the items of a block; raises `msgspec.MsgspecError` for what is none. Every value is checked."""
    return _items.decode(block)


def effect_bytes(effect: Effect) -> bytes:
    """Return an effect as bytes that are the same whoever decides.

    The number of a kind counts what one process remembers, so it is left out.
    """
    decision = getattr(effect, "decision", None)
    if decision is not None and decision.kind:
        effect = replace(effect, decision=replace(decision, kind=0))
    return _encoder.encode(effect)


def effect_of(data: bytes | Raw) -> Effect:
    """Return the effect that `effect_bytes` wrote (its kind is 0)."""
    return _effect.decode(data)


def digest_after(digest: bytes, effect: bytes) -> bytes:
    """Return the running digest (BLAKE2b, 64 bits) after one more effect."""
    return blake2b(digest + effect, digest_size=DIGEST_BYTES).digest()
