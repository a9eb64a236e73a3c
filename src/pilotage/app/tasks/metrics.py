"""What Prometheus sees of the task queue: read from the service's own counters when it asks, never before."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from pilotage.engine.routing.guard import Guarded
from pilotage.engine.routing.late_binding import LateBinding
from pilotage.service.tasks import TaskService
from pilotage.service.times import BOUNDS_S, Histogram

BREAKER = {"closed": 1.0, "half-open": 0.5, "open": 0.0}


class TaskMetrics(Collector):
    """``service`` gives the one that leads now, or None."""

    def __init__(self, service: Callable[[], TaskService | None]) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """All metrics; of a standby only that it is one."""
        service = self._service()
        yield GaugeMetricFamily("pilotage_leading", "1 while this process leads", 1.0 if service else 0.0)
        if service is None:
            return
        yield CounterMetricFamily("pilotage_tasks_submitted", "Tasks accepted since the start", service.submitted)
        ended = CounterMetricFamily("pilotage_tasks_ended", "Tasks that ended since the start", labels=["status"])
        for status, count in service.ended.items():
            ended.add_metric([status], count)
        yield ended
        yield GaugeMetricFamily("pilotage_tasks_waiting", "Tasks on no instance", service.queue.waiting)
        outstanding = GaugeMetricFamily("pilotage_instance_tasks", "Tasks on an instance", labels=["instance", "model"])
        state = GaugeMetricFamily("pilotage_instance_ready", "1 if it may be given tasks", labels=["instance", "model"])
        for member in service.fleet.members.values():
            labels = [member.place, member.instance().model]
            outstanding.add_metric(labels, len(service.queue.on.get(member.id, ())))
            state.add_metric(labels, 1.0 if member.state == "ready" else 0.0)
        yield outstanding
        yield state
        yield from _strategy(service)
        yield CounterMetricFamily("pilotage_instance_calls", "Requests made to instances", service.fleet.calls)
        yield GaugeMetricFamily("pilotage_watchers", "Clients that follow the events", service.hub.watchers)
        yield _histogram("pilotage_task_seconds", "From submitted to completed", service.times.total)
        yield _histogram("pilotage_dispatch_seconds", "From stored to sent", service.times.dispatch)


def _strategy(service: TaskService) -> Iterator[Metric]:
    """Breakers, and how good the predictions are that the strategy `pilotage` acts on."""
    strategy = service.queue.strategy
    if not isinstance(strategy, Guarded):
        return
    now = service.now()
    breakers = GaugeMetricFamily("pilotage_instance_breaker", "1: closed; 0.5: half-open; 0: open", labels=["instance"])
    for member in service.fleet.members.values():
        gate = strategy.gate(member.id)
        if gate is not None:
            breakers.add_metric([member.place], BREAKER[gate.state(now)])
    yield breakers
    if not isinstance(strategy.inner, LateBinding):
        return
    missed = GaugeMetricFamily("pilotage_prediction_missed", "Share off by more than a factor of 2", labels=["model"])
    covered = GaugeMetricFamily("pilotage_prediction_covered", "Share inside the 80 % interval", labels=["model"])
    poor = GaugeMetricFamily("pilotage_prediction_poor", "1 while predictions are not acted on", labels=["model"])
    for model, values in strategy.inner.quality.items():
        for family, value in zip((missed, covered, poor), values, strict=True):
            family.add_metric([model], float(value))
    yield from (missed, covered, poor)


def _histogram(name: str, meaning: str, found: Histogram) -> Metric:
    total, buckets = 0, []
    for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), found.counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return HistogramMetricFamily(name, meaning, buckets=buckets, sum_value=found.sum_s)
