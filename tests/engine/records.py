"""Records in memory: a sink that begins a segment after so many items."""

from pilotage.engine.engine import Engine
from pilotage.engine.record import Header, Item, Opened, block_of, encoded, items_of
from pilotage.engine.recorder import Recording, RecordingEngine
from pilotage.engine.waiting import Backoff
from pilotage.kernel.policy import Policy


class Segments:
    """A `RecordSink`: lists of encoded items."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.all: list[list[bytes]] = []

    @property
    def full(self) -> bool:
        return not self.all or len(self.all[-1]) >= self.length

    def begin(self, item: bytes) -> None:
        self.all.append([item])

    def add(self, item: bytes) -> None:
        self.all[-1].append(item)

    def items(self, segment: int | None = None) -> list[Item]:
        """The items of one segment, or of all of them in turn."""
        chosen = self.all if segment is None else [self.all[segment]]
        return [item for items in chosen for item in items_of(block_of(items))]


def recorder(policy: Policy, length: int = 1_000_000, **options: object) -> tuple[RecordingEngine, Segments]:
    sink = Segments(length)
    return RecordingEngine(policy, Recording(sink, "a test", policy.name, {}), **options), sink


def through_bytes(engine: Engine) -> Engine:
    """A new engine made from the checkpoint of ``engine``, which travelled as bytes."""
    header = Header(
        about="", policy="", policy_digest="", versions={}, seed=engine.seed, retry=engine.retry, backoff=Backoff()
    )
    (opened,) = items_of(block_of([encoded(Opened(header, engine.checkpoint()))]))
    again = Engine(
        engine.policy,
        seed=engine.seed,
        retry=engine.retry,
        backoff=engine.room._backoff,
        cache_bytes=engine.kinds.budget_bytes,
    )
    again.restore(opened.checkpoint)
    return again
