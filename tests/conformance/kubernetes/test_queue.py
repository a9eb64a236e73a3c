"""The order of the queue: by priority, then by when a pod came; a pod that gates hold back keeps its turn."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest

from pilotage.adapters.kubernetes.objects import Pod
from pilotage.adapters.kubernetes.profile import Profile, policy_of
from pilotage.adapters.kubernetes.translate import task_of
from pilotage.engine.engine import Engine
from pilotage.model.effects import Bind
from pilotage.model.events import NodeAdded, TaskFinished, TaskSubmitted, TaskUngated
from tests.conformance.kubernetes.cases import Object
from tests.conformance.kubernetes.test_plugins import FRESH
from tests.conformance.kubernetes.twin import node_of_wire
from tests.controlplane.oracle import Oracle

ROOMY = {"kind": "Node", "metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "9", "pods": "100000"}}}
GATES = ("example.com/quota", "b", "c")
TURNS = 400


def pod(name: str, priority: int | None, gates: list[str]) -> Object:
    spec: Object = {"containers": [{"name": "c"}], "schedulingGates": [{"name": each} for each in gates]}
    if priority is not None:
        spec["priority"] = priority
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def draw(random: Random) -> list[dict[str, Any]]:
    """Pods come, lose gates one by one, are deleted and popped; in the end all that can be are popped."""
    turns: list[dict[str, Any]] = []
    gated: dict[str, Object] = {}
    for i in range(TURNS):
        what = random.random()
        if what < 0.5:
            gates = random.sample(GATES, random.choice((0, 0, 0, 1, 2)))
            new = pod(f"p{i}", random.choice((None, 0, 0, -5, 7, 7, 2 * 10**9)), gates)
            turns.append({"add": new})
            if gates:
                gated[f"p{i}"] = new
        elif what < 0.65 and gated:
            name = random.choice(sorted(gated))
            left = [each["name"] for each in gated[name]["spec"]["schedulingGates"]][1:]
            gated[name] = pod(name, gated[name]["spec"].get("priority"), left)
            turns.append({"update": gated[name]})
            if not left:
                del gated[name]
        elif what < 0.7 and gated:
            name = random.choice(sorted(gated))
            del gated[name]
            turns.append({"delete": f"default/{name}"})
        else:
            turns.append({"pop": True})
    return turns + [{"pop": True}] * TURNS


def play(turns: list[dict[str, Any]], profile: Profile) -> dict[str, list[str]]:
    """The same turns on an engine whose only node takes everybody: the order of binding is that of popping."""
    engine = Engine(policy_of(profile), retry=False)
    engine.apply(NodeAdded(node_of_wire(ROOMY)))
    popped: list[str] = []
    for turn in turns:
        if "add" in turn:
            engine.apply(TaskSubmitted(task_of(msgspec.convert(turn["add"], Pod))))
        elif "update" in turn:
            if not turn["update"]["spec"]["schedulingGates"]:
                engine.apply(TaskUngated(f"default/{turn['update']['metadata']['name']}"))
        elif "delete" in turn:
            engine.apply(TaskFinished(turn["delete"]))
        else:
            bound = [effect.task_id for effect in engine.decide(budget=1) if isinstance(effect, Bind)]
            popped.append(bound[0] if bound else "")
    return {"popped": popped, "gated": sorted(waiting.task.id for waiting in engine.room)}


@pytest.mark.parametrize("seed", [1, 2, 3, FRESH], ids=["fixed 1", "fixed 2", "fixed 3", "fresh"])
def test_pods_are_taken_in_the_order_of_the_release(oracle: Oracle, seed: int) -> None:
    print(f"PILOTAGE_SEED={seed} repeats this run")
    pods = held = 0
    for part in range(10):
        turns = draw(Random(f"{seed}-{part}"))
        theirs = oracle.ask(turns=turns)["queue"]
        ours = play(turns, Profile())
        assert ours["popped"] == theirs["popped"]
        assert ours["gated"] == (theirs["gated"] or [])
        pods += sum(1 for name in ours["popped"] if name)
        held += len(ours["gated"])
    assert pods > 1000
    assert held > 10, "gates hold nobody"
