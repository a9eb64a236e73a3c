"""A target workload: the mix of specs that a cluster is expected to receive."""

from collections import Counter
from collections.abc import Iterable, Mapping

from immutabledict import immutabledict
from msgspec import Struct
from msgspec.structs import force_setattr

from pilotage.model.amounts import checked_amount
from pilotage.model.errors import InvalidInput
from pilotage.model.task import TaskSpec

MAX_WEIGHT = 2**31
"""Largest sum of weights: times the thousandths of a node's GPUs it still fits an int64."""


class Workload(Struct, frozen=True, cache_hash=True):
    """Specs with integer weights (how many tasks of that spec); weights are relative.

    ``leaves``: whether tasks of this mix end again, so that the room they leave is given away anew.
    """

    parts: tuple[tuple[TaskSpec, int], ...]
    leaves: bool = False

    def __post_init__(self) -> None:
        force_setattr(self, "parts", tuple((spec, weight) for spec, weight in self.parts))
        for i, (_, weight) in enumerate(self.parts):
            if checked_amount(f"workload[{i}].weight", weight, at_most=MAX_WEIGHT) == 0:
                raise InvalidInput(f"workload[{i}].weight", "must be above 0")
        if not 0 < self.total <= MAX_WEIGHT:
            raise InvalidInput("workload", f"the weights must add up to 1 .. {MAX_WEIGHT}, got {self.total}")

    @property
    def total(self) -> int:
        """Sum of the weights."""
        return sum(weight for _, weight in self.parts)


Group = tuple[int, int, int, tuple[str, ...]]
"""What a mix tells apart: CPU in milli, GPUs, share of each in thousandths, allowed models."""


def group_of(spec: TaskSpec) -> Group:
    """Return the group of a spec, everything else forgotten."""
    return (spec.demand.get("cpu", 0), spec.gpus, spec.gpu_share, spec.gpu_models)


def head_workload(specs: Iterable[TaskSpec], keep: float = 0.95) -> Workload:
    """Return `head_of` the groups of ``specs``, one task each."""
    return head_of(Counter(map(group_of, specs)), keep)


def head_of(counts: Mapping[Group, int], keep: float = 0.95, *, leaves: bool = False) -> Workload:
    """The commonest groups that together make up ``keep`` of all tasks.

    Groups are ordered by count falling (ties: first come first) and cut once the head covers ``keep`` of the tasks.
    Source: the openb experiment (Weng et al., USENIX ATC'23), which cuts at 95 %.
    """
    total, covered, head = sum(counts.values()), 0, []
    for (cpu, gpus, share, models), count in sorted(counts.items(), key=lambda item: -item[1]):
        if covered >= keep * total:
            break
        spec = TaskSpec(demand=immutabledict(cpu=cpu), gpus=gpus, gpu_share=share, gpu_models=models)
        head.append((spec, count))
        covered += count
    return Workload(tuple(head), leaves)
