"""What a worker counts, for Prometheus."""

from collections import Counter as Tally
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pilotage.model.claim import Decided, Outcome

_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class WorkerMetrics:
    """Counters of one worker, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "pilotage_vm_requests", "Requests with an end, by class.", ["outcome"], registry=self.registry
        )
        self._decisions = Counter("pilotage_vm_decisions", "Decisions made.", registry=self.registry)
        self._decide_s = Counter("pilotage_vm_decide_seconds", "Time spent deciding.", registry=self.registry)
        self._commit_s = Histogram(
            "pilotage_vm_commit_seconds", "Time of a commit.", registry=self.registry, buckets=_LATENCY_S
        )
        self.in_flight = Gauge("pilotage_vm_in_flight", "Requests taken and not settled.", registry=self.registry)
        self.queue_ready = Gauge("pilotage_vm_queue_ready", "Requests that wait in the queue.", registry=self.registry)
        self.redeliveries = Gauge("pilotage_vm_redeliveries", "Deliveries that came again.", registry=self.registry)
        self.outbox_depth = Gauge("pilotage_vm_outbox_depth", "Messages still to be delivered.", registry=self.registry)
        self.connected = Gauge("pilotage_vm_broker_connected", "1: the broker is there.", registry=self.registry)
        self.outcomes: Tally[str] = Tally()

    def decided(self, count: int, seconds: float) -> None:
        """Note decisions and the time they took."""
        self._decisions.inc(count)
        self._decide_s.inc(seconds)

    def committed(self, outcomes: Sequence[Outcome], decided: Sequence[Decided], letters: int, seconds: float) -> None:
        """Note what became of a batch."""
        self._commit_s.observe(seconds)
        told: Tally[str] = Tally({"malformed": letters} if letters else {})
        for each, outcome in zip(decided, outcomes, strict=True):
            ended = "success" if each.host else each.error_class
            told[ended if outcome == "committed" else outcome] += 1
        for outcome_name, count in told.items():
            self._requests.labels(outcome_name).inc(count)
        self.outcomes += told
