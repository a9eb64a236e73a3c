"""ListSchedulers: a request that was seen before costs one look-up by its bytes, a new one a parse and a search.

Layers, from the hottest: the request's bytes (``request``), the optional shared cache (``shared``), the searcher
(``search``). What they keep is a ranking, which rests on the clusters' scopes alone; the response is made of encoded
clusters as they are at that moment. So no layer can make an answer stale: it is as old as the catalogue is.
"""

import asyncio
import hashlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, Protocol

import msgspec

from pilotage.api.grpc.answers import Answers, Prepared
from pilotage.api.grpc.encode import V1, V2, Encoder
from pilotage.api.grpc.rules import parse
from pilotage.registry.errors import Missing
from pilotage.registry.matching import Host
from pilotage.registry.ports import Registry
from pilotage.registry.searcher import Order

REQUEST_BYTES = 8192
"""Longer requests are answered, but not remembered."""
CLIENTS = 500
"""Versions and commits of clients that are counted apart; the rest is counted together."""


class SharedCache(Protocol):
    """A cache that several managers share. It never raises: what can not be had is None."""

    async def get(self, key: str) -> bytes | None:
        """Return what was put there, if it is still there."""
        ...

    async def put(self, key: str, value: bytes) -> None:
        """Keep ``value`` for a while."""
        ...


class Client:
    """Searches by one version of a client."""

    __slots__ = ("commit", "failures", "searches", "version")

    def __init__(self, version: str, commit: str) -> None:
        self.version = version
        self.commit = commit
        self.searches = 0
        self.failures = 0


class Entry:
    """A request that was seen: who it counts for, and its ranking or the cluster it names."""

    __slots__ = ("client", "cluster_id", "prepared", "scopes_version")

    def __init__(self, client: Client, cluster_id: int, prepared: Prepared | None, scopes_version: int) -> None:
        self.client = client
        self.cluster_id = cluster_id
        self.prepared = prepared
        self.scopes_version = scopes_version


class Shared(msgspec.Struct, frozen=True):
    """What the shared cache holds: a ranking, and what it is the ranking of."""

    scopes: str
    host: Host
    order: Order


class Counts(msgspec.Struct):
    """Answers by the layer that had the ranking, and misses that waited for another one's search."""

    request: int = 0
    shared: int = 0
    search: int = 0
    by_cluster: int = 0
    joined: int = 0


