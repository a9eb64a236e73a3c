"""Hundreds of pods in a row on a hundred nodes and more: every one goes where the pinned release puts it.

Sampling and rotation matter here: what one decision looked at decides where the next one starts.
"""

from __future__ import annotations

from typing import Any

import pytest

from pilotage.adapters.kubernetes.configuration import read_configuration
from pilotage.adapters.kubernetes.messages import fit_error
from pilotage.model.events import NodeAdded, NodeUpdated, TaskFinished
from tests.conformance.kubernetes.cases import Cases, Object
from tests.conformance.kubernetes.test_plugins import FRESH, configuration
from tests.conformance.kubernetes.twin import Twin, node_of_wire
from tests.controlplane.oracle import Oracle


def sequence(cases: Cases, nodes: int, pods: int, *, churn: bool) -> tuple[list[Object], list[dict[str, Any]]]:
    """A cluster, and what happens to it: pods come and leave; with ``churn`` nodes too."""
    objects = cases.cluster(nodes)
    for each in objects:
        if each["kind"] == "Pod":
            # There, ports in use are a set: of two pods of one node with the same port, the first to go frees it.
            for container in (*each["spec"]["containers"], *each["spec"].get("initContainers", ())):
                container.pop("ports", None)
    running = [f"{o['metadata']['namespace']}/{o['metadata']['name']}" for o in objects if is_running(o)]
    there = [o["metadata"]["name"] for o in objects if o["kind"] == "Node"]
    steps: list[dict[str, Any]] = []
    kinds = [pinned_to_one(cases.pod()) for _ in range(25)]
    for i in range(pods):
        # three in four are copies: most pods of a cluster are one of many
        body = cases.random.choice(kinds) if i % 4 else pinned_to_one(cases.pod())
        pod = {**body, "metadata": {**body["metadata"], "name": f"s{i}"}}
        pod["spec"] = {k: v for k, v in body["spec"].items() if k not in ("nodeName", "schedulingGates")}
        steps.append({"schedule": pod})
        if running and cases.random.random() < 0.1:
            steps.append({"deletePod": running.pop(cases.random.randrange(len(running)))})
        if churn and cases.random.random() < 0.04:
            new = cases.node(1000 + i)
            steps.append({"addNode": new})
            there.append(new["metadata"]["name"])
        if churn and cases.random.random() < 0.04:
            name = cases.random.choice(there)
            steps.append({"updateNode": {**cases.node(int(name[1:]))}})
        if churn and cases.random.random() < 0.02 and len(there) > 3:
            steps.append({"removeNode": there.pop(cases.random.randrange(len(there)))})
    return objects, steps


def pinned_to_one(pod: Object) -> Object:
    """Of pods that name several nodes there, the nodes come out of a map in random order: let them name one."""
    affinity = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    terms = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms", [])
    if any("matchFields" in term for term in terms):
        del terms[1:]
    return pod


def is_running(each: Object) -> bool:
    return each["kind"] == "Pod" and each["status"]["phase"] != "Succeeded"


def play(twin: Twin, steps: list[dict[str, Any]], done: list[dict[str, Any]]) -> dict[str, int]:
    """Take the steps and compare every decision; return how many pods came to what."""
    counts = {"placed": 0, "refused": 0, "sampled": 0}
    for i, (step, theirs) in enumerate(zip(steps, done, strict=True)):
        engine = twin.engine
        if "schedule" in step:
            ours = twin.decide(step["schedule"])
            where = f"step {i}: {step['schedule']['metadata']['name']}"
            assert ours.node == theirs.get("node", ""), where
            assert ours.feasible == theirs.get("feasible", 0), where
            counts["placed" if ours.node else "refused"] += 1
            counts["sampled"] += 0 < ours.feasible < len(engine.state.nodes) // 2 + 1
            if not ours.node:
                assert fit_error(len(engine.state.nodes), ours.rejections) == theirs["message"], where
        elif "deletePod" in step:
            if step["deletePod"] in engine.state.placements:
                engine.apply(TaskFinished(step["deletePod"]))
        elif "addNode" in step:
            engine.apply(NodeAdded(node_of_wire(step["addNode"])))
        elif "updateNode" in step:
            engine.apply(NodeUpdated(node_of_wire(step["updateNode"])))
        else:
            twin.remove_node(step["removeNode"])
    return counts


@pytest.mark.parametrize(
    ("focus", "nodes", "pods", "percentage", "churn"),
    [
        ("mixed", 100, 500, 0, False),
        ("fit", 260, 700, 0, False),
        ("mixed", 150, 500, 100, False),
        ("taints", 400, 600, 30, True),
        ("mixed", 120, 600, 0, True),
        ("spread", 130, 500, 0, True),
        ("company", 150, 500, 0, True),
    ],
)
@pytest.mark.parametrize("seed", [1, FRESH], ids=["fixed", "fresh"])
def test_every_pod_of_a_sequence_goes_where_the_release_puts_it(
    oracle: Oracle, focus: str, nodes: int, pods: int, percentage: int, churn: bool, seed: int
) -> None:
    print(f"PILOTAGE_SEED={seed} repeats this run")
    cases = Cases(seed, f"{focus}")
    # An image's spread is counted there when a node's own record was last touched, here when it is asked for.
    cases.images = not churn
    config = {**configuration([]), "percentageOfNodesToScore": percentage}
    objects, steps = sequence(cases, nodes, pods, churn=churn)
    answer = oracle.run(objects, steps, config=config)
    twin = Twin(objects, read_configuration(config).profiles[0])
    assert twin.order() == answer["order"]
    counts = play(twin, steps, answer["steps"])
    assert counts["placed"] + counts["refused"] == pods
    assert counts["placed"] > pods // 8
    assert counts["sampled"] > pods // 20 or nodes < 200
