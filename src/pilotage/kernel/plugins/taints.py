"""Filter and scorer: taints keep away tasks that do not tolerate them."""

from dataclasses import dataclass

import numpy as np

from pilotage.kernel.arrays import BoolArray, IntArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.node_terms import admits, admitted
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.normalise import ByMaximum
from pilotage.kernel.plugin import Filter, Scorer
from pilotage.kernel.tolerance import tolerates
from pilotage.model.change import Change, TaintTolerated
from pilotage.model.events import Cure
from pilotage.model.node import Taint, TaintEffect
from pilotage.model.task import Task, Toleration

Fragment = tuple[Toleration, ...]


@dataclass(frozen=True)
class TaintsTolerated(Filter):
    """Every NoSchedule and NoExecute taint of the node is tolerated.

    ``named``: a refusal names the first taint that is not (kube-scheduler up to release 1.34).
    """

    named: bool = False

    name = "taints"
    reads = ("taints",)
    cures = Cure.TAINTS
    reason = "node(s) had untolerated taint(s)"

    def fragment(self, task: Task) -> Fragment:
        return task.spec.tolerations

    def mask(self, fragment: Fragment, nodes: Nodes) -> BoolArray:
        return admitted(fragment, nodes)

    def mask_row(self, fragment: Fragment, columns: Columns, row: int) -> bool:
        return admits(fragment, columns.taints.values[columns.taint_set.item(row)])

    def remedy(self, fragment: Fragment, columns: Columns, row: int) -> tuple[Change, ...]:
        taints = columns.taints.values[columns.taint_set.item(row)]
        return tuple(TaintTolerated(taint) for taint in taints if not admits(fragment, (taint,)))

    def why(self, fragment: Fragment, nodes: Nodes) -> dict[str, int]:
        """Counts nodes together, or by the taint that stands in the way."""
        if not self.named:
            return {self.reason: len(nodes)}
        counts: dict[str, int] = {}
        for code in nodes.taint_set.tolist():
            taints = nodes.columns.taints.values[code]
            first = next(t for t in taints if not admits(fragment, (t,)))
            reason = f"node(s) had untolerated taint {{{first.key}: {first.value}}}"
            counts[reason] = counts.get(reason, 0) + 1
        return counts


@dataclass(frozen=True)
class FewestTaints(Scorer):
    """Number of PreferNoSchedule taints not tolerated, fewest best (kube-scheduler's TaintToleration score)."""

    name = "fewest-taints"
    reads = ("taints",)
    normaliser = ByMaximum(reverse=True)
    bits = 32

    def fragment(self, task: Task) -> Fragment:
        return tuple(t for t in task.spec.tolerations if t.effect in (None, TaintEffect.PREFER_NO_SCHEDULE))

    def score(self, fragment: Fragment, nodes: Nodes) -> IntArray:
        table = np.array([_unwelcome(fragment, taints) for taints in nodes.columns.taints.values], np.int64)
        return table.take(nodes.taint_set)

    def score_row(self, fragment: Fragment, columns: Columns, row: int) -> int:
        return _unwelcome(fragment, columns.taints.values[columns.taint_set.item(row)])


def _unwelcome(tolerations: Fragment, taints: tuple[Taint, ...]) -> int:
    return sum(t.effect == TaintEffect.PREFER_NO_SCHEDULE and not tolerates(tolerations, t) for t in taints)
