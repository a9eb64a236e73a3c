"""Classes of tasks by what they ask for: who is refused shows whether a policy pays for its gain with one of them."""

from collections import Counter

from pilotage.model.amounts import WHOLE_GPU
from pilotage.model.task import TaskSpec
from pilotage.sim.result import ClassCount


def class_of(spec: TaskSpec) -> tuple[int, str]:
    """Return the class of a spec: its place in a list, and its name."""
    if not spec.gpus:
        return 0, "CPU only"
    if spec.gpu_share < WHOLE_GPU:
        return 1, "shared GPU"
    return 1 + spec.gpus, "1 GPU" if spec.gpus == 1 else f"{spec.gpus} GPUs"


class ClassTally:
    """Arrivals, and those of them without a place, by class."""

    def __init__(self) -> None:
        self._arrived: Counter[tuple[int, str]] = Counter()
        self._unplaced: Counter[tuple[int, str]] = Counter()

    def arrived(self, spec: TaskSpec) -> None:
        """Count an arrival."""
        at = class_of(spec)
        self._arrived[at] += 1
        self._unplaced[at] += 1

    def placed(self, spec: TaskSpec) -> None:
        """Count a place found."""
        self._unplaced[class_of(spec)] -= 1

    def lost(self, spec: TaskSpec) -> None:
        """Count a place lost."""
        self._unplaced[class_of(spec)] += 1

    def counts(self) -> tuple[ClassCount, ...]:
        """Return what was counted so far, small classes first."""
        return tuple(
            ClassCount(at[1], arrived, self._unplaced[at]) for at, arrived in sorted(self._arrived.items()) if arrived
        )
