"""Everything the manager knows, in memory: rows by id, the look-ups that requests need, and what changed when.

The store is the truth; a `Catalogue` follows it by applying its changes in the order of their revisions. Reads never
wait for the store.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from msgspec import Struct

from pilotage.registry.entities import (
    ACTIVE,
    Application,
    Entity,
    Member,
    Model,
    Scheduler,
    SchedulerCluster,
    SeedPeer,
    SeedPeerCluster,
)

M = TypeVar("M", bound=Member)


class Changes(Struct, frozen=True):
    """What happened in the store up to ``revision``: rows as they are now, and ids that are gone."""

    revision: int
    rows: tuple[Entity, ...] = ()
    gone: tuple[tuple[type[Entity], int], ...] = ()


class Members(Generic[M]):
    """Schedulers or seed peers, by id, by cluster, and by where they run."""

    def __init__(self) -> None:
        self.by_id: dict[int, M] = {}
        self._of_cluster: dict[int, dict[int, M]] = defaultdict(dict)
        self._by_name: dict[tuple[int, str], set[int]] = defaultdict(set)
        self._by_host: dict[tuple[str, str], set[int]] = defaultdict(set)

    def put(self, row: M) -> None:
        """Add or replace a row."""
        self.drop(row.id)
        self.by_id[row.id] = row
        self._of_cluster[row.cluster_id][row.id] = row
        self._by_name[row.cluster_id, row.hostname].add(row.id)
        self._by_host[row.hostname, row.ip].add(row.id)

    def drop(self, row_id: int) -> M | None:
        """Remove a row if it is there, and return it."""
        row = self.by_id.pop(row_id, None)
        if row is not None:
            del self._of_cluster[row.cluster_id][row_id]
            self._by_name[row.cluster_id, row.hostname].discard(row_id)
            self._by_host[row.hostname, row.ip].discard(row_id)
        return row

    def of_cluster(self, cluster_id: int) -> list[M]:
        """Return a cluster's members in order of creation."""
        members = self._of_cluster.get(cluster_id, {})
        return [members[row_id] for row_id in sorted(members)]

    def find(self, cluster_id: int, hostname: str, ip: str = "") -> M | None:
        """Return the member of that name; of several, the one with that ip, else a living one, else the newest."""
        rows = [self.by_id[row_id] for row_id in self._by_name.get((cluster_id, hostname), ())]
        return max(rows, key=lambda row: (row.ip == ip, row.state == ACTIVE, row.id), default=None)

    def find_exact(self, cluster_id: int, hostname: str, ip: str) -> M | None:
        """Return the member of that name at that ip; an empty ip stands for any."""
        row = self.find(cluster_id, hostname, ip)
        return row if row is not None and ip in ("", row.ip) else None

    def on_host(self, hostname: str, ip: str) -> list[M]:
        """Return the members of any cluster that run there, in order of creation."""
        return [self.by_id[row_id] for row_id in sorted(self._by_host.get((hostname, ip), ()))]


