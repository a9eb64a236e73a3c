"""The result of one run: plain numbers under the names that ``--json`` prints."""

from msgspec import Struct


class Curve(Struct, frozen=True, kw_only=True):
    """How a run went, point by point; a series without meaning (GPUs of a cluster that has none) is empty.

    ``x`` is the GPU demand arrived so far in % of the cluster's GPUs (untimed) or the time in seconds (timed), as
    ``x_is`` says. Percentages are of the whole cluster. ``hosts_in_use``: nodes with a task; ``unplaced``: tasks that
    have arrived and have no place (waiting, or dropped for good where tasks do not wait). Both of timed traces only.
    """

    x_is: str
    x: tuple[float, ...]
    gpu_allocation_pct: tuple[float, ...] = ()
    frag_pct: tuple[float, ...] = ()
    cpu_allocation_pct: tuple[float, ...] = ()
    hosts_in_use: tuple[float, ...] = ()
    unplaced: tuple[float, ...] = ()


class ClassCount(Struct, frozen=True):
    """Tasks of one class (``CPU only``, ``shared GPU``, ``1 GPU``, ``2 GPUs``...) that arrived and found no place."""

    name: str
    arrived: int
    refused: int


class Histogram(Struct, frozen=True):
    """Counts between edges: ``counts[i]`` from ``edges[i]`` up to ``edges[i + 1]``, the last one without end."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class HeatGroup(Struct, frozen=True):
    """Nodes of one shape, fullest first: how much of each one's GPUs (CPU, if it has none) is allocated, in %."""

    name: str
    allocated_pct: tuple[int, ...]


class Run(Struct, frozen=True, kw_only=True):
    """What one policy did with one trace under one seed. None: the number has no meaning here.

    ``gpu_allocation_pct_at_100`` and ``frag_pct_at_100``: GPUs allocated, and GPUs that the expected mix of tasks
    can not use, in % of the cluster's GPUs, mean over the events at which the arrived GPU demand rounds to 100 %.
    ``refused_feasible``: tasks that some node could take but that were not placed at that moment. ``cpu_s``: CPU
    seconds inside the engine; ``decisions_per_s`` rests on it, ``latency_us`` tells how single decisions spread, with
    their share of the events that led to them. ``unplaced``: tasks that never got a place. ``classes``: the same by
    class, of an untimed trace up to 100 % arrived. ``digest``: SHA-256 over all decisions in order.

    Timed traces: ``*_mean_pct``: means over time. ``slowdown_*``: (wait + duration) / duration, both at least 10 s, of
    the tasks that got a place and end. ``hosts_mean``, ``hosts_most``: nodes with a task. ``host_time_ratio``: node
    hours in use, over the fewest that the amounts in use ask for at each instant. ``stranded_*_pct``: free amounts
    of nodes in use that tasks of average shape can not use, for lack of another amount, % of the cluster.
    ``evictions``: how often a task had to leave for a more important one; it runs again from its beginning.
    ``fairness``: Jain's index of the users' mean slowdowns, 1 if all are alike. ``heat``: allocation by node, at 100 %
    arrived or as a mean over time.
    """

    trace: str
    policy: str
    seed: int
    gpu_allocation_pct_at_100: float | None
    gpu_allocation_pct_at_130: float | None
    frag_pct_at_100: float | None
    refused_feasible: int
    placed: int
    decisions: int
    decisions_per_s: float
    cpu_s: float
    arrivals: int
    unplaced: int
    evictions: int | None = None
    gpu_allocation_mean_pct: float | None = None
    frag_mean_pct: float | None = None
    cpu_allocation_mean_pct: float | None = None
    waiting_mean_s: float | None = None
    waiting_p99_s: float | None = None
    slowdown_mean: float | None = None
    slowdown_p99: float | None = None
    hosts_mean: float | None = None
    hosts_most: int | None = None
    host_time_ratio: float | None = None
    stranded_cpu_pct: float | None = None
    stranded_memory_pct: float | None = None
    fairness: float | None = None
    end_s: float | None = None
    digest: str
    classes: tuple[ClassCount, ...] = ()
    latency_us: Histogram | None = None
    latency_p50_us: float | None = None
    latency_p99_us: float | None = None
    curve: Curve | None
    heat: tuple[HeatGroup, ...] = ()
