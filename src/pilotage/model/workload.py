"""A target workload: the mix of specs that a cluster is expected to receive."""

from collections.abc import Iterable

from immutabledict import immutabledict
from msgspec import Struct

from pilotage.model.task import TaskSpec


class Workload(Struct, frozen=True, cache_hash=True):
    """Specs with integer weights (how many tasks of that spec); weights are relative."""

    parts: tuple[tuple[TaskSpec, int], ...]

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