class Catalogue:
    """The registry by revision.

    ``revision`` is the store's; ``version`` rises with every change that can be seen here (local ones included),
    ``scopes_version`` only when the ranking of clusters may change. ``touched[cluster]`` is the version at which what
    hosts are told about that scheduler cluster changed last.
    """

    def __init__(self) -> None:
        self.revision = 0
        self.version = 0
        self.scopes_version = 0
        self.clusters: dict[int, SchedulerCluster] = {}
        self.seed_peer_clusters: dict[int, SeedPeerCluster] = {}
        self.schedulers: Members[Scheduler] = Members()
        self.seed_peers: Members[SeedPeer] = Members()
        self.applications: dict[int, Application] = {}
        self.models: dict[int, Model] = {}
        self.touched: dict[int, int] = {}
        self._seeds_of: dict[int, set[int]] = defaultdict(set)

    def apply(self, changes: Changes) -> None:
        """Take over what happened in the store."""
        self.put(changes.rows)
        for kind, row_id in changes.gone:
            self._drop(kind, row_id)
        self.revision = max(self.revision, changes.revision)

    def put(self, rows: Iterable[Entity]) -> None:
        """Add or replace rows."""
        for row in rows:
            self.version += 1
            match row:
                case SchedulerCluster():
                    self._put_cluster(row)
                case SeedPeerCluster():
                    self._touch_linked(row.id)
                    self._unlink(row.id)
                    self.seed_peer_clusters[row.id] = row
                    for cluster_id in row.scheduler_cluster_ids:
                        self._seeds_of[cluster_id].add(row.id)
                    self._touch_linked(row.id)
                case Scheduler():
                    self._touch_place(self.schedulers.by_id.get(row.id))
                    self.schedulers.put(row)
                    self._touch_place(row)
                case SeedPeer():
                    self._touch_place(self.seed_peers.by_id.get(row.id))
                    self.seed_peers.put(row)
                    self._touch_place(row)
                case Application():
                    self.applications[row.id] = row
                case Model():
                    self.models[row.id] = row

    def _put_cluster(self, row: SchedulerCluster) -> None:
        old = self.clusters.get(row.id)
        self.clusters[row.id] = row
        if old is None or (old.scopes, old.is_default) != (row.scopes, row.is_default):
            self.scopes_version += 1
        if old is None and row.id < max(self.clusters):
            self.clusters = dict(sorted(self.clusters.items()))
        self.touched[row.id] = self.version

    def _drop(self, kind: type[Entity], row_id: int) -> None:
        self.version += 1
        if kind is SchedulerCluster:
            if self.clusters.pop(row_id, None):
                self.scopes_version += 1
            self.touched.pop(row_id, None)
        elif kind is SeedPeerCluster:
            self._touch_linked(row_id)
            self._unlink(row_id)
            self.seed_peer_clusters.pop(row_id, None)
        elif kind is Scheduler:
            self._touch_place(self.schedulers.drop(row_id))
        elif kind is SeedPeer:
            self._touch_place(self.seed_peers.drop(row_id))
        elif kind is Application:
            self.applications.pop(row_id, None)
        else:
            self.models.pop(row_id, None)

    def _unlink(self, seed_peer_cluster_id: int) -> None:
        old = self.seed_peer_clusters.get(seed_peer_cluster_id)
        for cluster_id in old.scheduler_cluster_ids if old else ():
            self._seeds_of[cluster_id].discard(seed_peer_cluster_id)

    def _touch_linked(self, seed_peer_cluster_id: int) -> None:
        cluster = self.seed_peer_clusters.get(seed_peer_cluster_id)
        for cluster_id in cluster.scheduler_cluster_ids if cluster else ():
            self.touched[cluster_id] = self.version

    def _touch_place(self, member: Member | None) -> None:
        if isinstance(member, Scheduler):
            self.touched[member.cluster_id] = self.version
        elif member is not None:
            self._touch_linked(member.cluster_id)

    # ------------------------------------------------------------ questions

    def eligible(self, cluster_id: int) -> list[Scheduler]:
        """Return the schedulers of a cluster that hosts may be told of, in order of creation."""
        return [scheduler for scheduler in self.schedulers.of_cluster(cluster_id) if scheduler.eligible]

    def seed_peers_serving(self, cluster_id: int) -> Iterator[tuple[SeedPeer, SeedPeerCluster]]:
        """Yield the living seed peers of all seed peer clusters linked to a scheduler cluster."""
        for seed_peer_cluster_id in sorted(self._seeds_of.get(cluster_id, ())):
            cluster = self.seed_peer_clusters[seed_peer_cluster_id]
            for peer in self.seed_peers.of_cluster(seed_peer_cluster_id):
                if peer.state == ACTIVE:
                    yield peer, cluster

    def members(self, kind: type[Member]) -> "Members[Scheduler] | Members[SeedPeer]":
        """Return the members of that kind."""
        return self.schedulers if kind is Scheduler else self.seed_peers

    def rows(self, kind: type[Entity]) -> Mapping[int, Entity]:
        """Return all rows of a kind by id."""
        of: dict[type[Entity], Mapping[int, Entity]] = {
            SchedulerCluster: self.clusters,
            SeedPeerCluster: self.seed_peer_clusters,
            Scheduler: self.schedulers.by_id,
            SeedPeer: self.seed_peers.by_id,
            Application: self.applications,
            Model: self.models,
        }
        return of[kind]
