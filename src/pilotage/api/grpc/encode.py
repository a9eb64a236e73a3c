"""Rows as messages of a wire form. Field names are alike in both; what only one has is asked for by ``wire``."""

from types import ModuleType
from typing import Any

import msgspec

from pilotage.api.grpc.wire import manager_v1_pb2, manager_v2_pb2
from pilotage.registry.catalogue import Catalogue
from pilotage.registry.entities import Application, Scheduler, SchedulerCluster, SeedPeer, SeedPeerCluster

V1: ModuleType = manager_v1_pb2
V2: ModuleType = manager_v2_pb2


class Encoder:
    """Makes the messages of one wire form from the catalogue."""

    def __init__(self, catalogue: Catalogue, wire: ModuleType) -> None:
        self._catalogue = catalogue
        self.wire = wire

    def chunk(self, cluster_id: int) -> bytes:
        """Return what hosts are told of one cluster: bytes of a ListSchedulersResponse, joined with others' by ``+``.

        The second form carries the configuration of each cluster; the first, whose hosts fetch it otherwise, does not.
        """
        schedulers = self._catalogue.eligible(cluster_id)
        if not schedulers:
            return b""
        full = self.wire is V2
        seeds = [
            self.seed_peer(peer, cluster if full else None)
            for peer, cluster in self._catalogue.seed_peers_serving(cluster_id)
        ]
        cluster = self.scheduler_cluster(self._catalogue.clusters[cluster_id]) if full else None
        return self.list_schedulers([self.scheduler(each, cluster, seeds) for each in schedulers])

    def of_cluster(self, cluster_id: int, *, everyone: bool) -> bytes:
        """Return the answer to a request that names a cluster; ``everyone``: whether the dead are told of, too."""
        schedulers = self._catalogue.schedulers.of_cluster(cluster_id)
        cluster = self.scheduler_cluster(self._catalogue.clusters[cluster_id])
        chosen = [each for each in schedulers if everyone or each.eligible]
        return self.list_schedulers([self.scheduler(each, cluster) for each in chosen])

    def list_schedulers(self, schedulers: list[Any]) -> bytes:
        """Return schedulers' messages as a response."""
        return bytes(self.wire.ListSchedulersResponse(schedulers=schedulers).SerializeToString())

    def scheduler_cluster(self, row: SchedulerCluster) -> Any:
        """Return a cluster's message; its JSON travels as bytes."""
        message = self.wire.SchedulerCluster(
            id=row.id,
            name=row.name,
            bio=row.bio,
            config=row.config.encode(),
            client_config=row.client_config.encode(),
            scopes=row.scopes.encode(),
        )
        if self.wire is V2:
            message.seed_client_config = row.seed_client_config.encode()
        return message

    def seed_peer_cluster(self, row: SeedPeerCluster) -> Any:
        """Return a seed peer cluster's message."""
        return self.wire.SeedPeerCluster(id=row.id, name=row.name, bio=row.bio, config=row.config.encode())

    def scheduler(self, row: Scheduler, cluster: Any = None, seed_peers: list[Any] | None = None) -> Any:
        """Return a scheduler's message, with what it is to carry."""
        return self.wire.Scheduler(
            id=row.id,
            hostname=row.hostname,
            idc=row.idc,
            location=row.location,
            ip=row.ip,
            port=row.port,
            state=row.state,
            scheduler_cluster_id=row.cluster_id,
            scheduler_cluster=cluster,
            seed_peers=seed_peers,
            features=msgspec.json.encode(row.features),
        )

    def seed_peer(
        self, row: SeedPeer, cluster: SeedPeerCluster | None = None, schedulers: list[Any] | None = None
    ) -> Any:
        """Return a seed peer's message, with what it is to carry."""
        message = self.wire.SeedPeer(
            id=row.id,
            hostname=row.hostname,
            type=row.type,
            idc=row.idc,
            location=row.location,
            ip=row.ip,
            port=row.port,
            download_port=row.download_port,
            state=row.state,
            seed_peer_cluster_id=row.cluster_id,
            seed_peer_cluster=None if cluster is None else self.seed_peer_cluster(cluster),
            schedulers=schedulers,
        )
        if self.wire is V1:
            message.object_storage_port = row.object_storage_port
        return message

    def application(self, row: Application) -> Any | None:
        """Return an application's message, None if it has no priority (or one that can not be read)."""
        try:
            told = msgspec.json.decode(row.priority, type=Priority | None)
        except (msgspec.DecodeError, RecursionError):
            return None
        if told is None or told.value is None:
            return None
        urls = [self.wire.URLPriority(regex=url.regex, value=url.value) for url in told.urls]
        priority = self.wire.ApplicationPriority(value=told.value, urls=urls)
        return self.wire.Application(id=row.id, name=row.name, url=row.url, bio=row.bio, priority=priority)


class UrlPriority(msgspec.Struct, frozen=True):
    """How urgent downloads of matching URLs are."""

    regex: str
    value: int


class Priority(msgspec.Struct, frozen=True):
    """The JSON of an application's priority."""

    value: int | None = None
    urls: tuple[UrlPriority, ...] = ()
