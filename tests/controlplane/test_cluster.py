"""The real control plane runs, and kube-scheduler itself puts pods where `pilotage kubernetes --dry-run` says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.controlplane.cluster import ControlPlane, any_named

NODES, PODS = 120, 160
CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"
WEB = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
}
URGENT = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "metadata": {"name": "urgent"},
    "value": 10,
    "preemptionPolicy": "Never",
}
CONFIG = {
    "apiVersion": "kubescheduler.config.k8s.io/v1",
    "kind": "KubeSchedulerConfiguration",
    "parallelism": 1,
    "percentageOfNodesToScore": 0,
}


def node(i: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": f"n{i:03}",
            "labels": {
                "kubernetes.io/hostname": f"n{i:03}",
                "topology.kubernetes.io/zone": "abc"[i % 3],
                "disk": "ssd" if i % 4 else "hdd",
            },
        },
        "spec": {"unschedulable": i % 17 == 3},
        "status": {
            "allocatable": {"cpu": "4" if i % 5 else "2500m", "memory": "8Gi", "pods": "20"},
            "capacity": {"cpu": "4", "memory": "8Gi", "pods": "20"},
            "images": [{"names": ["app:v1"], "sizeBytes": 400 * 2**20}] if i % 7 == 0 else [],
        },
    }
    if i % 6 == 1:
        made["spec"]["taints"] = [{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]
    if i % 9 == 2:
        made["spec"]["taints"] = [{"key": "old", "effect": "PreferNoSchedule"}]
    return made


def pod(i: int) -> dict[str, Any]:
    container: dict[str, Any] = {"name": "c", "image": "app:v1" if i % 3 else "other"}
    container["resources"] = {"requests": {"cpu": f"{300 + 50 * (i % 7)}m", "memory": f"{128 * (1 + i % 4)}Mi"}}
    if i % 5 == 0:
        del container["resources"]
    spec: dict[str, Any] = {"containers": [container]}
    if i % 11 == 0:
        spec["priorityClassName"] = URGENT["metadata"]["name"]
    if i % 8 == 1:
        container["ports"] = [{"containerPort": 80, "hostPort": 8080}]
    if i % 10 == 4:
        spec["tolerations"] = [{"key": "dedicated", "operator": "Exists"}]
    if i % 13 == 5:
        spec["nodeSelector"] = {"disk": "hdd"}
    if i % 16 == 7:
        term = {"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["b"]}]}
        wanted = [{"weight": 50, "preference": term}]
        spec["affinity"] = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": wanted}}
    labels = {"app": "web", "tier": "ab"[i % 2]}
    if i % 9 == 3:
        chosen = {"matchLabels": {"tier": labels["tier"]}}
        even = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
        spec["topologySpreadConstraints"] = [{**even, "labelSelector": chosen, "nodeTaintsPolicy": "Honor"}]
    if i % 14 == 6:
        labels["alone"] = "yes"
        apart = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"alone": "yes"}}}
        spec["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}}
    if i % 12 == 7:
        near = {"topologyKey": "topology.kubernetes.io/zone", "labelSelector": {"matchLabels": {"tier": "b"}}}
        like = {
            "podAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 30, "podAffinityTerm": {**near, "namespaceSelector": {}}}
                ]
            }
        }
        spec.setdefault("affinity", {}).update(like)
    if i % 40 == 9:
        container["resources"] = {"requests": {"cpu": "64"}}
    meta = {"name": f"p{i:03}", "namespace": "default", "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def condition(each: dict[str, Any]) -> str:
    conditions = each.get("status", {}).get("conditions", [])
    return next((c.get("message", "") for c in conditions if c["type"] == "PodScheduled"), "")


def test_kube_scheduler_puts_every_pod_where_the_dry_run_says(plane: ControlPlane, tmp_path: Path) -> None:
    client = plane.client
    client.create(CLASSES, URGENT)
    client.create("/api/v1/namespaces/default/services", WEB)
    client.create_nodes(node(i) for i in range(NODES))
    client.create_pods([pod(i) for i in range(PODS)])
    dump, config = tmp_path / "cluster.json", tmp_path / "config.json"
    pods = client.items("/api/v1/pods")
    for each in pods:
        del each["metadata"]["creationTimestamp"]  # a scheduler that starts takes them in the order of their names
    around = [*client.items("/api/v1/namespaces"), *client.items("/api/v1/services")]
    dump.write_text(json.dumps({"kind": "List", "items": [*around, *client.items("/api/v1/nodes"), *pods]}))
    config.write_text(json.dumps(CONFIG))
    command = [sys.executable, "-m", "pilotage", "kubernetes", "--dry-run", dump, "--config", config, "--json"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 0, answer.stderr
    said = {outcome["pod"]: outcome for outcome in json.loads(answer.stdout)["outcomes"]}

    scheduler = plane.start_scheduler(CONFIG)
    plane.until(
        "the decisions of kube-scheduler",
        lambda: all(p["spec"].get("nodeName") or condition(p) for p in client.items("/api/v1/pods")),
    )
    done = client.items("/api/v1/pods")
    plane.stop(scheduler)

    assert len(done) == len(said) == PODS
    refused = 0
    for each in done:
        ours = said[f"default/{each['metadata']['name']}"]
        assert each["spec"].get("nodeName", "") == ours["node"], each["metadata"]["name"]
        if not ours["node"]:
            refused += 1
            assert condition(each).startswith(ours["message"]), "what follows is about preemption"
    assert refused == 4


def test_the_disruption_controller_counts_pods(plane: ControlPlane) -> None:
    client, path = plane.client, "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "budgeted"}}}
    client.create_pods(
        [
            {**pod(i), "metadata": {"name": f"b{i}", "namespace": "default", "labels": {"app": "budgeted"}}}
            for i in (1, 2)
        ]
    )
    body = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"}, "spec": spec}
    client.call("POST", path, body)
    plane.until("the budget", lambda: client.items(path)[0].get("status", {}).get("observedGeneration", 0) >= 1)
    (budget,) = client.items(path)
    assert budget["status"]["desiredHealthy"] == 1
    assert budget["status"]["disruptionsAllowed"] == 0, "none of its pods is ready"


def test_the_volume_binder_binds(plane: ControlPlane) -> None:
    client, claims = plane.client, "/api/v1/namespaces/default/persistentvolumeclaims"
    modes = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    volume = {"capacity": {"storage": "1Gi"}, "hostPath": {"path": "/nowhere"}, **modes}
    client.call(
        "POST",
        "/api/v1/persistentvolumes",
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"}, "spec": volume},
    )
    claim = {"resources": {"requests": {"storage": "1Gi"}}, **modes}
    client.call(
        "POST", claims, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"}, "spec": claim}
    )
    plane.until("the claim", lambda: client.items(claims)[0].get("status", {}).get("phase") == "Bound")
    assert any_named(client, "/api/v1/persistentvolumes", "v")


def test_any_cluster_can_be_decided_on(request: pytest.FixtureRequest) -> None:
    """That of KUBECONFIG, else our own; it is only read from."""
    told = os.environ.get("KUBECONFIG") or str(request.getfixturevalue("plane").kubeconfig)
    command = [sys.executable, "-m", "pilotage", "kubernetes", "--dry-run", "--json"]
    environment = {**os.environ, "KUBECONFIG": told}
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    if "the cluster has no nodes" in answer.stderr:  # nobody has put any there yet
        assert answer.returncode == 2
        return
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["nodes"] > 0
