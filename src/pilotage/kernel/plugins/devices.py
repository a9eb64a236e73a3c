"""Device rules: which GPUs of the chosen node a task gets."""

from dataclasses import dataclass

from pilotage.kernel.columns import Columns
from pilotage.kernel.hashing import key_hash, random_number
from pilotage.kernel.plugin import DeviceRule
from pilotage.model.task import Task


@dataclass(frozen=True)
class Tightest(DeviceRule):
    """The GPUs with the least share left that still fit; lowest number on ties."""

    name = "tightest"

    def choose(self, task: Task, columns: Columns, row: int, seed: int) -> tuple[int, ...]:
        fitting = _fitting(task, columns, row)
        return tuple(gpu for _, gpu in sorted(fitting)[: task.gpus])


@dataclass(frozen=True)
class RandomGpus(DeviceRule):
    """Any GPUs that fit, uniformly, keyed by seed and task."""

    name = "random"

    def choose(self, task: Task, columns: Columns, row: int, seed: int) -> tuple[int, ...]:
        key = key_hash(seed, task.id)
        drawn = sorted((random_number(key, gpu), gpu) for _, gpu in _fitting(task, columns, row))
        return tuple(sorted(gpu for _, gpu in drawn[: task.gpus]))


def _fitting(task: Task, columns: Columns, row: int) -> list[tuple[int, int]]:
    _, _, free = columns.numbers_of(row)
    return [(share, gpu) for gpu, share in enumerate(free) if share >= task.gpu_share]