class Discovery:
    """ListSchedulers in both wire forms.

    ``hosts`` bounds the requests remembered per form, ``budget_bytes`` the responses kept per form; ``everyone`` makes
    requests that name a cluster see its dead, too.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        hosts: int = 200_000,
        budget_bytes: int = 64 << 20,
        shared: SharedCache | None = None,
        everyone: bool = False,
    ) -> None:
        self.counts = Counts()
        self.clients: dict[tuple[str, str], Client] = {}
        self._registry = registry
        self._catalogue = registry.catalogue
        self._hosts = hosts
        self._shared = shared
        self._everyone = everyone
        encoders = {wire: Encoder(registry.catalogue, wire) for wire in (V1, V2)}
        self._encoders = encoders
        self._answers = {wire: Answers(registry.catalogue, encoders[wire], budget_bytes) for wire in (V1, V2)}
        self._entries: dict[ModuleType, dict[bytes, Entry]] = {V1: {}, V2: {}}
        self._searching: dict[tuple[ModuleType, Host], asyncio.Future[Order]] = {}
        self._scopes_version = -1
        self._scopes_digest = (-1, "")

    @property
    def kept_bytes(self) -> int:
        """Bytes of the responses that are kept."""
        return sum(answers.kept_bytes for answers in self._answers.values())

    @property
    def kept_requests(self) -> int:
        """Requests that are remembered."""
        return sum(len(entries) for entries in self._entries.values())

    @property
    def encodings(self) -> int:
        """How often a cluster was encoded, in either form."""
        return sum(answers.encoded for answers in self._answers.values())

    def known(self, wire: ModuleType) -> Callable[[bytes], bytes | None]:
        """Return the hot path of a wire form: from a request's bytes to the response, None if it must be `search`ed."""
        entries, answers, counts, catalogue = self._entries[wire], self._answers[wire], self.counts, self._catalogue

        def look_up(raw: bytes) -> bytes | None:
            entry = entries.get(raw)
            if entry is None or entry.scopes_version != catalogue.scopes_version:
                return None
            prepared = entry.prepared
            if prepared is None:
                return None
            entry.client.searches += 1
            counts.request += 1
            if prepared.version == catalogue.version and prepared.body is not None:
                return prepared.body
            return answers.body(prepared)

        return look_up

    async def search(self, wire: ModuleType, raw: bytes) -> bytes:
        """Answer a request that is not known. Raises `InvalidInput`, `Missing`."""
        message = parse(wire.ListSchedulersRequest, raw)
        client = self._client(message.version, message.commit)
        client.searches += 1
        if wire is V2 and message.scheduler_cluster_id:
            return self._of_cluster(client, message.scheduler_cluster_id)
        self._forget_old_rankings()
        scopes_version = self._catalogue.scopes_version
        order = await self._order(wire, _host(wire, message), client)
        answers = self._answers[wire]
        prepared = answers.prepared(order)
        body = answers.body(prepared)
        if body and len(raw) <= REQUEST_BYTES:
            entries = self._entries[wire]
            while len(entries) >= self._hosts:
                del entries[next(iter(entries))]
            entries.pop(raw, None)
            entries[raw] = Entry(client, 0, prepared, scopes_version)
        return body

    def _of_cluster(self, client: Client, cluster_id: int) -> bytes:
        self.counts.by_cluster += 1
        if cluster_id not in self._catalogue.clusters:
            client.failures += 1
            raise Missing(f"there is no scheduler cluster {cluster_id}")
        return self._encoders[V2].of_cluster(cluster_id, everyone=self._everyone)

    async def _order(self, wire: ModuleType, host: Host, client: Client) -> Order:
        """Return the ranking for a host; of misses at the same time only one searches."""
        if self._shared is None:
            return self._rank(host, client)
        key = (wire, host)
        running = self._searching.get(key)
        if running is not None:
            self.counts.joined += 1
            return await asyncio.shield(running)
        running = self._searching[key] = asyncio.get_running_loop().create_future()
        try:
            order = await self._shared_order(self._shared, wire, host, client)
        except BaseException:
            running.cancel()
            raise
        else:
            running.set_result(order)
            return order
        finally:
            del self._searching[key]

    async def _shared_order(self, shared: SharedCache, wire: ModuleType, host: Host, client: Client) -> Order:
        scopes, key = self._digest(), _key(wire, host, client.version)
        found = _decoded(await shared.get(key))
        if found is not None and found.scopes == scopes and found.host == host:
            self.counts.shared += 1
            return found.order
        order = self._rank(host, client)
        if self._answers[wire].body(self._answers[wire].prepared(order)) and scopes == self._digest():
            await shared.put(key, msgspec.msgpack.encode(Shared(scopes, host, order)))
        return order

    def _rank(self, host: Host, client: Client) -> Order:
        self.counts.search += 1
        order, failed = self._registry.order(host)
        client.failures += failed
        return order

    def _forget_old_rankings(self) -> None:
        if self._scopes_version != self._catalogue.scopes_version:
            self._scopes_version = self._catalogue.scopes_version
            for answers in self._answers.values():
                answers.forget_rankings()

    def _digest(self) -> str:
        """What rankings rest on, in a form that is alike on every manager of a database."""
        version, digest = self._scopes_digest
        if version != self._catalogue.scopes_version:
            told = [(each.id, each.scopes, each.is_default) for each in self._catalogue.clusters.values()]
            digest = hashlib.sha256(msgspec.msgpack.encode((self._registry.ranking, told))).hexdigest()
            self._scopes_digest = (self._catalogue.scopes_version, digest)
        return digest

    def _client(self, version: str, commit: str) -> Client:
        client = self.clients.get((version, commit))
        if client is None:
            if len(self.clients) >= CLIENTS:
                version = commit = "other"
            client = self.clients.setdefault((version, commit), Client(version, commit))
        return client


def _host(wire: ModuleType, message: Any) -> Host:
    if wire is V2:
        return Host(message.hostname, message.ip, message.idc, message.location)
    told = dict(message.host_info)
    conditions = {key: told.get(key, "") for key in ("idc", "location", "security_domain", "net_topology")}
    return Host(message.hostname, message.ip, **conditions)


def _key(wire: ModuleType, host: Host, version: str) -> str:
    """The known key of a peer's list, and what else its ranking rests on."""
    rest = hashlib.sha256(msgspec.msgpack.encode(host)).hexdigest()[:16]
    form = "v2" if wire is V2 else "v1"
    return f"manager:peers:{host.hostname}-{host.ip}-{version}:schedulers:{form}:{rest}"


def _decoded(value: bytes | None) -> Shared | None:
    if value is None:
        return None
    try:
        return msgspec.msgpack.decode(value, type=Shared)
    except msgspec.DecodeError:
        return None
