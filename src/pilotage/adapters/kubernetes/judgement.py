"""Everything that a policy says about one pod on every node, in kube-scheduler's words: what `--explain` shows."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from pilotage.adapters.kubernetes.messages import is_final, plugin_of, reason_of
from pilotage.kernel.arrays import IntArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.policy import Policy
from pilotage.model.task import Task


class Refusal(Struct, frozen=True):
    """Why a node will not do. ``final``: preemption would not help."""

    plugin: str
    reasons: tuple[str, ...]
    final: bool

    @property
    def code(self) -> str:
        """The status code of the framework."""
        return "UnschedulableAndUnresolvable" if self.final else "Unschedulable"


class Scores(Struct, frozen=True):
    """What one scorer gives the feasible nodes: as it comes, brought to 0..100, and its weight."""

    plugin: str
    weight: int
    raw: dict[str, float]
    normalised: dict[str, float]


class Judgement(Struct, frozen=True):
    """Per node: the first refusal, or the total of its scores. ``alone``: every filter's refusals, asked alone."""

    refused: dict[str, Refusal]
    alone: dict[str, dict[str, Refusal]]
    scores: tuple[Scores, ...]
    totals: dict[str, float]


def judge(policy: Policy, columns: Columns, task: Task, rows: Sequence[int], *, sized: bool = True) -> Judgement:
    """Ask every plugin about the nodes of ``rows``; nothing is remembered and nothing decided.

    ``sized``: see `is_final`.
    """
    alone: dict[str, dict[str, Refusal]] = {}
    refused: dict[str, Refusal] = {}
    for plugin in policy.filters:
        fragment = plugin.fragment(task)
        if fragment is None:
            continue
        mask = plugin.mask(fragment, Nodes(columns, np.array(rows, np.int64)))
        for row, fits in zip(rows, mask.tolist(), strict=True):
            if fits:
                continue
            why = plugin.why(fragment, Nodes(columns, np.array([row])))
            name = columns.names[row]
            refusal = Refusal(
                plugin_of(plugin.name),
                tuple(sorted(map(reason_of, why))),
                is_final(plugin, fragment, columns, row, why, sized=sized),
            )
            alone.setdefault(plugin.name, {})[name] = refusal
            refused.setdefault(name, refusal)
    feasible: IntArray = np.array([row for row in rows if columns.names[row] not in refused], np.int64)
    scores = _scores(policy, columns, task, feasible)
    totals = {columns.names[row]: sum(s.weight * s.normalised[columns.names[row]] for s in scores) for row in feasible}
    return Judgement(refused, alone, scores, totals)


def _scores(policy: Policy, columns: Columns, task: Task, feasible: IntArray) -> tuple[Scores, ...]:
    found = []
    names = [columns.names[row] for row in feasible]
    for scorer, weight in policy.scorers if names else ():
        fragment = scorer.fragment(task)
        if fragment is None:
            continue
        raw = scorer.score(fragment, Nodes(columns, feasible))
        scaled = raw
        if scorer.normaliser is not None:
            everyone = np.ones(len(raw), np.bool_)
            scaled = scorer.normaliser.apply(raw, *scorer.normaliser.bounds(raw, everyone, len(raw)))
        given = dict(zip(names, raw.tolist(), strict=True))
        found.append(Scores(plugin_of(scorer.name), weight, given, dict(zip(names, scaled.tolist(), strict=True))))
    return tuple(found)
