"""Every plugin that reads rows says what the pinned release says: at least 2,000 pods for each, and a fresh seed."""

from __future__ import annotations

import os
from random import SystemRandom
from typing import Any

import pytest

from pilotage.adapters.kubernetes.configuration import read_configuration
from tests.conformance.kubernetes.cases import GPU, Cases
from tests.conformance.kubernetes.compare import check
from tests.conformance.kubernetes.twin import Twin
from tests.controlplane.oracle import Oracle

FRESH = int(os.environ.get("PILOTAGE_SEED") or SystemRandom().randrange(10**9))
PROBES = 42
CLUSTERS = 48
"""For each plugin on its defaults, which makes over 2,000 pods; a third of it with other arguments."""


def arguments(plugin: str, **args: Any) -> dict[str, Any]:
    return {"name": plugin, "args": args}


def strategy(kind: str, *resources: tuple[str, int], **more: Any) -> dict[str, Any]:
    weights = [{"name": name, "weight": weight} for name, weight in resources]
    return arguments("NodeResourcesFit", scoringStrategy={"type": kind, "resources": weights, **more})


def shape(*points: tuple[int, int]) -> dict[str, Any]:
    return {"shape": [{"utilization": u, "score": s} for u, s in points]}


BALANCED = [{"name": name, "weight": 1} for name in ("cpu", "memory", "ephemeral-storage", GPU)]
TERM = {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}
ENFORCED = {
    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [TERM, {}]},
    "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 20, "preference": TERM}],
}
DEFAULT_SPREAD: dict[str, Any] = {
    "defaultingType": "List",
    "defaultConstraints": [
        {"maxSkew": 1, "topologyKey": "disk", "whenUnsatisfiable": "ScheduleAnyway"},
        {"maxSkew": 2, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"},
    ],
}
SEVERAL = (("cpu", 3), ("memory", 1), (GPU, 5), ("ephemeral-storage", 2))

FOCUS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "NodeUnschedulable": ("unschedulable", []),
    "NodeName": ("name", []),
    "TaintToleration": ("taints", []),
    "NodeAffinity": ("affinity", []),
    "NodeAffinity, enforced": ("affinity", [arguments("NodeAffinity", addedAffinity=ENFORCED)]),
    "NodePorts": ("ports", []),
    "SchedulingGates": ("gates", []),
    "NodeResourcesFit, least": ("fit", []),
    "NodeResourcesFit, least of several": ("fit", [strategy("LeastAllocated", *SEVERAL)]),
    "NodeResourcesFit, most": ("fit", [strategy("MostAllocated", *SEVERAL)]),
    "NodeResourcesFit, rising": (
        "fit",
        [strategy("RequestedToCapacityRatio", *SEVERAL, requestedToCapacityRatio=shape((0, 0), (100, 10)))],
    ),
    "NodeResourcesFit, bent": (
        "fit",
        [
            strategy(
                "RequestedToCapacityRatio",
                ("cpu", 2),
                ("memory", 3),
                requestedToCapacityRatio=shape((15, 3), (50, 10), (61, 9), (90, 1)),
            )
        ],
    ),
    "NodeResourcesFit, ignoring": (
        "fit",
        [arguments("NodeResourcesFit", ignoredResources=[GPU], ignoredResourceGroups=["example.com"])],
    ),
    "NodeResourcesBalancedAllocation": ("balanced", []),
    "NodeResourcesBalancedAllocation, four": (
        "balanced",
        [arguments("NodeResourcesBalancedAllocation", resources=BALANCED)],
    ),
    "ImageLocality": ("images", []),
    "PodTopologySpread": ("spread", []),
    "PodTopologySpread, by default": (
        "spread",
        [arguments("PodTopologySpread", **DEFAULT_SPREAD)],
    ),
    "InterPodAffinity": ("company", []),
    "InterPodAffinity, weighing": ("company", [arguments("InterPodAffinity", hardPodAffinityWeight=40)]),
    "InterPodAffinity, hard ones not": ("company", [arguments("InterPodAffinity", hardPodAffinityWeight=0)]),
    "InterPodAffinity, ignoring": ("company", [arguments("InterPodAffinity", ignorePreferredTermsOfExistingPods=True)]),
    "all together": ("mixed", []),
}


def configuration(plugin_config: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "parallelism": 1,
        "profiles": [{"schedulerName": "default-scheduler", "pluginConfig": plugin_config}],
    }


@pytest.mark.parametrize("name", FOCUS)
@pytest.mark.parametrize("seed", [1, FRESH], ids=["fixed", "fresh"])
def test_a_plugin_says_what_the_release_says(oracle: Oracle, name: str, seed: int) -> None:
    print(f"PILOTAGE_SEED={seed} repeats this run")
    focus, plugin_config = FOCUS[name]
    cases, config = Cases(seed, focus), configuration(plugin_config)
    profile = read_configuration(config).profiles[0]
    clusters = CLUSTERS // (3 if plugin_config else 1) // (1 if seed == 1 else 8)
    checked = refused = scored = 0
    for _ in range(clusters):
        objects = cases.cluster(cases.random.randint(1, 9))
        pods = [cases.pod() for _ in range(PROBES)]
        answer = oracle.probe(objects, pods, config=config)
        twin = Twin(objects, profile)
        assert twin.order() == answer["order"]
        for pod, probe in zip(pods, answer["probes"], strict=True):
            ours = check(twin, pod, probe)
            checked += 1
            refused += bool(ours.refused)
            scored += len(ours.totals) > 1
    assert checked == clusters * PROBES
    assert seed == FRESH or min(refused, scored) > checked // 20, "the cases are one-sided"
