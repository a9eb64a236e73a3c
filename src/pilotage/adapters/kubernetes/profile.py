"""A profile of kube-scheduler as a policy: which plugins at which point, with what weights and arguments."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from pilotage.adapters.kubernetes.objects import NodeAffinity as WireNodeAffinity
from pilotage.adapters.kubernetes.objects import SpreadConstraint
from pilotage.adapters.kubernetes.selectors import preferences, required_terms
from pilotage.adapters.kubernetes.surroundings import Surroundings
from pilotage.adapters.kubernetes.translate import Ignored, Reading
from pilotage.kernel import filters as known
from pilotage.kernel import scorers
from pilotage.kernel.plugin import Filter, Scorer
from pilotage.kernel.plugins.affinity import EnforcedAffinity, PinnedNodes, PreferredAffinity
from pilotage.kernel.plugins.allocated import Allocated
from pilotage.kernel.plugins.balanced import Balanced
from pilotage.kernel.plugins.shape import Shape
from pilotage.kernel.plugins.taints import TaintsTolerated
from pilotage.kernel.policy import Policy
from pilotage.kernel.sampling import Sampling
from pilotage.kernel.weights import NOMINAL, Pairs

Release = Literal["1.33", "1.34", "1.35", "1.36"]
RELEASES: tuple[Release, ...] = ("1.33", "1.34", "1.35", "1.36")
"""Releases whose differences are known. 1.33: what a pod asks for as a whole does not count, and preemption is tried on
nodes that are too small. Up to 1.34: ties are random and a refusal names the taint. From 1.36 on: balance is scored by
what the pod changes, and images that are mounted count."""

_RANDOM_TIES: tuple[Release, ...] = ("1.33", "1.34")

Strategy = Literal["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"]

DEFAULT_SCHEDULER = "default-scheduler"

DEFAULTS: tuple[tuple[str, int], ...] = (
    ("SchedulingGates", 0),
    ("PrioritySort", 0),
    ("NodeUnschedulable", 0),
    ("NodeName", 0),
    ("TaintToleration", 3),
    ("NodeAffinity", 2),
    ("NodePorts", 0),
    ("NodeResourcesFit", 1),
    ("VolumeRestrictions", 0),
    ("NodeVolumeLimits", 0),
    ("VolumeBinding", 0),
    ("VolumeZone", 0),
    ("PodTopologySpread", 2),
    ("InterPodAffinity", 2),
    ("DynamicResources", 2),
    ("DefaultPreemption", 0),
    ("NodeResourcesBalancedAllocation", 1),
    ("ImageLocality", 1),
    ("DefaultBinder", 0),
)
"""Plugins of the default profile in their order, with the weights that are set (0: not set, counts as 1)."""

POINTS: Mapping[str, tuple[str, ...]] = {
    "preEnqueue": ("SchedulingGates", "DynamicResources", "DefaultPreemption", "GangScheduling"),
    "queueSort": ("PrioritySort",),
    "preFilter": (
        "NodeAffinity", "NodePorts", "NodeResourcesFit", "VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding",
        "VolumeZone", "PodTopologySpread", "InterPodAffinity", "DynamicResources", "NodeDeclaredFeatures",
    ),
    "filter": (
        "NodeUnschedulable", "NodeName", "TaintToleration", "NodeAffinity", "NodePorts", "NodeResourcesFit",
        "VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding", "VolumeZone", "PodTopologySpread",
        "InterPodAffinity", "DynamicResources", "NodeDeclaredFeatures",
    ),
    "postFilter": ("DynamicResources", "DefaultPreemption"),
    "preScore": (
        "TaintToleration", "NodeAffinity", "NodeResourcesFit", "VolumeBinding", "PodTopologySpread",
        "InterPodAffinity", "NodeResourcesBalancedAllocation",
    ),
    "score": (
        "TaintToleration", "NodeAffinity", "NodeResourcesFit", "VolumeBinding", "PodTopologySpread",
        "InterPodAffinity", "DynamicResources", "NodeResourcesBalancedAllocation", "ImageLocality",
    ),
    "reserve": ("VolumeBinding", "DynamicResources", "GangScheduling"),
    "permit": ("GangScheduling",),
    "preBind": ("VolumeBinding", "DynamicResources"),
    "bind": ("DefaultBinder",),
    "postBind": (),
}  # fmt: skip
"""The plugins of release 1.35 that can stand at each extension point."""


class FitArgs(Struct, frozen=True, kw_only=True):
    """Arguments of NodeResourcesFit: what is ignored, and how the use of resources is scored."""

    ignored: Ignored = Ignored()
    strategy: Strategy = "LeastAllocated"
    weights: Pairs = (("cpu", 1), ("memory", 1))
    shape: tuple[tuple[int, int], ...] = ()


class Profile(Struct, frozen=True, kw_only=True):
    """What one scheduler of a configuration does: plugins in order by extension point, and their arguments.

    ``percentage``: of nodes to score, 0 for as many as their number makes sensible. ``default_spread``: of pods that
    say nothing themselves; None: the system's. ``hard_weight``, ``ignore_preferred``: arguments of InterPodAffinity.
    """

    name: str = DEFAULT_SCHEDULER
    pre_filters: tuple[str, ...] = tuple(name for name, _ in DEFAULTS if name in POINTS["preFilter"])
    filters: tuple[str, ...] = tuple(name for name, _ in DEFAULTS if name in POINTS["filter"])
    scorers: tuple[tuple[str, int], ...] = tuple((n, max(1, weight)) for n, weight in DEFAULTS if n in POINTS["score"])
    gates: bool = True
    percentage: int = 0
    fit: FitArgs = FitArgs()
    balanced: tuple[str, ...] = ("cpu", "memory")
    added_affinity: WireNodeAffinity | None = None
    default_spread: tuple[SpreadConstraint, ...] | None = None
    hard_weight: int = 1
    ignore_preferred: bool = False
    release: Release = "1.35"

    def reading(self, surroundings: Surroundings) -> Reading:
        """Return how this profile reads pods."""
        return Reading(
            ignored=self.fit.ignored,
            pod_level=self.release != "1.33",
            default_spread=self.default_spread,
            surroundings=surroundings,
        )


def policy_of(profile: Profile) -> Policy:
    """Return the policy that decides as a scheduler of that profile."""
    return Policy(
        name=profile.name,
        filters=[each for name in ("pinned", *profile.filters) for each in _filters(profile, name)],
        scorers=[(each, weight) for name, weight in profile.scorers for each in _scorers(profile, name)],
        tie="seeded-random" if profile.release in _RANDOM_TIES else "heap",
        sampling=Sampling(profile.percentage),
    )


def _filters(profile: Profile, name: str) -> list[Filter]:
    match name:
        case "pinned":
            return [PinnedNodes()] if "NodeAffinity" in profile.pre_filters else []
        case "NodeUnschedulable":
            return [known.cordon]
        case "NodeName":
            return [known.node_name]
        case "TaintToleration":
            return [TaintsTolerated(named=profile.release in _RANDOM_TIES)]
        case "NodeAffinity":
            enforced = required_terms(profile.added_affinity)
            return [known.node_affinity] if enforced is None else [EnforcedAffinity(enforced), known.node_affinity]
        case "NodePorts":
            return [known.ports]
        case "NodeResourcesFit":
            return [known.capacity]
        case "PodTopologySpread":
            return [known.spread]
        case "InterPodAffinity":
            return [known.company]
        case _:
            return []


def _scorers(profile: Profile, name: str) -> list[Scorer]:
    match name:
        case "TaintToleration":
            return [scorers.fewest_taints()]
        case "NodeAffinity":
            return [PreferredAffinity(preferences("addedAffinity", profile.added_affinity))]
        case "NodeResourcesFit":
            return [_fit(profile.fit)]
        case "NodeResourcesBalancedAllocation":
            return [Balanced(profile.balanced, change=profile.release == "1.36")]
        case "ImageLocality":
            return [scorers.image_locality()]
        case "PodTopologySpread":
            return [scorers.even_spread()]
        case "InterPodAffinity":
            return [scorers.welcome_company(profile.hard_weight, profile.ignore_preferred)]
        case _:
            return []


def _fit(args: FitArgs) -> Scorer:
    weights = tuple((NOMINAL.get(resource, resource), weight) for resource, weight in args.weights)
    if args.strategy == "RequestedToCapacityRatio":
        return Shape(args.shape, weights)
    return Allocated(weights, most=args.strategy == "MostAllocated")
