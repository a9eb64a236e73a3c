"""A target workload: the mix of specs that a cluster is expected to receive."""

from collections.abc import Iterable

from immutabledict import immutabledict
from msgspec import Struct
from msgspec.structs import force_setattr

from pilotage.model.amounts import checked_amount
from pilotage.model.errors import InvalidInput
from pilotage.model.task import TaskSpec

MAX_WEIGHT = 2**31
"""Largest sum of weights: times the thousandths of a node's GPUs it still fits an int64."""


class Workload(Struct, frozen=True, cache_hash=True):
    """Specs with integer weights (how many tasks of that spec); weights are relative."""

    parts: tuple[tuple[TaskSpec, int], ...]

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


def head_workload(specs: Iterable[TaskSpec], keep: float = 0.95) -> Workload:
    """The commonest specs that together make up ``keep`` of all tasks, memory forgotten.

    Specs are grouped by CPU, share per GPU, GPU count and allowed models, ordered by count falling (ties: first
    seen first) and cut once the head covers ``keep`` of the tasks. Source: the openb experiment (Weng et al.,
    USENIX ATC'23), which cuts at 95 %.
    """
    counts: dict[TaskSpec, int] = {}
    for spec in specs:
        group = TaskSpec(
            demand=immutabledict(cpu=spec.demand.get("cpu", 0)),
            gpus=spec.gpus,
            gpu_share=spec.gpu_share,
            gpu_models=spec.gpu_models,
        )
        counts[group] = counts.get(group, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    total, covered, head = sum(counts.values()), 0, []
    for group, count in ordered:
        if covered >= keep * total:
            break
        head.append((group, count))
        covered += count
    return Workload(tuple(head))
