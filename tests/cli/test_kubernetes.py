"""`pilotage kubernetes --dry-run`: what a user sees, of good objects and of bad ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CLUSTER = """
apiVersion: v1
kind: List
items:
- kind: Node
  metadata: {name: small, labels: {disk: hdd}}
  status: {allocatable: {cpu: "2", memory: 4Gi, pods: 110}}
- kind: Node
  metadata: {name: big, labels: {disk: ssd}}
  status: {allocatable: {cpu: "16", memory: 64Gi, pods: 110, nvidia.com/gpu: 4}}
- kind: Pod
  metadata: {name: there, namespace: shop}
  spec: {nodeName: small, containers: [{name: c, resources: {requests: {cpu: 500m}}}]}
- kind: Pod
  metadata: {name: young, namespace: shop, creationTimestamp: "2026-01-02T00:00:00Z"}
  spec: {containers: [{name: c, resources: {requests: {cpu: 1, memory: 1Gi}}}]}
- kind: Pod
  metadata: {name: old, namespace: shop, creationTimestamp: "2026-01-01T00:00:00Z"}
  spec: {containers: [{name: c, resources: {requests: {cpu: 1, memory: 1Gi}}}]}
- kind: Pod
  metadata: {name: train}
  spec: {priorityClassName: high, containers: [{name: c, resources: {requests: {cpu: 4, nvidia.com/gpu: 8}}}]}
- kind: Pod
  metadata: {name: held}
  spec: {schedulingGates: [{name: quota}, {name: b}], containers: [{name: c}]}
- kind: Pod
  metadata: {name: odd}
  spec: {containers: [{name: c, resources: {requests: {cpu: plenty}}}]}
- kind: Pod
  metadata: {name: foreign}
  spec: {schedulerName: theirs, containers: [{name: c}]}
- kind: Pod
  metadata: {name: claims}
  spec: {resourceClaims: [{name: x}], containers: [{name: c}]}
---
kind: PriorityClass
metadata: {name: high}
value: 100
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.yaml"
    path.write_text(CLUSTER)
    return path


def run(*arguments: object, given: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pilotage", "kubernetes", *map(str, arguments)]
    return subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)


def outcomes(*arguments: object) -> dict[str, dict[str, Any]]:
    answer = run(*arguments, "--json")
    assert answer.returncode == 0, answer.stderr
    return {outcome["pod"]: outcome for outcome in json.loads(answer.stdout)["outcomes"]}


def test_every_waiting_pod_is_told_its_node_or_why_not(cluster: Path) -> None:
    told = outcomes("--dry-run", cluster)
    assert list(told) == [
        "default/held", "default/odd", "default/foreign", "default/claims", "default/train", "shop/old", "shop/young",
    ]  # fmt: skip
    assert {pod: outcome["verdict"] for pod, outcome in told.items()} == {
        "default/held": "gated",
        "default/odd": "invalid",
        "default/foreign": "another scheduler's",
        "default/claims": "not weighed",
        "default/train": "unschedulable",
        "shop/old": "placed",
        "shop/young": "placed",
    }
    assert told["default/held"]["message"] == "waiting for scheduling gates: [quota b]"
    assert told["default/odd"]["message"].startswith("spec.containers[0].resources.requests.cpu: is no quantity")
    train = "0/2 nodes are available: 1 Insufficient cpu, 2 Insufficient nvidia.com/gpu."
    assert told["default/train"]["message"] == train
    assert told["shop/old"]["node"] == "big"


def test_a_policy_of_ones_own_decides_instead(cluster: Path, tmp_path: Path) -> None:
    policy = tmp_path / "mine.py"
    policy.write_text(
        "from pilotage import Policy, filters, scorer\n"
        "@scorer\n"
        "def small_ones_first(task, nodes):\n"
        "    return -nodes.capacity['cpu']\n"
        "policy = Policy(filters=[*filters.DEFAULT], scorers=[(small_ones_first, 1)])\n"
    )
    assert outcomes("--dry-run", cluster, "--policy", policy)["shop/old"]["node"] == "small"


