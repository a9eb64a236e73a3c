"""The manager as its faces see it: answers from memory, writes through the store, memory follows the store."""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from pilotage.model.errors import InvalidInput
from pilotage.registry.catalogue import Catalogue, Changes
from pilotage.registry.entities import (
    ACTIVE,
    FEATURES,
    KINDS,
    Entity,
    Member,
    Model,
    Scheduler,
    SchedulerCluster,
    SeedPeer,
    SeedPeerCluster,
)
from pilotage.registry.errors import Missing, Taken
from pilotage.registry.matching import Host
from pilotage.registry.ports import ModelReport, SchedulerReport, SeedPeerReport, Store
from pilotage.registry.profiles import CURRENT, Profile
from pilotage.registry.searcher import NoCluster, Order, Ranked, Searcher

_ATTEMPTS = 3


class Registry:
    """Reads and writes of the registry (`pilotage.registry.ports.Registry`).

    ``profile`` and ``require`` say how clusters are ranked; a host for which no ranking can be made is told of all.
    """

    def __init__(self, store: Store, *, profile: Profile = CURRENT, require: tuple[str, ...] = ()) -> None:
        self.catalogue = Catalogue()
        self._store = store
        self._profile = profile
        self._require = require
        self._searchers: dict[tuple[str, ...], tuple[int, Searcher]] = {}
        self._following = asyncio.Lock()
        self._overlay: dict[tuple[type[Entity], int], int] = {}
        self._searcher(require)  # refuses what can not be required

    # ------------------------------------------------------------ ranking

    @property
    def ranking(self) -> str:
        """How clusters are ranked: profile and required terms."""
        return " ".join((self._profile.name, *self._require))

    def order(self, host: Host) -> tuple[Order, bool]:
        """Return the ranking for a host, and whether none could be made, so that it is all clusters by id."""
        try:
            return self._searcher(self._require).order(host), False
        except NoCluster:
            return Order(), True

    def explain(self, host: Host, require: tuple[str, ...] | None = None) -> list[Ranked]:
        """Return the ranking with its reasons. Raises `NoCluster`, `InvalidInput` for an unknown term."""
        return self._searcher(self._require if require is None else require).explain(host)

    def _searcher(self, require: tuple[str, ...]) -> Searcher:
        """The searcher over the clusters as they are now; built anew only when their scopes have changed."""
        built = self._searchers.get(require)
        if built is None or built[0] != self.catalogue.scopes_version:
            if len(self._searchers) > 32:
                self._searchers.clear()
            searcher = Searcher(self.catalogue.clusters.values(), self._profile, require)
            built = self._searchers[require] = (self.catalogue.scopes_version, searcher)
        return built[1]

    # ------------------------------------------------------------ following the store

    async def follow(self, *, anew: bool = False) -> None:
        """Take over what the store has; ``anew``: all of it, for whoever has not looked for long."""
        async with self._following:
            since = -1 if anew or not self.catalogue.revision else self.catalogue.revision
            changes = await self._store.changes(since)
            if since < 0:
                changes = msgspec.structs.replace(changes, gone=self._vanished(changes))
            self.catalogue.apply(changes)
            self._apply_overlay(changes)

    def _vanished(self, everything: Changes) -> tuple[tuple[type[Entity], int], ...]:
        there = {(type(row), row.id) for row in everything.rows}
        return tuple((k, i) for k in KINDS for i in self.catalogue.rows(k) if (k, i) not in there)

    def overlay(self, member: Member) -> None:
        """Show a member as dead from now on, though the store does not know yet."""
        self._overlay[type(member), member.id] = member.generation
        self.catalogue.put([msgspec.structs.replace(member, state="inactive")])

    def _apply_overlay(self, changes: Changes) -> None:
        for row in changes.rows if self._overlay else ():
            generation = self._overlay.get((type(row), row.id))
            if generation is None or not isinstance(row, Member):
                continue
            if row.state == ACTIVE and row.generation == generation:
                self.catalogue.put([msgspec.structs.replace(row, state="inactive")])
            else:
                del self._overlay[type(row), row.id]

    # ------------------------------------------------------------ reports of members

    async def report_scheduler(self, report: SchedulerReport) -> Scheduler:
        """Register a scheduler, or take over what it says now; whether it lives is not touched."""
        self._need(SchedulerCluster, report.cluster_id)
        said: dict[str, Any] = {
            "port": report.port,
            "idc": report.idc,
            "location": report.location,
            "config": report.config,
        }
        values = {name: value for name, value in said.items() if value is not None}
        if report.features:
            values["features"] = report.features
        place = {"hostname": report.hostname, "ip": report.ip, "cluster_id": report.cluster_id}
        fresh = {"features": FEATURES, **values}
        row = await self._upsert(Scheduler, place, values, fresh)
        assert isinstance(row, Scheduler)
        return row

    async def report_seed_peer(self, report: SeedPeerReport) -> SeedPeer:
        """Register a seed peer as alive, or take over what it says now."""
        self._need(SeedPeerCluster, report.cluster_id)
        said = msgspec.structs.asdict(report)
        place = {name: said.pop(name) for name in ("hostname", "ip", "cluster_id")}
        values = {name: value for name, value in said.items() if value is not None}
        known = self.catalogue.seed_peers.find_exact(report.cluster_id, report.hostname, report.ip)
        values["state"] = ACTIVE
        if known is not None and known.state != ACTIVE:
            values |= {"owner": "", "generation": known.generation + 1}
        row = await self._upsert(SeedPeer, place, values, values)
        assert isinstance(row, SeedPeer)
        return row

    async def _upsert(
        self, kind: type[Member], place: dict[str, Any], values: dict[str, Any], fresh: dict[str, Any]
    ) -> Entity:
        """Change the member at that place, or add it; another manager may do the same at the same time."""
        cluster_id, hostname, ip = place["cluster_id"], place["hostname"], place["ip"]
        for attempt in range(_ATTEMPTS):
            known = self.catalogue.members(kind).find_exact(cluster_id, hostname, ip)
            try:
                if known is None:
                    row_id = await self._store.insert(kind, {**place, **fresh})
                elif known.state == ACTIVE and all(getattr(known, name) == it for name, it in values.items()):
                    return known
                elif await self._store.update(kind, known.id, values):
                    row_id = known.id
                else:
                    await self.follow()
                    continue
            except Taken:
                if attempt == _ATTEMPTS - 1:
                    raise
                await self.follow()
                continue
            return await self._written(kind, row_id)
        raise Taken(f"{kind.__name__} {hostname} is being changed by others; try again")

    async def report_model(self, report: ModelReport) -> Model:
        """Keep a model of the scheduler on that host, inactive, under the next version."""
        schedulers = self.catalogue.schedulers.on_host(report.hostname, report.ip)
        if not schedulers:
            raise Missing(f"there is no scheduler {report.hostname} at {report.ip}")
        values = {
            "type": report.type,
            "scheduler_id": schedulers[-1].id,
            "digest": "sha256:" + hashlib.sha256(report.data).hexdigest(),
            "size_bytes": len(report.data),
            "evaluation": report.evaluation,
        }
        row = await self._written(Model, await self._store.add_model(values, report.data))
        assert isinstance(row, Model)
        return row

    async def model_data(self, model_id: int) -> bytes:
        """Return a model's file. Raises `Missing`."""
        data = await self._store.model_data(model_id)
        if data is None:
            raise Missing(f"there is no model {model_id}")
        return data

    # ------------------------------------------------------------ rows, as people change them

    async def create(self, kind: type[Entity], values: Mapping[str, Any]) -> Entity:
        """Add a row."""
        self._check_places(kind, values)
        return await self._written(kind, await self._store.insert(kind, values))

    async def change(self, kind: type[Entity], row_id: int, values: Mapping[str, Any]) -> Entity:
        """Change a row; a model made active puts the active one of its kind aside."""
        row = self._need(kind, row_id)
        self._check_places(kind, values)
        if isinstance(row, Model) and values.get("state") == ACTIVE:
            await self._store.activate_model(row)
            values = {name: value for name, value in values.items() if name != "state"}
        if values and not await self._store.update(kind, row_id, values):
            raise Missing(f"there is no {kind.__name__} {row_id}")
        return await self._written(kind, row_id)

    async def remove(self, kind: type[Entity], row_id: int) -> None:
        """Delete a row."""
        if not await self._store.delete(kind, row_id):
            raise Missing(f"there is no {kind.__name__} {row_id}")
        await self.follow()

    def _check_places(self, kind: type[Entity], values: Mapping[str, Any]) -> None:
        if "cluster_id" in values:
            of = SchedulerCluster if kind is Scheduler else SeedPeerCluster
            if values["cluster_id"] not in self.catalogue.rows(of):
                raise InvalidInput("cluster_id", f"there is no {of.__name__} {values['cluster_id']}")

    def _need(self, kind: type[Entity], row_id: int) -> Entity:
        row = self.catalogue.rows(kind).get(row_id)
        if row is None:
            raise Missing(f"there is no {kind.__name__} {row_id}")
        return row

    async def _written(self, kind: type[Entity], row_id: int) -> Entity:
        """Return a row that was just written, once memory shows it."""
        await self.follow()
        return self._need(kind, row_id)
