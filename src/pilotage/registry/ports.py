"""What the manager needs from a store, and what its faces (gRPC, HTTP) may ask of the manager."""

from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct

from pilotage.registry.catalogue import Catalogue, Changes
from pilotage.registry.entities import Entity, Member, Model, Scheduler, SeedPeer
from pilotage.registry.matching import Host
from pilotage.registry.searcher import Order, Ranked


class Store(Protocol):
    """Keeps rows. Every write raises the revision in its own transaction. All raise `StorageDown`."""

    async def changes(self, since: int) -> Changes:
        """Return what changed after that revision; everything for -1."""
        ...

    async def insert(self, kind: type[Entity], values: Mapping[str, Any]) -> int:
        """Add a row and return its id. Raises `Taken`."""
        ...

    async def update(
        self, kind: type[Entity], row_id: int, values: Mapping[str, Any], guard: Mapping[str, Any] | None = None
    ) -> bool:
        """Change a row if it is there and every guard holds; return whether it did. Raises `Taken`."""
        ...

    async def delete(self, kind: type[Entity], row_id: int) -> bool:
        """Mark a row as deleted; return whether it was there. Raises `Taken` while others rest on it."""
        ...

    async def heard(self, kind: type[Member], at: Mapping[int, float]) -> None:
        """Note when members were last heard (seconds since 1970), which is no change of the registry."""
        ...

    async def beat(self, replica: str, at: float) -> dict[str, int]:
        """Raise the beat of this manager and return everybody's."""
        ...

    async def forget(self, unheard_since: float) -> int:
        """Delete inactive members that were not heard since then (seconds since 1970); return how many."""
        ...

    async def add_model(self, values: Mapping[str, Any], data: bytes) -> int:
        """Add a model with the next version of its scheduler and type; return its id."""
        ...

    async def activate_model(self, model: Model) -> None:
        """Make this the one active model of its scheduler and type."""
        ...

    async def model_data(self, model_id: int) -> bytes | None:
        """Return a model's file, None if there is none."""
        ...


class SchedulerReport(Struct, frozen=True):
    """What a scheduler says of itself; None says nothing, so what is known stays."""

    hostname: str
    ip: str
    port: int
    cluster_id: int
    idc: str | None = None
    location: str | None = None
    features: tuple[str, ...] = ()
    config: str | None = None


class SeedPeerReport(Struct, frozen=True):
    """What a seed peer says of itself."""

    hostname: str
    ip: str
    port: int
    cluster_id: int
    type: str
    download_port: int
    idc: str | None = None
    location: str | None = None
    object_storage_port: int = 0


class ModelReport(Struct, frozen=True):
    """A model that a trainer hands in for the scheduler on that host."""

    hostname: str
    ip: str
    type: str
    evaluation: str
    data: bytes


class Registry(Protocol):
    """What gRPC and HTTP may ask of the registry. Writes raise `Missing`, `Taken`, `StorageDown`, `InvalidInput`."""

    catalogue: Catalogue

    @property
    def ranking(self) -> str:
        """How clusters are ranked, in one line: profile and required terms."""
        ...

    def order(self, host: Host) -> tuple[Order, bool]:
        """Return the ranking for a host, and whether none could be made, so that it is every cluster by id."""
        ...

    def explain(self, host: Host, require: tuple[str, ...] | None = None) -> list[Ranked]:
        """Return the ranking with its reasons. Raises `NoCluster`."""
        ...

    async def report_scheduler(self, report: SchedulerReport) -> Scheduler:
        """Register a scheduler, or take over what it says now."""
        ...

    async def report_seed_peer(self, report: SeedPeerReport) -> SeedPeer:
        """Register a seed peer, which counts as alive, or take over what it says now."""
        ...

    async def create(self, kind: type[Entity], values: Mapping[str, Any]) -> Entity:
        """Add a row."""
        ...

    async def change(self, kind: type[Entity], row_id: int, values: Mapping[str, Any]) -> Entity:
        """Change a row."""
        ...

    async def remove(self, kind: type[Entity], row_id: int) -> None:
        """Delete a row."""
        ...

    async def report_model(self, report: ModelReport) -> Model:
        """Keep a model, inactive."""
        ...

    async def model_data(self, model_id: int) -> bytes:
        """Return a model's file."""
        ...


class Pulse(Protocol):
    """What a keep-alive stream may ask of the manager."""

    async def opened(self, stream: int, kind: type[Member], cluster_id: int, hostname: str, ip: str) -> None:
        """Begin a keep-alive stream of a registered member."""
        ...

    async def ticked(self, stream: int) -> None:
        """Hear from a stream again."""
        ...

    async def closed(self, stream: int) -> None:
        """End a stream."""
        ...

    def expires_in(self, stream: int) -> float | None:
        """Return how long a stream may still be silent (s), None once it is over."""
        ...