def test_a_configuration_decides(cluster: Path, tmp_path: Path) -> None:
    config = tmp_path / "scheduler.yaml"
    args = "{scoringStrategy: {type: MostAllocated, resources: [{name: cpu, weight: 1}]}}"
    config.write_text(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"
        "profiles:\n- schedulerName: theirs\n- pluginConfig:\n"
        f"  - {{name: NodeResourcesFit, args: {args}}}\n"
        "  plugins: {score: {disabled: [{name: '*'}], enabled: [{name: NodeResourcesFit}]}}\n"
    )
    told = outcomes("--dry-run", cluster, "--config", config)
    assert told["shop/old"]["node"] == "small"
    assert told["default/foreign"]["verdict"] == "placed"
    config.write_text(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"
        "profiles: [{plugins: {preEnqueue: {disabled: [{name: SchedulingGates}]}}}]\n"
    )
    assert outcomes("--dry-run", cluster, "--config", config)["default/held"]["verdict"] == "placed"


def test_a_release_decides_as_it_did(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(
        "kind: Node\nmetadata: {name: n}\nspec: {taints: [{key: k, value: v, effect: NoSchedule}]}\n"
        "status: {allocatable: {cpu: 4, pods: 9}}\n---\n"
        "kind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c}]}\n"
    )
    said = {
        release: outcomes("--dry-run", path, "--release", release)["default/p"]["message"]
        for release in ("1.33", "1.34", "1.35")
    }
    assert said == {
        "1.33": "0/1 nodes are available: 1 node(s) had untolerated taint {k: v}.",
        "1.34": "0/1 nodes are available: 1 node(s) had untolerated taint {k: v}.",
        "1.35": "0/1 nodes are available: 1 node(s) had untolerated taint(s).",
    }
    answer = run("--dry-run", path, "--release", "1.20")
    assert (answer.returncode, answer.stderr) == (
        2,
        "error: release: must be one of 1.33, 1.34, 1.35, 1.36, got '1.20'\n",
    )


def test_release_1_33_knows_no_resources_of_whole_pods(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(
        "kind: Node\nmetadata: {name: n}\nstatus: {allocatable: {cpu: 4, pods: 9}}\n---\n"
        "kind: Pod\nmetadata: {name: p}\nspec: {resources: {requests: {cpu: 8}}, containers: [{name: c}]}\n---\n"
        "kind: Pod\nmetadata: {name: q}\n"
        "spec: {containers: [{name: c, resources: {requests: {cpu: 8}}}]}\n"
    )
    told = {release: outcomes("--dry-run", path, "--release", release) for release in ("1.33", "1.34")}
    assert told["1.33"]["default/p"]["node"] == "n"
    assert told["1.34"]["default/p"]["message"] == "0/1 nodes are available: 1 Insufficient cpu."
    final = {}
    for release in ("1.33", "1.34"):
        answer = run("--dry-run", path, "--release", release, "--explain", "default/q", "--json")
        final[release] = json.loads(answer.stdout)["explained"]["refused"]["n"]["final"]
    assert final == {"1.33": False, "1.34": True}, "in 1.33 preemption was tried on nodes that are too small"


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (
            "topologySpreadConstraints: [{topologyKey: zone}]",
            "spec.topologySpreadConstraints[0].whenUnsatisfiable: must",
        ),
        (
            "topologySpreadConstraints: [{maxSkew: 0, topologyKey: z, whenUnsatisfiable: DoNotSchedule}]",
            "spec.topologySpreadConstraints[0]: spread.max_skew: must be at least 1",
        ),
        (
            "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{labelSelector: {}}]}}",
            "requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: must name the label of a domain",
        ),
        (
            "affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 300}]}}",
            "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: must be 1 to 100",
        ),
        (
            "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: z, "
            "labelSelector: {matchExpressions: [{key: a, operator: Gt, values: ['1']}]}}]}}",
            "[0].labelSelector: operator must be In, NotIn, Exists or DoesNotExist, got 'Gt'",
        ),
    ],
)
def test_wishes_about_other_pods_that_can_not_be_read_are_named(tmp_path: Path, spec: str, complaint: str) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(
        "kind: Node\nmetadata: {name: n}\nstatus: {allocatable: {cpu: 4, pods: 9}}\n---\n"
        f"kind: Pod\nmetadata: {{name: bad}}\nspec: {{containers: [{{name: c}}], {spec}}}\n---\n"
        "kind: Pod\nmetadata: {name: good}\nspec: {containers: [{name: c}]}\n"
    )
    told = outcomes("--dry-run", path)
    assert told["default/bad"]["verdict"] == "invalid"
    assert complaint in told["default/bad"]["message"]
    assert told["default/good"]["node"] == "n"


