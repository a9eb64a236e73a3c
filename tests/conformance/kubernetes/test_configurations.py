"""Configurations: accepted and refused as the pinned release does, and expanded to the same plugins and weights."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from pilotage.adapters.kubernetes.configuration import read_configuration
from pilotage.adapters.kubernetes.profile import DEFAULTS, POINTS
from pilotage.model.errors import InvalidInput
from tests.conformance.kubernetes.test_plugins import FRESH
from tests.controlplane.oracle import Oracle

BASE = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}


def with_profile(**profile: Any) -> dict[str, Any]:
    return {**BASE, "profiles": [profile]}


def with_args(plugin: str, **args: Any) -> dict[str, Any]:
    return with_profile(pluginConfig=[{"name": plugin, "args": args}])


def points_of(ours: Any) -> dict[str, list[tuple[str, int]]]:
    return {
        "preFilter": [(name, 0) for name in ours.pre_filters],
        "filter": [(name, 0) for name in ours.filters],
        "score": list(ours.scorers),
    }


def expanded(profile: dict[str, list[dict[str, Any]]]) -> dict[str, list[tuple[str, int]]]:
    found = {point: profile[point] or [] for point in ("preFilter", "filter", "score")}
    return {p: [(each["Name"], each["Weight"] if p == "score" else 0) for each in found[p]] for p in found}


def draw(random: Random) -> dict[str, Any]:
    """Plugins switched on, off and weighed anew, in the ways that are allowed."""
    plugins: dict[str, Any] = {}
    names = [name for name, _ in DEFAULTS if name not in ("PrioritySort", "DefaultBinder")]
    for point in ("multiPoint", *(p for p in POINTS if p not in ("queueSort", "bind", "postBind", "permit"))):
        if random.random() > 0.3:
            continue
        able = [name for name in (names if point == "multiPoint" else POINTS[point]) if name in names]
        chosen: dict[str, Any] = {}
        if random.random() < 0.6:
            chosen["enabled"] = [{"name": n} for n in random.sample(able, random.randint(1, min(4, len(able))))]
            for each in chosen["enabled"]:
                if random.random() < 0.5:
                    each["weight"] = random.choice((0, 1, 5, 100))
        if random.random() < 0.6:
            # switching the queue's order or the binding off would be another fault
            off = ["*"] if random.random() < 0.25 and point != "multiPoint" else random.sample(able, 1)
            chosen["disabled"] = [{"name": n} for n in off]
        plugins[point] = chosen
    return plugins


@pytest.mark.parametrize("seed", [1, FRESH], ids=["fixed", "fresh"])
def test_plugins_and_weights_are_those_of_the_release(oracle: Oracle, seed: int) -> None:
    print(f"PILOTAGE_SEED={seed} repeats this run")
    random = Random(seed)
    compared = 0
    for _ in range(300):
        config = with_profile(schedulerName="mine", plugins=draw(random))
        answer = oracle.ask(config=config, validate=True)
        if answer.get("errors"):
            with pytest.raises(InvalidInput):
                read_configuration(config)
            continue
        theirs = expanded(answer["profile"]["mine"])
        assert points_of(read_configuration(config).profiles[0]) == theirs, config
        compared += 1
    assert compared > 200


def test_the_default_profile_is_that_of_the_release(oracle: Oracle) -> None:
    theirs = oracle.ask(config=BASE, validate=True)["profile"]["default-scheduler"]
    assert points_of(read_configuration(BASE).profiles[0]) == expanded(theirs)
    assert {point for point, plugins in theirs.items() if plugins} == {
        p for p in POINTS if p not in ("permit", "postBind")
    }


REFUSED: list[dict[str, Any]] = [
    {**BASE, "parallelism": 0},
    {**BASE, "percentageOfNodesToScore": 101},
    {**BASE, "percentageOfNodesToScore": -1},
    {**BASE, "podInitialBackoffSeconds": 5, "podMaxBackoffSeconds": 4},
    {**BASE, "unheardOf": 1},
    {**BASE, "apiVersion": "kubescheduler.config.k8s.io/v1beta3"},
    {**BASE, "leaderElection": {"leaderElect": True, "leaseDuration": "5s", "renewDeadline": "10s"}},
    {**BASE, "leaderElection": {"leaderElect": True, "resourceLock": "endpoints"}},
    {**BASE, "profiles": [{"schedulerName": "a"}, {"schedulerName": "a"}]},
    {**BASE, "extenders": [{"urlPrefix": "http://a", "prioritizeVerb": "p", "weight": 0}]},
    {**BASE, "extenders": [{"urlPrefix": "http://a", "bindVerb": "b"}, {"urlPrefix": "http://b", "bindVerb": "b"}]},
    with_profile(plugins={"filter": {"enabled": [{"name": "EBSLimits"}]}}),
    with_profile(plugins={"filter": {"enabled": [{"name": "Nobody"}]}}),
    with_profile(plugins={"filter": {"enabled": [{"name": "ImageLocality"}]}}),
    with_profile(plugins={"queueSort": {"disabled": [{"name": "*"}]}}),
    with_profile(plugins={"bind": {"disabled": [{"name": "*"}]}}),
    with_profile(pluginConfig=[{"name": "NodeResourcesFit", "args": {}}, {"name": "NodeResourcesFit", "args": {}}]),
    with_args("DefaultPreemption", minCandidateNodesPercentage=101),
    with_args("DefaultPreemption", minCandidateNodesPercentage=0, minCandidateNodesAbsolute=0),
    with_args("InterPodAffinity", hardPodAffinityWeight=101),
    with_args("PodTopologySpread", defaultingType="System", defaultConstraints=[{"maxSkew": 1, "topologyKey": "z"}]),
    with_args("PodTopologySpread", defaultingType="Sometimes"),
    with_args("NodeResourcesFit", scoringStrategy={"type": "Best"}),
    with_args("NodeResourcesFit", scoringStrategy={"type": "LeastAllocated", "resources": [
        {"name": "cpu", "weight": 101}]}),
    with_args("NodeResourcesFit", ignoredResourceGroups=["a/b"]),
    with_args("NodeResourcesBalancedAllocation", resources=[{"name": "cpu", "weight": 2}]),
    with_args("NodeResourcesBalancedAllocation", resources=[{"name": "cpu", "weight": 1}] * 2),
    with_args("VolumeBinding", bindTimeoutSeconds=-1),
    with_args("DynamicResources", bindingTimeout="10ms"),
    with_args("NodeAffinity", addedAffinity={"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["x"]}]}}]}),
]  # fmt: skip


@pytest.mark.parametrize("config", REFUSED, ids=range(len(REFUSED)))
def test_what_the_release_refuses_is_refused(oracle: Oracle, config: dict[str, Any]) -> None:
    assert oracle.ask(config=config, validate=True).get("errors"), "the release takes it"
    with pytest.raises(InvalidInput):
        read_configuration(config)


ACCEPTED: list[dict[str, Any]] = [
    BASE,
    {**BASE, "parallelism": 4, "percentageOfNodesToScore": 0, "podInitialBackoffSeconds": 2, "podMaxBackoffSeconds": 2},
    {**BASE, "clientConnection": {"kubeconfig": "k", "qps": 50.5, "burst": 100}, "enableProfiling": False},
    {**BASE, "leaderElection": {"leaderElect": False, "leaseDuration": "1m30s", "renewDeadline": "10s"}},
    {**BASE, "extenders": [{"urlPrefix": "http://a", "filterVerb": "f", "httpTimeout": "5s", "managedResources": [
        {"name": "example.com/gpu", "ignoredByScheduler": True}]}]},
    with_args("NodeResourcesFit", **{**BASE, "kind": "NodeResourcesFitArgs"}, ignoredResources=["a.b/c"]),
    with_args("PodTopologySpread", defaultingType="List", defaultConstraints=[
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]),
    with_args("DefaultPreemption", minCandidateNodesPercentage=100),
]  # fmt: skip


@pytest.mark.parametrize("config", ACCEPTED, ids=range(len(ACCEPTED)))
def test_what_the_release_takes_is_taken(oracle: Oracle, config: dict[str, Any]) -> None:
    assert not oracle.complaints(config)
    read_configuration(config)


def test_every_fault_is_told_at_once() -> None:
    args = {
        "scoringStrategy": {"type": "Best", "resources": [{"name": "cpu", "weight": 0}, {"name": "", "weight": 900}]}
    }
    config = {
        **with_profile(pluginConfig=[{"name": "NodeResourcesFit", "args": args}], plugin={}),
        "paralelism": 3,
        "percentageOfNodesToScore": "all",
        "podInitialBackoffSeconds": 0,
    }
    with pytest.raises(InvalidInput) as caught:
        read_configuration(config)
    told = str(caught.value)
    for field in (
        "percentageOfNodesToScore: must be a whole number",
        "profiles[0].pluginConfig[0].args.scoringStrategy.type: must be one of LeastAllocated",
        "scoringStrategy.resources[1].weight: must be 0 to 100, got 900",
        "scoringStrategy.resources[1].name: must name a resource",
        "profiles[0].plugin: is unknown; did you mean plugins?",
        "podInitialBackoffSeconds: must be at least 1",
        "paralelism: is unknown; did you mean parallelism?",
    ):
        assert field in told
    assert "has 7 faults" in told


def test_a_policy_of_old_is_refused_by_the_name_of_what_took_its_place() -> None:
    for old in ({"kind": "Policy", "apiVersion": "v1"}, {"predicates": [], "priorities": []}):
        with pytest.raises(InvalidInput, match=r"gave up in 1\.23: write a KubeSchedulerConfiguration"):
            read_configuration(old)


@pytest.mark.parametrize("junk", [None, [], "text", 7, {"profiles": 3}, {"profiles": [7], "extenders": {}}])
def test_what_is_no_configuration_is_refused(junk: Any) -> None:
    with pytest.raises(InvalidInput):
        read_configuration(junk)
