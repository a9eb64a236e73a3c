"""Arguments of plugins in a configuration: read, checked, and those that decide handed on to the profile."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from pilotage.adapters.kubernetes.objects import NodeAffinity, SpreadConstraint
from pilotage.adapters.kubernetes.profile import FitArgs
from pilotage.adapters.kubernetes.reading import Part
from pilotage.adapters.kubernetes.selectors import field_fault, label_fault
from pilotage.adapters.kubernetes.translate import Ignored
from pilotage.kernel.weights import Pairs

STRATEGIES = ("LeastAllocated", "MostAllocated", "RequestedToCapacityRatio")
_LABEL = re.compile(r"(?:[a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)

_POLICIES = ("nodeAffinityPolicy", "nodeTaintsPolicy")

Found = dict[str, Any]
"""Fields of a `Profile` that arguments set."""


def read_arguments(plugin: str, args: Part) -> Found:
    """Return what the arguments of ``plugin`` set in the profile, noting every fault."""
    args.text("apiVersion", choices=("kubescheduler.config.k8s.io/v1",))
    args.text("kind", choices=(f"{plugin}Args",))
    found = READERS[plugin](args)
    args.done()
    return found


def _fit(args: Part) -> Found:
    names, groups = args.texts("ignoredResources"), args.texts("ignoredResourceGroups")
    for i, name in enumerate(names):
        if not _LABEL.fullmatch(name):
            args.fault(f"ignoredResources[{i}]", f"{name!r:.60} is no name of a resource")
    for i, group in enumerate(groups):
        if not _LABEL.fullmatch(group) or "/" in group:
            args.fault(f"ignoredResourceGroups[{i}]", f"{group!r:.60} is no group: it stands before the slash")
    if not args.has("scoringStrategy"):
        args.take("scoringStrategy")
        return {"fit": FitArgs(ignored=Ignored(tuple(names), tuple(groups)))}
    scoring = args.part("scoringStrategy")
    kind: Any = scoring.text("type", "LeastAllocated", choices=STRATEGIES)
    weights = _weights(scoring, at_most=100)
    ratio = scoring.part("requestedToCapacityRatio")
    shape = _shape(ratio) if scoring.has("requestedToCapacityRatio") else ()
    if kind == "RequestedToCapacityRatio" and not shape:
        scoring.fault("requestedToCapacityRatio.shape", "needs at least one point (utilization, score)")
    ratio.done()
    scoring.done()
    ignored = Ignored(tuple(names), tuple(groups))
    return {"fit": FitArgs(ignored=ignored, strategy=kind, weights=weights, shape=shape)}


def _weights(part: Part, at_most: int) -> Pairs:
    pairs = []
    for each in part.parts("resources"):
        name, weight = each.text("name"), each.whole("weight", 1, at_least=0, at_most=at_most)
        if not name:
            each.fault("name", "must name a resource")
        each.done()
        pairs.append((name, weight or 1))
    return tuple(pairs) or (("cpu", 1), ("memory", 1))


def _shape(part: Part) -> tuple[tuple[int, int], ...]:
    points: list[tuple[int, int]] = []
    for each in part.parts("shape"):
        point = (each.whole("utilization", 0, 0, 100), each.whole("score", 0, 0, 10))
        each.done()
        if points and point[0] <= points[-1][0]:
            each.fault("utilization", f"must rise from point to point, got {point[0]} after {points[-1][0]}")
        points.append(point)
    return tuple(points)


def _balanced(args: Part) -> Found:
    pairs = _weights(args, at_most=1)
    names = [name for name, _ in pairs]
    for i, name in enumerate(names):
        if name in names[:i]:
            args.fault(f"resources[{i}].name", f"{name!r} is named twice")
    return {"balanced": tuple(names)}


def _node_affinity(args: Part) -> Found:
    value = args.take("addedAffinity")
    if value is None:
        return {}
    try:
        added = msgspec.convert(value, NodeAffinity)
    except msgspec.ValidationError as error:
        args.fault("addedAffinity", str(error))
        return {}
    required = added.required_during_scheduling_ignored_during_execution
    terms = [
        *(("required", i, term) for i, term in enumerate((required.node_selector_terms or ()) if required else ())),
        *(
            ("preferred", i, each.preference)
            for i, each in enumerate(added.preferred_during_scheduling_ignored_during_execution or ())
        ),
    ]
    for which, i, term in terms:
        for fault in (*map(label_fault, term.match_expressions or ()), *map(field_fault, term.match_fields or ())):
            if fault:
                args.fault(f"addedAffinity.{which}[{i}]", fault)
    return {"added_affinity": added}


def _preemption(args: Part) -> Found:
    percentage = args.whole("minCandidateNodesPercentage", 10, 0, 100)
    absolute = args.whole("minCandidateNodesAbsolute", 100, 0)
    if not percentage and not absolute:
        args.fault("minCandidateNodesPercentage", "must not be 0 together with minCandidateNodesAbsolute")
    return {}


def _inter_pod_affinity(args: Part) -> Found:
    weight = args.whole("hardPodAffinityWeight", 1, 0, 100)
    ignore = args.flag("ignorePreferredTermsOfExistingPods", False)
    return {"hard_weight": weight, "ignore_preferred": ignore}


def _spread(args: Part) -> Found:
    """Which constraints pods have that name none; whom they count follows from services and controllers."""
    kind = args.text("defaultingType", "System", choices=("System", "List"))
    constraints = args.parts("defaultConstraints")
    if kind == "System" and constraints:
        args.fault("defaultingType", "must be List where defaultConstraints are given")
    seen = set()
    found = []
    for each in constraints:
        skew = each.whole("maxSkew", 1, at_least=1)
        key, when = each.text("topologyKey"), each.text("whenUnsatisfiable", "", ("DoNotSchedule", "ScheduleAnyway"))
        if not _LABEL.fullmatch(key):
            each.fault("topologyKey", f"must be the key of a label, got {key!r:.60}")
        if not each.has("whenUnsatisfiable"):
            each.fault("whenUnsatisfiable", "must be DoNotSchedule or ScheduleAnyway")
        if each.take("labelSelector") is not None:
            each.fault("labelSelector", "must not be given: it is deduced for each pod")
        if (key, when) in seen:
            each.fault("topologyKey", f"{key!r} with {when} is there twice")
        seen.add((key, when))
        domains = each.whole("minDomains", 1, at_least=1)
        affinity, taints = (each.text(name, "", ("Honor", "Ignore")) for name in _POLICIES)
        each.take("matchLabelKeys")  # what is deduced takes the place of what they would add to
        each.done()
        found.append(
            SpreadConstraint(
                max_skew=skew,
                topology_key=key,
                when_unsatisfiable=when,
                min_domains=domains,
                node_affinity_policy=affinity or None,
                node_taints_policy=taints or None,
            )
        )
    return {"default_spread": tuple(found)} if kind == "List" else {}


def _volume_binding(args: Part) -> Found:
    args.whole("bindTimeoutSeconds", 600, at_least=0)
    if args.take("shape") is not None:
        args.fault("shape", "needs the feature gate StorageCapacityScoring, which is off")
    return {}


def _claims(args: Part) -> Found:
    args.seconds("filterTimeout", 10.0)
    if args.seconds("bindingTimeout", 600.0) < 1.0:
        args.fault("bindingTimeout", "must be at least 1s")
    return {}


READERS: Mapping[str, Callable[[Part], Found]] = {
    "NodeResourcesFit": _fit,
    "NodeResourcesBalancedAllocation": _balanced,
    "NodeAffinity": _node_affinity,
    "DefaultPreemption": _preemption,
    "InterPodAffinity": _inter_pod_affinity,
    "PodTopologySpread": _spread,
    "VolumeBinding": _volume_binding,
    "DynamicResources": _claims,
}
"""Plugins that take arguments."""
