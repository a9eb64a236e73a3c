"""What kube-scheduler calls our filters, their reasons and their verdicts, and how it tells that no node will do."""

from collections.abc import Hashable, Iterable
from typing import Any

from pilotage.kernel.columns import Columns
from pilotage.kernel.plugin import Filter
from pilotage.kernel.plugins.ports import Ports
from pilotage.kernel.plugins.spread import SpreadWithin
from pilotage.kernel.plugins.task_company import RequiredCompany

PLUGINS = {
    "cordon": "NodeUnschedulable",
    "node-name": "NodeName",
    "taints": "TaintToleration",
    "pinned-nodes": "NodeAffinity",
    "enforced-affinity": "NodeAffinity",
    "node-affinity": "NodeAffinity",
    "ports": "NodePorts",
    "capacity": "NodeResourcesFit",
    "fewest-taints": "TaintToleration",
    "preferred-affinity": "NodeAffinity",
    "allocated": "NodeResourcesFit",
    "shape": "NodeResourcesFit",
    "balanced": "NodeResourcesBalancedAllocation",
    "image-locality": "ImageLocality",
    "spread": "PodTopologySpread",
    "even-spread": "PodTopologySpread",
    "company": "InterPodAffinity",
    "welcome-company": "InterPodAffinity",
}
"""Plugins there by the names of filters and scorers here."""

_REASONS = {
    "node(s) didn't match the task's node affinity/selector": "node(s) didn't match Pod's node affinity/selector",
    "node(s) didn't have free ports for the requested task ports": (
        "node(s) didn't have free ports for the requested pod ports"
    ),
    "Too many tasks": "Too many pods",
}

CONFLICT = "pod affinity terms conflict"
"""A pod whose terms contradict each other is refused before any node is looked at."""


def reason_of(reason: str) -> str:
    """Return a reason in kube-scheduler's words."""
    return _REASONS.get(reason, reason)


def plugin_of(name: str) -> str:
    """Return what the plugin behind a filter or scorer is called there; a user's own keeps its name."""
    return PLUGINS.get(name, name)


_CURABLE = (SpreadWithin.reason, RequiredCompany.crowded, RequiredCompany.unwelcome, Ports.reason)
"""Reasons that may be gone when pods are."""


def is_final(
    plugin: Filter, fragment: Hashable, columns: Columns, row: int, why: Iterable[str], *, sized: bool = True
) -> bool:
    """Whether a node that refuses would still refuse if all its pods were gone (UnschedulableAndUnresolvable).

    ``sized``: a node that is too small even when empty is such a one (from release 1.34 on).
    """
    if any(reason in _CURABLE for reason in why):
        return False
    if plugin.name == "capacity":
        if not sized:
            return False
        asked: Any = fragment
        limits = {name: columns.capacity.item(i, row) for name, i in columns.resources.items()}
        return any(amount > limits.get(name, 0) for name, amount in asked if name != "tasks")
    return plugin.name in PLUGINS


def fit_error(nodes: int, rejections: Iterable[tuple[str, str, int]]) -> str:
    """Return the text of a failed attempt: how many nodes refused, for each reason, sorted as text."""
    if not nodes:
        return "no nodes available to schedule pods"
    counts: dict[str, int] = {}
    for _, reason, count in rejections:
        told = reason_of(reason)
        counts[told] = counts.get(told, 0) + count
    if CONFLICT in counts:
        return f"0/{nodes} nodes are available: {CONFLICT}."
    histogram = ", ".join(sorted(f"{count} {reason}" for reason, count in counts.items()))
    return f"0/{nodes} nodes are available: {histogram}." if histogram else f"0/{nodes} nodes are available:"


def gated(gates: Iterable[str]) -> str:
    """Return why a gated pod waits."""
    return f"waiting for scheduling gates: [{' '.join(gates)}]"
