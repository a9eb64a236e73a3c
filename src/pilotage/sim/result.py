"""The result of one run: plain numbers under the names that ``--json`` prints."""

from msgspec import Struct


class Curve(Struct, frozen=True):
    """How a run went, point by point.

    ``x`` is the GPU demand arrived so far in % of the cluster's GPUs (untimed) or the time in seconds (timed), as
    ``x_is`` says. All percentages are of the cluster's GPUs.
    """

    x_is: str
    x: tuple[float, ...]
    gpu_allocation_pct: tuple[float, ...]
    frag_pct: tuple[float, ...]


class Run(Struct, frozen=True, kw_only=True):
    """What one policy did with one trace under one seed. None: the number has no meaning here.

    ``gpu_allocation_pct_at_100`` and ``frag_pct_at_100``: GPUs allocated, and GPUs that the expected mix of tasks
    can not use, in % of the cluster's GPUs, mean over the events at which the arrived GPU demand rounds to 100 %.
    ``refused_feasible``: tasks that some node could take but that were not placed at that moment. ``cpu_s``: CPU
    seconds inside the engine; ``decisions_per_s`` rests on it. ``unplaced``: tasks that never got a place.
    ``*_mean_pct``: means over the time of a timed trace. ``digest``: SHA-256 over all decisions in order.
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
    gpu_allocation_mean_pct: float | None = None
    cpu_allocation_mean_pct: float | None = None
    waiting_mean_s: float | None = None
    waiting_p99_s: float | None = None
    end_s: float | None = None
    digest: str
    curve: Curve | None
