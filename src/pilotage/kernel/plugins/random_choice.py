"""Scorer: a uniform random number per task and node, keyed by the seed."""

from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import IntArray
from pilotage.kernel.hashing import key_hash, random_numbers
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import Scorer
from pilotage.model.task import Task


@dataclass(frozen=True)
class RandomScore(Scorer):
    """Uniform in 0..2^40 - 1: as the only scorer it takes one feasible node uniformly."""

    name = "random"
    depends = "global"

    def fragment(self, task: Task) -> Task:
        return task

    def score(self, fragment: Task, nodes: Nodes) -> IntArray:
        return (random_numbers(key_hash(nodes.seed, fragment.id), nodes.name_hash) >> np.uint64(24)).astype(np.int64)
