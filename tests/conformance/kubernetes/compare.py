"""One probe: what the oracle says about a pod, and what we say."""

from __future__ import annotations

from typing import Any

from pilotage.adapters.kubernetes.judgement import Judgement, Refusal
from pilotage.adapters.kubernetes.messages import CONFLICT, PLUGINS, fit_error, gated
from pilotage.kernel.normalise import LEFT_OUT
from tests.conformance.kubernetes.twin import Object, Twin

FILTERS = sorted(
    {
        "NodeUnschedulable",
        "NodeName",
        "TaintToleration",
        "NodeAffinity",
        "NodePorts",
        "NodeResourcesFit",
        "PodTopologySpread",
        "InterPodAffinity",
    }
)
NOTHING = "DynamicResources"
"""Scores zero in every case here: no pod has claims."""


def told(refusals: dict[str, Refusal]) -> dict[str, dict[str, Any]]:
    return {node: {"code": r.code, "reasons": list(r.reasons)} for node, r in refusals.items()}


def check(twin: Twin, pod: Object, probe: dict[str, Any]) -> Judgement:
    """Statuses, reasons, scores, texts and choice must be equal."""
    ours = twin.judge(pod)
    names = twin.order()
    _check_gates(twin, pod, probe)
    conflict = "status" in probe.get("preFilters", {}).get("NodeAffinity", {})
    _check_filters(ours, probe, conflict, names)
    if not conflict:
        pinned = ours.alone.get("pinned-nodes", {})
        theirs = probe.get("nodes", {})
        expected = {n: (s["code"], s["plugin"], s["reasons"]) for n, s in theirs.items()}
        assert {n: (r.code, r.plugin, list(r.reasons)) for n, r in ours.refused.items() if n not in pinned} == expected
    _check_scores(ours, probe)
    _check_choice(twin, pod, probe, ours, names)
    return ours


def _check_gates(twin: Twin, pod: Object, probe: dict[str, Any]) -> None:
    gates = twin.task(pod).gates
    held = probe.get("preEnqueue")
    assert bool(gates) == bool(held)
    if held:
        assert held == {
            "code": "UnschedulableAndUnresolvable",
            "plugin": "SchedulingGates",
            "reasons": [gated(gates)],
        }


def _check_filters(ours: Judgement, probe: dict[str, Any], conflict: bool, names: list[str]) -> None:
    restricted = probe.get("preFilters", {}).get("NodeAffinity", {})
    pinned = ours.alone.get("pinned-nodes", {})
    if conflict:
        assert restricted["status"]["reasons"] == [CONFLICT]
        assert {r.reasons for r in pinned.values()} == {(CONFLICT,)}
    elif restricted:
        assert set(names) - set(pinned) == set(names) & set(restricted["nodes"])
    else:
        assert not pinned
    for plugin in FILTERS:
        if conflict and plugin == "NodeAffinity":
            continue
        refusals: dict[str, Refusal] = {}
        for filter_name, each in ours.alone.items():
            if PLUGINS[filter_name] == plugin and filter_name != "pinned-nodes":
                refusals = {**each, **refusals}
        theirs = probe.get("filters", {}).get(plugin, {})
        expected = {n: {"code": s["code"], "reasons": s["reasons"]} for n, s in theirs.items()}
        assert told(refusals) == expected, plugin


def _check_scores(ours: Judgement, probe: dict[str, Any]) -> None:
    theirs = {name: raw for name, raw in probe.get("raw", {}).items() if name != NOTHING}
    mine = {s.plugin: s for s in ours.scores}
    for name, raw in theirs.items():
        scores = mine.pop(name, None)
        if scores is None:
            assert not any(raw.values()), f"{name}: not scored here, but there: {raw}"
            assert not any(probe["normalised"][name].values())
            continue
        left_out = {node for node, value in scores.raw.items() if name == "PodTopologySpread" and value == LEFT_OUT}
        assert {**scores.raw, **dict.fromkeys(left_out, 0)} == raw, name
        assert scores.normalised == probe["normalised"][name], name
    skipped = [name for name, scores in mine.items() if any(scores.normalised.values())]
    assert not skipped or not theirs, f"scored here, but skipped there: {skipped}"
    if theirs:
        assert ours.totals == probe["total"]


def _check_choice(twin: Twin, pod: Object, probe: dict[str, Any], ours: Judgement, names: list[str]) -> None:
    chosen, feasible = twin.choose(pod)
    theirs = probe.get("node", "")
    assert feasible == probe.get("feasible", 0)
    if not theirs:
        assert not chosen
        counts: dict[str, int] = {}
        for refusal in ours.refused.values():
            for reason in refusal.reasons:
                counts[reason] = counts.get(reason, 0) + 1
        assert fit_error(len(names), [("", reason, n) for reason, n in counts.items()]) == probe["message"]
    elif "pinned-nodes" in ours.alone:
        best = {node for node, total in ours.totals.items() if total == max(ours.totals.values())}
        assert theirs in best, "nodes come out of a map there"
        assert chosen in best
    else:
        assert chosen == theirs
