"""Corners of affinity between pods that random cases leave out, each asked of the pinned release."""

from __future__ import annotations

from typing import Any

import pytest

from pilotage.adapters.kubernetes.configuration import read_configuration
from tests.conformance.kubernetes.compare import check
from tests.conformance.kubernetes.test_plugins import configuration
from tests.conformance.kubernetes.twin import Twin
from tests.controlplane.oracle import Oracle

Object = dict[str, Any]

NOT_A = {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}
"""Holds on no labels at all, too."""


def node(i: int) -> Object:
    labels = {"kubernetes.io/hostname": f"n{i}", "zone": "xy"[i % 2]}
    meta = {"name": f"n{i}", "labels": labels}
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta, "status": {"allocatable": {"cpu": "4", "pods": "9"}}}


def pod(name: str, namespace: str, on: str = "", **affinity: Any) -> Object:
    spec: Object = {"containers": [{"name": "c"}], "nodeName": on, "affinity": affinity}
    meta = {"name": name, "namespace": namespace, "labels": {"app": "web"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def required(**term: Any) -> Object:
    chosen = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}, **term}
    return {"requiredDuringSchedulingIgnoredDuringExecution": [chosen]}


def preferred(*weights: int, **term: Any) -> Object:
    chosen = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}, **term}
    return {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": weight, "podAffinityTerm": chosen} for weight in weights]}  # fmt: skip


NAMESPACES = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"team-{team}", "labels": {"team": team}}}
    for team in "ab"
]
CLUSTER = [*NAMESPACES, *(node(i) for i in range(4))]

CASES: dict[str, tuple[list[Object], Object]] = {
    "a newcomer's selector that holds on no labels means every namespace": (
        [pod("there", "team-a", "n0")],
        pod("p", "team-b", podAntiAffinity=required(namespaceSelector=NOT_A)),
    ),
    "of a pod on a node it means what it says": (
        [pod("there", "team-b", "n0", podAntiAffinity=required(namespaceSelector=NOT_A))],
        pod("p", "team-a"),
    ),
    "and keeps away those whom it means": (
        [pod("there", "team-a", "n0", podAntiAffinity=required(namespaceSelector=NOT_A))],
        pod("p", "team-b"),
    ),
    "a namespace that nobody knows has no labels": (
        [pod("there", "nowhere", "n0")],
        pod("p", "team-b", podAffinity=required(namespaceSelector={"matchLabels": {"team": "a"}})),
    ),
    "a preference that is named twice counts twice": (
        [
            pod("there", "team-a", "n0", podAffinity=preferred(40, 40)),
            pod("b", "team-a", "n1", podAffinity=preferred(50)),
        ],
        pod("p", "team-a"),
    ),
    "so does required company": (
        [
            pod("there", "team-a", "n0", podAffinity=required()),
            pod("b", "team-a", "n1", podAffinity={
                name: terms * 2 for name, terms in required().items()}),
        ],
        pod("p", "team-a"),
    ),
    "the first of its kind may go anywhere": ([], pod("p", "team-a", podAffinity=required())),
    "even if it refuses its own kind": ([], pod("p", "team-a", podAffinity=required(), podAntiAffinity=required())),
    "the second may go nowhere then": (
        [pod("there", "team-a", "n0", podAffinity=required(), podAntiAffinity=required())],
        pod("p", "team-a", podAffinity=required(), podAntiAffinity=required()),
    ),
    "the first of another kind may go nowhere": (
        [],
        pod("p", "team-a", podAffinity=required(labelSelector={"matchLabels": {"app": "db"}})),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_corner_is_as_the_release_has_it(oracle: Oracle, name: str) -> None:
    placed, waiting = CASES[name]
    config = configuration([])
    answer = oracle.probe([*CLUSTER, *placed], [waiting], config=config)
    check(Twin([*CLUSTER, *placed], read_configuration(config).profiles[0]), waiting, answer["probes"][0])
