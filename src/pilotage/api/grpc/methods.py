"""The unary methods besides ListSchedulers: what a request asks of the registry, and its answer."""

import json
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from pilotage.api.grpc.encode import V1, V2, Encoder
from pilotage.model.errors import InvalidInput
from pilotage.registry.catalogue import Catalogue
from pilotage.registry.entities import ACTIVE, SeedPeer
from pilotage.registry.errors import Missing, NothingListed, Undecided
from pilotage.registry.ports import ModelReport, Registry, SchedulerReport, SeedPeerReport

Method = Callable[[Any], Awaitable[Message]]


class Methods:
    """The methods of one wire form."""

    def __init__(self, registry: Registry, wire: ModuleType, *, model_bytes: int) -> None:
        self._registry = registry
        self._catalogue: Catalogue = registry.catalogue
        self._encode = Encoder(registry.catalogue, wire)
        self._wire = wire
        self._model_bytes = model_bytes

    def table(self) -> dict[str, tuple[type[Message], Method]]:
        """Return each method by name, with the kind of its request."""
        wire = self._wire
        table: dict[str, tuple[type[Message], Method]] = {
            "GetScheduler": (wire.GetSchedulerRequest, self.get_scheduler),
            "UpdateScheduler": (wire.UpdateSchedulerRequest, self.update_scheduler),
            "GetSeedPeer": (wire.GetSeedPeerRequest, self.get_seed_peer),
            "ListSeedPeers": (wire.ListSeedPeersRequest, self.list_seed_peers),
            "UpdateSeedPeer": (wire.UpdateSeedPeerRequest, self.update_seed_peer),
            "ListApplications": (wire.ListApplicationsRequest, self.list_applications),
            "CreateModel": (wire.CreateModelRequest, self.create_model),
        }
        if wire is V2:
            table["DeleteSeedPeer"] = (wire.DeleteSeedPeerRequest, self.delete_seed_peer)
        return table

    async def get_scheduler(self, request: Any) -> Message:
        """Return a scheduler with its cluster and the living seed peers that serve it."""
        cluster_id = request.scheduler_cluster_id
        row = self._catalogue.schedulers.find(cluster_id, request.hostname, request.ip)
        if row is None:
            raise Missing(f"there is no scheduler {request.hostname} in cluster {cluster_id}")
        seeds = [self._encode.seed_peer(*pair) for pair in self._catalogue.seed_peers_serving(cluster_id)]
        cluster = self._encode.scheduler_cluster(self._catalogue.clusters[cluster_id])
        return self._message(self._encode.scheduler(row, cluster, seeds))

    async def update_scheduler(self, request: Any) -> Message:
        """Register a scheduler or take over what it says. The first form can not say "nothing": empty is that."""
        report = SchedulerReport(
            hostname=request.hostname,
            ip=request.ip,
            port=request.port,
            cluster_id=request.scheduler_cluster_id,
            idc=self._said(request, "idc"),
            location=self._said(request, "location"),
            features=tuple(request.features) if self._wire is V2 else (),
            config=request.config.decode() if self._wire is V2 and request.config else None,
        )
        return self._message(self._encode.scheduler(await self._registry.report_scheduler(report)))

    async def get_seed_peer(self, request: Any) -> Message:
        """Return a seed peer with its cluster and the living schedulers that it serves."""
        cluster_id = request.seed_peer_cluster_id
        row = self._catalogue.seed_peers.find(cluster_id, request.hostname, request.ip)
        if row is None:
            raise Missing(f"there is no seed peer {request.hostname} in cluster {cluster_id}")
        cluster = self._catalogue.seed_peer_clusters[cluster_id]
        schedulers = [
            self._encode.scheduler(scheduler)
            for each in cluster.scheduler_cluster_ids
            for scheduler in self._catalogue.schedulers.of_cluster(each)
            if scheduler.state == ACTIVE
        ]
        return self._message(self._encode.seed_peer(row, cluster, schedulers))

    async def list_seed_peers(self, request: Any) -> Message:
        """Return the living seed peers of the caller's own cluster."""
        here = self._catalogue.seed_peers.on_host(request.hostname, request.ip)
        if not here:
            raise Missing(f"{request.hostname} at {request.ip} is no seed peer")
        cluster = self._catalogue.seed_peer_clusters[here[0].cluster_id]
        alive = [peer for peer in self._catalogue.seed_peers.of_cluster(cluster.id) if peer.state == ACTIVE]
        if not alive:
            raise NothingListed(f"no seed peer of cluster {cluster.id} is active")
        peers = [self._encode.seed_peer(peer, cluster) for peer in alive]
        return self._message(self._wire.ListSeedPeersResponse(seed_peers=peers))

    async def update_seed_peer(self, request: Any) -> Message:
        """Register a seed peer or take over what it says."""
        report = SeedPeerReport(
            hostname=request.hostname,
            ip=request.ip,
            port=request.port,
            cluster_id=request.seed_peer_cluster_id,
            type=request.type,
            download_port=request.download_port,
            idc=self._said(request, "idc"),
            location=self._said(request, "location"),
            object_storage_port=request.object_storage_port if self._wire is V1 else 0,
        )
        return self._message(self._encode.seed_peer(await self._registry.report_seed_peer(report)))

    async def delete_seed_peer(self, request: Any) -> Message:
        """Delete a seed peer."""
        cluster_id = request.seed_peer_cluster_id
        row = self._catalogue.seed_peers.find_exact(cluster_id, request.hostname, request.ip)
        if row is None:
            raise Missing(f"there is no seed peer {request.hostname} in cluster {cluster_id}")
        await self._registry.remove(SeedPeer, row.id)
        return Empty()

    async def list_applications(self, _: Any) -> Message:
        """Return the applications that have a priority."""
        rows = [self._encode.application(row) for _, row in sorted(self._catalogue.applications.items())]
        told = [row for row in rows if row is not None]
        if not told:
            raise NothingListed("no application has a priority")
        return self._message(self._wire.ListApplicationsResponse(applications=told))

    async def create_model(self, request: Any) -> Message:
        """Keep a trained model, inactive."""
        told = request.WhichOneof("request")
        if told is None:
            raise Undecided("request", "must be create_gnn_request or create_mlp_request")
        body = getattr(request, told)
        if not body.data:
            raise InvalidInput(f"{told}.data", "is empty")
        if len(body.data) > self._model_bytes:
            raise InvalidInput(
                f"{told}.data", f"has {len(body.data):,} bytes; at most {self._model_bytes:,} are allowed"
            )
        measures = ("recall", "precision", "f1_score") if told == "create_gnn_request" else ("mse", "mae")
        evaluation = json.dumps({measure: getattr(body, measure) for measure in measures})
        kind = "gnn" if told == "create_gnn_request" else "mlp"
        await self._registry.report_model(ModelReport(request.hostname, request.ip, kind, evaluation, body.data))
        return Empty()

    def _said(self, request: Any, field: str) -> str | None:
        value = str(getattr(request, field))
        said = request.HasField(field) if self._wire is V2 else bool(value)
        return value if said else None

    def _message(self, message: Any) -> Message:
        assert isinstance(message, Message)
        return message
