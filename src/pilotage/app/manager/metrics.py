"""The manager's numbers for Prometheus, gathered when they are asked for, so that counting costs nothing."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pilotage.api.grpc.discovery import Discovery
from pilotage.api.grpc.gate import Gate
from pilotage.app.manager.pulse import Pulse
from pilotage.registry.catalogue import Catalogue
from pilotage.registry.entities import ACTIVE

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Numbers(Collector):
    """Reads the counters of the parts."""

    def __init__(self, catalogue: Catalogue, discovery: Discovery, pulse: Pulse, gate: Gate) -> None:
        self._catalogue = catalogue
        self._discovery = discovery
        self._pulse = pulse
        self._gate = gate

    def collect(self) -> Iterable[Metric]:
        """Yield every metric."""
        yield from self._searches()
        layers = CounterMetricFamily(
            "pilotage_manager_rankings",
            "Answers to ListSchedulers by the layer that knew the ranking (request, shared, search, by_cluster), "
            "and misses that joined a running search",
            labels=["layer"],
        )
        counts = self._discovery.counts
        for layer in counts.__struct_fields__:
            layers.add_metric([layer], getattr(counts, layer))
        yield layers
        members = GaugeMetricFamily("pilotage_manager_members", "Members by kind and state", labels=["kind", "state"])
        for kind, rows in (("scheduler", self._catalogue.schedulers), ("seed_peer", self._catalogue.seed_peers)):
            alive = sum(row.state == ACTIVE for row in rows.by_id.values())
            members.add_metric([kind, "active"], alive)
            members.add_metric([kind, "inactive"], len(rows.by_id) - alive)
        yield members
        for name, text, value in (
            ("pilotage_manager_clusters", "Scheduler clusters", len(self._catalogue.clusters)),
            ("pilotage_manager_revision", "Revision of the registry that is served", self._catalogue.revision),
            ("pilotage_manager_streams", "Open keep-alive streams", self._pulse.streams),
            ("pilotage_manager_database_away", "1 while the database can not be reached", self._pulse.store_is_away),
            ("pilotage_manager_kept_bytes", "Bytes of responses that are kept", self._discovery.kept_bytes),
            ("pilotage_manager_kept_requests", "Requests that are remembered", self._discovery.kept_requests),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        encodings = self._discovery.encodings
        yield CounterMetricFamily("pilotage_manager_encodings", "Clusters encoded, once per change", value=encodings)
        yield CounterMetricFamily("pilotage_manager_refused", "Calls not let in", value=self._gate.refused)

    def _searches(self) -> Iterable[Metric]:
        """The two counters that operators of Dragonfly know."""
        name, labels = "dragonfly_manager_search_scheduler_cluster", ["version", "commit"]
        total = CounterMetricFamily(name, "Calls of ListSchedulers, by client", labels=labels)
        failed = CounterMetricFamily(f"{name}_failure", "Calls for which no ranking could be made", labels=labels)
        for client in self._discovery.clients.values():
            total.add_metric([client.version, client.commit], client.searches)
            failed.add_metric([client.version, client.commit], client.failures)
        yield from (total, failed)


def exposition(numbers: Numbers) -> bytes:
    """Return the metrics as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(numbers)
    return bytes(generate_latest(registry))