def test_who_belongs_together_is_spread_and_what_is_missing_is_said(tmp_path: Path) -> None:
    path, nodes = tmp_path / "cluster.yaml", ""
    for i, zone in enumerate("aab"):
        nodes += (
            f"kind: Node\nmetadata: {{name: n{i}, labels: {{topology.kubernetes.io/zone: {zone}, "
            f"kubernetes.io/hostname: n{i}}}}}\nstatus: {{allocatable: {{cpu: 4, pods: 9}}}}\n---\n"
        )
    owner = "ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web, controller: true}]"
    pods = "---\n".join(
        f"kind: Pod\nmetadata: {{name: p{i}, labels: {{app: web}}, {owner}}}\nspec: {{containers: [{{name: c}}]}}\n"
        for i in range(2)
    )
    path.write_text(nodes + pods)
    assert "the controllers of 2 waiting pods are not among the objects" in run("--dry-run", path).stdout
    path.write_text(
        nodes + pods + "---\nkind: ReplicaSet\nmetadata: {name: web}\nspec: {selector: {matchLabels: {app: web}}}\n"
    )
    answer = run("--dry-run", path)
    assert "controllers" not in answer.stdout
    told = outcomes("--dry-run", path)
    assert (told["default/p0"]["node"], told["default/p1"]["node"]) == ("n0", "n2"), "the other zone comes second"


def test_explain_shows_every_node(cluster: Path) -> None:
    answer = run("--dry-run", cluster, "--explain", "default/train")
    assert answer.returncode == 0
    assert "default/train: 0 of 2 nodes will do" in answer.stdout
    assert "NodeResourcesFit" in answer.stdout
    assert "Insufficient cpu, Insufficient nvidia.com/gpu" in answer.stdout


def test_json_on_standard_input_will_do() -> None:
    node = {"kind": "Node", "metadata": {"name": "n"}, "status": {"allocatable": {"cpu": 4, "pods": "1"}}}
    pods = [{"kind": "Pod", "metadata": {"name": f"p{i}"}, "spec": {"containers": [{"name": "c"}]}} for i in range(2)]
    answer = run("--dry-run", "-", "--json", given=json.dumps({"kind": "List", "items": [node, *pods]}))
    assert [(o["node"], o["message"]) for o in json.loads(answer.stdout)["outcomes"]] == [
        ("n", ""),
        ("", "0/1 nodes are available: 1 Too many pods."),
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("kind: [", "is neither JSON nor YAML"),
        ("just words", "must hold objects of Kubernetes"),
        ("kind: ConfigMap\n", "no node is among them"),
        (
            "kind: Node\nmetadata: {name: n}\nstatus: {allocatable: {cpu: [1]}}",
            "Node n: Expected `int | float | str`, got `array`",
        ),
        ("kind: Node\nmetadata: {name: n}\nstatus: {allocatable: {cpu: x}}", "node 'n': status.allocatable.cpu: is no"),
        (
            "kind: Node\nmetadata: {name: n}\n---\nkind: Pod\nmetadata: {name: p}\nspec: {}\n---\n"
            "kind: Pod\nmetadata: {name: p, namespace: default}\nspec: {}\n",
            "pod default/p: is among the objects twice",
        ),
        ("kind: Node\nmetadata: {name: n}\nspec: {taints: [{key: k, effect: Nope}]}", "spec.taints[0].effect"),
    ],
)
def test_bad_files_are_one_line_and_exit_code_2(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    answer = run("--dry-run", path)
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: ")
    assert answer.stderr.count("\n") == 1
    assert complaint in answer.stderr


def test_what_can_not_be_done_says_what_can(cluster: Path, tmp_path: Path) -> None:
    assert "--dry-run: must be given" in run(cluster).stderr
    assert "no pod 'a/b' waits" in run("--dry-run", cluster, "--explain", "a/b").stderr
    policy = tmp_path / "policy.json"
    policy.write_text('{"kind": "Policy", "apiVersion": "v1", "predicates": []}')
    answer = run("--dry-run", cluster, "--config", policy)
    assert answer.returncode == 2
    assert "write a KubeSchedulerConfiguration" in answer.stderr
