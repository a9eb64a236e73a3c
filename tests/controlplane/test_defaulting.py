"""What the API server makes of a pod.

Read back from it, a pod is decided as kube-scheduler decides; a manifest that never was there as if it had been."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest

from pilotage.adapters.kubernetes.configuration import read_configuration
from pilotage.adapters.kubernetes.files import Objects
from pilotage.adapters.kubernetes.objects import Pod, PriorityClass
from pilotage.adapters.kubernetes.translate import task_of
from pilotage.app.dry_run import priorities_of
from tests.conformance.kubernetes.compare import check
from tests.conformance.kubernetes.test_plugins import FRESH, configuration
from tests.conformance.kubernetes.twin import Twin
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.oracle import Oracle

Object = dict[str, Any]

PODS = 80
NAMESPACE = "defaulting"
PODS_PATH = f"/api/v1/namespaces/{NAMESPACE}/pods"
CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"
RUNTIME = "/apis/node.k8s.io/v1/runtimeclasses"
CPUS, MEMORIES = ("100m", "0.25", "1", "1500m"), ("64Mi", "0.5Gi", "1e9", "256M")


def priority_class(name: str, value: int, **more: Any) -> Object:
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": value,
        **more,
    }


ORDINARY, LOW = priority_class("ordinary", 3, globalDefault=True), priority_class("low", -7)
SANDBOX = {
    "apiVersion": "node.k8s.io/v1",
    "kind": "RuntimeClass",
    "metadata": {"name": "sandbox"},
    "handler": "sandbox",
    "overhead": {"podFixed": {"cpu": "250m", "memory": "120Mi"}},
}


def manifest(random: Random, name: str) -> Object:
    """A pod as people write them: half of it left to defaults."""
    spec: Object = {"containers": [container(random, f"c{i}") for i in range(random.choice((1, 1, 2)))]}
    if random.random() < 0.3:
        spec["initContainers"] = [container(random, "i0")]
        if random.random() < 0.5:
            spec["initContainers"][0]["restartPolicy"] = "Always"
    if random.random() < 0.4:
        spec["resources"] = of_the_whole_pod(random)
    if random.random() < 0.3:
        spec["priorityClassName"] = random.choice(
            ("low", "ordinary", "system-cluster-critical", "system-node-critical")
        )
    if random.random() < 0.3:
        spec["hostNetwork"] = True
    if random.random() < 0.3:
        spec["tolerations"] = [random.choice(({"key": "team", "value": "x"}, {"operator": "Exists"}))]
    if random.random() < 0.3:
        spec["nodeSelector"] = {"disk": "ssd"}
    if random.random() < 0.2:
        spec["runtimeClassName"] = "sandbox"
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def container(random: Random, name: str) -> Object:
    resources: Object = {}
    for what in random.choice(((), ("requests",), ("limits",), ("limits",))):
        resources[what] = {"cpu": random.choice(CPUS), "memory": random.choice(MEMORIES)}
        if random.random() < 0.5:
            del resources[what][random.choice(("cpu", "memory"))]
    if random.random() < 0.3:
        resources.setdefault("limits", {})["nvidia.com/gpu"] = random.choice((1, "2"))
    made: Object = {"name": name, "image": random.choice(("app", "app:v1", "reg.io:5000/app"))}
    if resources:
        made["resources"] = resources
    if random.random() < 0.4:
        port: Object = {"containerPort": random.randint(8000, 9000)}
        if random.random() < 0.3:
            port["protocol"] = "UDP"
        made["ports"] = [port]
    return made


def of_the_whole_pod(random: Random) -> Object:
    resources: Object = {}
    for what in random.choice((("requests",), ("limits",), ("limits",))):
        resources[what] = {"cpu": random.choice(("6", "8")), "memory": "8Gi"}
        if random.random() < 0.6:
            del resources[what][random.choice(("cpu", "memory"))]
    return resources


def nodes(random: Random) -> list[Object]:
    made = []
    for i in range(8):
        amounts = {"cpu": random.choice(("4", "8", "16")), "memory": "32Gi", "pods": "40", "nvidia.com/gpu": str(i % 3)}
        node: Object = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"d{i}"}, "spec": {}}
        node["metadata"]["labels"] = {"disk": random.choice(("ssd", "hdd"))}
        node["status"] = {"allocatable": amounts, "capacity": amounts}
        if i % 4 == 1:
            node["spec"]["taints"] = [{"key": "team", "value": "x", "effect": "NoSchedule"}]
        if i % 4 == 3:
            node["spec"]["taints"] = [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]
        made.append(node)
    return made


@pytest.fixture(scope="module")
def classes(plane: ControlPlane) -> None:
    """Classes, and a namespace of its own, in the API server."""
    plane.client.create(CLASSES, ORDINARY, LOW)
    plane.client.create(RUNTIME, SANDBOX)
    plane.client.create(
        "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    )


@pytest.mark.usefixtures("classes")
@pytest.mark.parametrize("seed", [1, FRESH], ids=["fixed", "fresh"])
def test_pods_read_back_are_decided_as_kube_scheduler_decides(plane: ControlPlane, oracle: Oracle, seed: int) -> None:
    print(f"PILOTAGE_SEED={seed} repeats this run")
    random, client = Random(seed), plane.client
    sent = {f"d{seed}-{i}": manifest(random, f"d{seed}-{i}") for i in range(PODS)}
    cluster, kept = nodes(random), []
    for pod in sent.values():
        try:
            client.call("POST", PODS_PATH, pod)
            kept.append(pod["metadata"]["name"])
        except OSError as error:
            if "422" not in str(error):  # only what is invalid may be refused
                raise
    assert len(kept) > PODS // 2
    back = {each["metadata"]["name"]: each for each in client.items(PODS_PATH)}
    found = Objects(classes=[msgspec.convert(each, PriorityClass) for each in client.items(CLASSES)])
    priorities = priorities_of(found)

    # what was read back, here and there
    config = configuration([])
    pods = [back[name] for name in kept]
    placed = [{**pod, "spec": {**pod["spec"], "nodeName": f"d{i % 8}"}} for i, pod in enumerate(pods[:8])]
    objects, asked = [*cluster, *placed], pods[8:]
    answer = oracle.probe(objects, asked, config=config)
    twin = Twin(objects, read_configuration(config).profiles[0])
    refused = 0
    for pod, probe in zip(asked, answer["probes"], strict=True):
        refused += bool(check(twin, pod, probe).refused)
    assert refused > len(asked) // 4

    # what was sent, as if it had been read back: the class's priority, requests by limits, ports of the host
    mended = 0
    for name in kept:
        raw, read = msgspec.convert(sent[name], Pod), msgspec.convert(back[name], Pod)
        assert priorities[raw.spec.priority_class_name or ""] == read.spec.priority, name
        if raw.spec.priority_class_name is None and read.spec.priority_class_name:
            assert read.spec.priority_class_name == "ordinary", "the class of pods that name none"
        if "runtimeClassName" in sent[name]["spec"]:
            continue  # what its class adds is in the class
        ours = task_of(raw, priority=priorities[raw.spec.priority_class_name or ""]).spec
        theirs = task_of(read).spec
        for what in ("demand", "scored", "ports", "images", "node_selector", "uncapped"):
            assert getattr(ours, what) == getattr(theirs, what), (name, what)
        added = [t for t in theirs.tolerations if t not in ours.tolerations]
        assert {t.key for t in added} <= {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}
        mended += bool(added)
    assert mended, "the API server adds tolerations of its own"


@pytest.mark.usefixtures("classes")
def test_what_a_runtime_class_adds_is_read_back(plane: ControlPlane) -> None:
    pod = manifest(Random(0), "overhead")
    pod["spec"] = {"containers": [{"name": "c", "image": "x"}], "runtimeClassName": "sandbox"}
    read = msgspec.convert(plane.client.call("POST", PODS_PATH, pod), Pod)
    assert task_of(read).spec.demand["cpu"] == 250
