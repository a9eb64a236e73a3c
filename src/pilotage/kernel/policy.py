"""A policy: which plugins decide, in which order and with what weight. The same object drives every face."""

from collections.abc import Callable, Sequence
from copy import copy
from hashlib import sha256
from typing import Any, Literal

from pilotage.kernel.devices import tightest
from pilotage.kernel.functions import code_digest, located
from pilotage.kernel.plugin import LARGEST_WEIGHT, DeviceRule, Filter, Scorer
from pilotage.kernel.plugins.capacity import Capacity
from pilotage.kernel.plugins.gpu_fit import GpuFit
from pilotage.kernel.plugins.kept import KeptForOthers
from pilotage.kernel.sampling import Sampling
from pilotage.kernel.ties import TIES, Tie
from pilotage.model.errors import InvalidInput
from pilotage.model.task import Task

QueueOrder = Callable[[Task], Any]
Mix = Literal["told", "learned"]


def by_priority(task: Task) -> tuple[int, float]:
    """Queue order: higher priority first, then earlier arrival."""
    return (-task.priority, task.arrival_s)


class Policy:
    """Filters, scorers with weights, an order of the queue, a tie rule and a way to choose GPUs.

    Filters run in the given order; the first that refuses a node is the reason on record. The two capacity filters
    are always there, named or not: no policy can put more on a node than it holds. A node's score is the sum of
    weight x normalised score; the best feasible node wins, ties go by ``tie``: ``first`` (a fixed node order),
    ``heap`` (kube-scheduler 1.35) or ``seeded-random``. ``order`` gives a task's place in the queue (smaller is
    earlier, equal keys by submission). With ``sampling`` not all nodes are looked at, and their fixed order is that of
    the visit. ``mix`` says where plugins that look at the mix of tasks have it from: ``told`` by `WorkloadExpected`
    (and learned from what arrives as long as nobody tells), or always ``learned``. With ``preempt`` a task that no
    node takes may drive out tasks of lower priority. Raises `InvalidInput` naming what can not be used.
    """

    def __init__(
        self,
        *,
        filters: Sequence[Filter],
        scorers: Sequence[tuple[Scorer, int]] = (),
        tie: Tie = "first",
        order: QueueOrder = by_priority,
        devices: DeviceRule | None = None,
        mix: Mix = "told",
        sampling: Sampling | None = None,
        preempt: bool = False,
        name: str = "",
    ) -> None:
        for i, item in enumerate(filters):
            if not isinstance(item, Filter):
                raise InvalidInput(f"filters[{i}]", f"is not a filter but {_what(item)}")
        for i, pair in enumerate(scorers):
            _check_weighted(f"scorers[{i}]", pair)
        if tie not in TIES:
            raise InvalidInput("tie", f"must be one of {', '.join(TIES)}, got {tie!r}")
        if mix not in ("told", "learned"):
            raise InvalidInput("mix", f"must be told or learned, got {mix!r}")
        if not callable(order):
            raise InvalidInput("order", f"must be a function of a task, got {order!r}")
        if sampling is not None and not isinstance(sampling, Sampling):
            raise InvalidInput("sampling", f"is not a Sampling but {_what(sampling)}")
        if devices is not None and not isinstance(devices, DeviceRule):
            raise InvalidInput("devices", f"is not a device rule but {_what(devices)}")
        self.filters = (*filters, *(f for f in (Capacity(), GpuFit()) if not any(type(f) is type(g) for g in filters)))
        self.scorers = tuple((item, weight) for item, weight in scorers)
        self.tie: Tie = tie
        self.order = located(order)
        self._order_name = _named(order)
        self.devices = devices or tightest
        self.mix: Mix = mix
        self.sampling = sampling
        self.preempt = preempt
        if preempt:
            self.filters = (*self.filters, KeptForOthers())
        self.name = name or "policy"

    def __repr__(self) -> str:
        filters = ", ".join(map(repr, self.filters))
        scorers = ", ".join(f"{weight} x {item!r}" for item, weight in self.scorers)
        rest = f"tie={self.tie}, order={self._order_name}, {self.devices!r}"
        rest += ", mix=learned" if self.mix == "learned" else ""
        if self.sampling is not None:
            rest += f", {self.sampling!r}"
        rest += ", preempt" if self.preempt else ""
        return f"Policy(filters=[{filters}], scorers=[{scorers}], {rest})"

    def preempting(self) -> "Policy":
        """Return this policy with preemption."""
        if self.preempt:
            return self
        other = copy(self)
        other.preempt, other.filters = True, (*self.filters, KeptForOthers())
        return other

    @property
    def digest(self) -> str:
        """Sixteen hex digits that stand for what the policy does; equal policies have equal digests."""
        return sha256(repr(self).encode()).hexdigest()[:16]


def _check_weighted(field: str, pair: Any) -> None:
    if not (isinstance(pair, tuple) and len(pair) == 2):
        raise InvalidInput(field, f"must be a pair (scorer, weight), got {_what(pair)}")
    item, weight = pair
    if not isinstance(item, Scorer):
        raise InvalidInput(field, f"is not a scorer but {_what(item)}")
    if isinstance(weight, bool) or not isinstance(weight, int) or not 1 <= weight <= LARGEST_WEIGHT:
        raise InvalidInput(field, f"weight must be a whole number from 1 to {LARGEST_WEIGHT:,}, got {weight!r}")


def _named(order: QueueOrder) -> str:
    """An order's name, and what it does where it is a user's."""
    if order is by_priority or not hasattr(order, "__code__"):
        return getattr(order, "__qualname__", repr(order))
    return f"{order.__name__}({code_digest(order)})"


def _what(item: object) -> str:
    if callable(item) and hasattr(item, "__name__"):
        return f"the plain function {item.__name__}: decorate it with @scorer or @node_filter"
    return f"{type(item).__name__} {item!r}"[:120]
