"""What the manager knows: clusters, their schedulers and seed peers, applications, models.

Identifiers are positive integers given by the store and only rise, so ascending ids are the order of creation. Texts
in JSON are kept as text, as they travel; the store holds ``{}`` or ``[]`` where nothing was said.
"""

from typing import Literal

from msgspec import Struct

State = Literal["active", "inactive"]
ACTIVE: State = "active"
INACTIVE: State = "inactive"

SCHEDULE = "schedule"  # listed to hosts
PREHEAT = "preheat"  # takes preheat jobs
FEATURES = (SCHEDULE, PREHEAT)

MODEL_TYPES = ("gnn", "mlp")


class Stamped(Struct, frozen=True, kw_only=True):
    """When a row was written: seconds since 1970, as the store's clock had it."""

    created_at: float = 0.0
    updated_at: float = 0.0


class Entity(Stamped, frozen=True):
    """Any row of the registry."""

    id: int


class SchedulerCluster(Entity, frozen=True):
    """Schedulers that serve the same hosts; ``scopes`` says which (JSON, see `pilotage.registry.scopes`)."""

    name: str
    bio: str = ""
    config: str = "{}"
    client_config: str = "{}"
    seed_client_config: str = "{}"
    scopes: str = "{}"
    is_default: bool = False


class SeedPeerCluster(Entity, frozen=True):
    """Seed peers that serve the scheduler clusters in ``scheduler_cluster_ids`` (many to many)."""

    name: str
    bio: str = ""
    config: str = "{}"
    scheduler_cluster_ids: tuple[int, ...] = ()


class Member(Entity, frozen=True):
    """One process of a cluster, and whether it lives.

    ``owner`` is the manager replica that heard it last ("" if none did), ``generation`` rises whenever a replica
    takes it over; only the owner of the newest generation may call it dead at once.
    """

    hostname: str
    ip: str
    port: int
    cluster_id: int
    idc: str = ""
    location: str = ""
    state: State = INACTIVE
    owner: str = ""
    generation: int = 0
    last_keep_alive_at: float | None = None
    """Seconds since 1970, as the owner's wall clock had it; for people, no decision rests on it."""


class Scheduler(Member, frozen=True):
    """A scheduler. ``config`` is its own JSON, with ``manager_keep_alive_interval`` in nanoseconds."""

    features: tuple[str, ...] = FEATURES
    config: str = "{}"

    @property
    def eligible(self) -> bool:
        """Whether hosts may be told of it."""
        return self.state == ACTIVE and SCHEDULE in self.features


class SeedPeer(Member, frozen=True):
    """A seed peer: a host that fetches from the origin for the others."""

    type: str = "super"
    download_port: int = 0
    object_storage_port: int = 0


class Application(Entity, frozen=True):
    """A source of downloads; ``priority`` is JSON: ``{"value": 0..6, "urls": [{"regex", "value"}]}``."""

    name: str
    url: str
    bio: str = ""
    priority: str = "{}"


class Model(Entity, frozen=True):
    """A trained model of one scheduler. Versions of one (scheduler, type) count up from 1; at most one is active."""

    type: str
    version: int
    scheduler_id: int
    digest: str
    size_bytes: int
    state: State = INACTIVE
    bio: str = ""
    evaluation: str = "{}"


KINDS: tuple[type[Entity], ...] = (SchedulerCluster, SeedPeerCluster, Scheduler, SeedPeer, Application, Model)
