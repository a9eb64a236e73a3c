"""The oracle answers, and what it says is what the release's documents say."""

from __future__ import annotations

from typing import Any

import pytest

from tests.controlplane.oracle import Oracle
from tests.controlplane.programs import located


def node(name: str, **labels: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}},
    }


def pod(name: str, cpu: str = "1500m", **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "x", "resources": {"requests": {"cpu": cpu}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [container], **spec},
    }


def test_nodes_are_listed_one_of_each_zone_in_turn(oracle: Oracle) -> None:
    zone = "topology.kubernetes.io/zone"
    nodes = [node(f"n{i}", **({zone: "a"} if i < 3 else {zone: "b"} if i < 5 else {})) for i in range(6)]
    assert oracle.probe(nodes, [])["order"] == ["n0", "n3", "n5", "n1", "n4", "n2"]


def test_a_probe_tells_every_status_score_and_the_choice(oracle: Oracle) -> None:
    tainted = node("n2")
    tainted["spec"] = {"taints": [{"key": "k", "effect": "NoSchedule"}], "unschedulable": True}
    (probe,) = oracle.probe([node("n0"), node("n1"), tainted], [pod("p")])["probes"]
    assert probe["node"] == "n0", "all are equal, so the root of the heap is the first"
    assert probe["nodes"] == {
        "n2": {
            "code": "UnschedulableAndUnresolvable",
            "plugin": "NodeUnschedulable",
            "reasons": ["node(s) were unschedulable"],
        }
    }
    assert probe["filters"].keys() == {"NodeUnschedulable", "TaintToleration"}
    assert probe["raw"]["NodeResourcesFit"] == {"n0": 79, "n1": 79}
    assert probe["total"] == {"n0": 460, "n1": 460}


def test_steps_fill_nodes_and_preemption_names_its_victims(oracle: Oracle) -> None:
    steps = [{"schedule": pod(f"p{i}")} for i in range(4)]
    done = oracle.run(
        [node("n0"), node("n1")], [*steps, {"schedule": pod("late")}, {"schedule": pod("vip", priority=9)}]
    )
    assert [each.get("node", "") for each in done["steps"]] == ["n0", "n1", "n0", "n1", "", ""]
    late, vip = done["steps"][-2:]
    assert late["message"] == "0/2 nodes are available: 2 Insufficient cpu."
    assert "No preemption victims found" in late["postFilter"]
    assert vip["nominated"] in {"n0", "n1"}
    placed = [{**pod(f"p{i}"), "spec": {**pod(f"p{i}")["spec"], "nodeName": f"n{i % 2}"}} for i in range(4)]
    (probe,) = oracle.probe([node("n0"), node("n1"), *placed], [pod("vip", priority=9)])["probes"]
    assert sorted(probe["victims"]) == ["n0", "n1"]
    assert len(probe["victims"]["n0"]["pods"]) == 1


def test_a_configuration_is_judged_with_all_its_faults(oracle: Oracle) -> None:
    config = {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "parallelism": -1,
        "percentageOfNodesToScore": 101,
    }
    complaints = oracle.complaints(config)
    assert any("parallelism" in each for each in complaints)
    assert any("percentageOfNodesToScore" in each for each in complaints)


def test_an_error_is_raised_not_hidden(oracle: Oracle) -> None:
    with pytest.raises(ValueError, match="quantities must match"):
        oracle.probe([{"apiVersion": "v1", "kind": "Node", "status": {"allocatable": {"cpu": "many"}}}], [])


def test_batching_is_inert_in_the_default_profile() -> None:
    """It changes nothing unless default spread is switched off: then pods that follow each other share scores."""
    gates = "--feature-gates=OpportunisticBatching={},SchedulerAsyncPreemption=false"
    nodes = [node(f"n{i:02}", **{"kubernetes.io/hostname": f"n{i:02}"}) for i in range(12)]
    steps = [{"schedule": pod(f"p{i}", cpu="2500m" if i % 2 else "900m")} for i in range(3)]
    steps += [{"schedule": pod(f"q{i}", cpu="2100m")} for i in range(9)]
    none = {"name": "PodTopologySpread", "args": {"defaultingType": "List"}}
    profiles = {"default": [], "no default spread": [none]}
    chosen: dict[tuple[str, str], list[str]] = {}
    for switched in ("true", "false"):
        asked = Oracle(located("oracle"), gates.format(switched))
        try:
            for name, plugin_config in profiles.items():
                config = {
                    "apiVersion": "kubescheduler.config.k8s.io/v1",
                    "kind": "KubeSchedulerConfiguration",
                    "profiles": [{"pluginConfig": plugin_config}],
                }
                done = asked.run(nodes, steps, config=config)["steps"]
                chosen[name, switched] = [each.get("node", "") for each in done]
        finally:
            asked.close()
    assert chosen["default", "true"] == chosen["default", "false"]
    assert chosen["no default spread", "true"] != chosen["no default spread", "false"]
