"""Filter: a node must have enough GPUs of an allowed model with enough share left on each."""

from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import BoolArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import Filter
from pilotage.model.amounts import WHOLE_GPU
from pilotage.model.change import Change, ModelAllowed, MoreGpuFree, MoreGpus
from pilotage.model.events import Cure
from pilotage.model.task import Task

Fragment = tuple[int, int, tuple[str, ...]]


@dataclass(frozen=True)
class GpuFit(Filter):
    """At least ``gpus`` GPUs with ``gpu_share`` thousandths left, model in the allowed set (empty: any)."""

    name = "gpu-fit"
    reads = ("devices", "models")
    cures = Cure.CAPACITY | Cure.TASK_LEFT
    reason = "Insufficient gpu"

    def fragment(self, task: Task) -> Fragment | None:
        spec = task.spec
        return (spec.gpus, spec.gpu_share, spec.gpu_models) if spec.gpus else None

    def mask(self, fragment: Fragment, nodes: Nodes) -> BoolArray:
        count, share, models = fragment
        fitting = (nodes.gpu_free >= share).sum(axis=0, dtype=np.int16)  # 16 bits: many times faster than 64
        fits: BoolArray = fitting >= count
        return fits & self._allowed(models, nodes) if models else fits

    def mask_row(self, fragment: Fragment, columns: Columns, row: int) -> bool:
        count, share, models = fragment
        if models and columns.models.values[columns.gpu_model.item(row)] not in models:
            return False
        _, _, free = columns.numbers_of(row)
        return sum([left >= share for left in free]) >= count

    def why(self, fragment: Fragment, nodes: Nodes) -> dict[str, int]:
        other_model = len(nodes) - int(np.count_nonzero(self._allowed(fragment[2], nodes)))
        counts = {"GPU model not allowed": other_model, self.reason: len(nodes) - other_model}
        return {reason: count for reason, count in counts.items() if count}

    def remedy(self, fragment: Fragment, columns: Columns, row: int) -> tuple[Change, ...]:
        """The GPUs that lack least come first; an allowed model, and GPUs where there are too few."""
        count, share, models = fragment
        model, gpus = columns.models.values[columns.gpu_model.item(row)], columns.gpu_count.item(row)
        _, _, free = columns.numbers_of(row)
        # Tasks may hold GPUs that the node has no more: of a GPU that comes back they have their share.
        added, missing = 0, count - gpus
        while missing > 0:
            taken = free[gpus + added] if gpus + added < len(free) else 0
            missing -= WHOLE_GPU + taken >= share
            added += 1
        more = (MoreGpus(added, models[0] if models and not gpus else ""),) if added else ()
        allowed = (ModelAllowed(model),) if gpus and models and model not in models else ()
        best = sorted(((left, gpu) for gpu, left in enumerate(free[:gpus])), reverse=True)[:count]
        return (*allowed, *(MoreGpuFree(gpu, share - left) for left, gpu in best if left < share), *more)

    @staticmethod
    def _allowed(models: tuple[str, ...], nodes: Nodes) -> BoolArray:
        if not models:
            return np.ones(len(nodes), np.bool_)
        table = np.array([model in models for model in nodes.columns.models.values])
        allowed: BoolArray = table[nodes.gpu_model]
        return allowed
