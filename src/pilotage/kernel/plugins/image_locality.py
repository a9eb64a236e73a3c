"""Scorer: nodes where the task's container images lie already."""

from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import IntArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.normalise import MAX_SCORE
from pilotage.kernel.plugin import Scorer
from pilotage.model.task import Task

_MIB = 2**20
LEAST = 23 * _MIB
"""Up to this nothing is gained."""
MOST = 1000 * _MIB
"""More than this per container gains nothing more."""


@dataclass(frozen=True)
class ImageLocality(Scorer):
    """100 x (sum - 23 MiB) / (1000 MiB x containers - 23 MiB), the sum cut to those bounds, in integers.

    The sum is over the containers whose image lies on the node: its size x the part of all nodes that have it,
    truncated. Source: ImageLocality of kube-scheduler.
    """

    name = "image-locality"
    reads = ("images", "names")
    bits = 8

    def fragment(self, task: Task) -> tuple[str, ...] | None:
        return task.spec.images or None

    def score(self, fragment: tuple[str, ...], nodes: Nodes) -> IntArray:
        columns = nodes.columns
        total = np.zeros(columns.n, np.int64)
        for name in fragment:
            image = columns.images.get(name)
            if image is not None:
                total[list(image.rows)] += _worth(image.size, len(image.rows), len(columns.row_of))
        most = MOST * len(fragment)
        scaled: IntArray = MAX_SCORE * (np.clip(nodes.of(total), LEAST, most) - LEAST) // (most - LEAST)
        return scaled

    def score_row(self, fragment: tuple[str, ...], columns: Columns, row: int) -> int:
        total = 0
        for name in fragment:
            image = columns.images.get(name)
            if image is not None and row in image.rows:
                total += _worth(image.size, len(image.rows), len(columns.row_of))
        most = MOST * len(fragment)
        return MAX_SCORE * (max(LEAST, min(total, most)) - LEAST) // (most - LEAST)


def _worth(size: int, having: int, nodes: int) -> int:
    return int(size * (having / nodes))
