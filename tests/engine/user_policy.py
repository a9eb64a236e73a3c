"""A policy as a user would write it, with one plugin of each sort, and the same rules for the reference."""

import numpy as np

from pilotage import Policy, filters, node_filter, scorer, scorers
from pilotage.model.node import ZONE_LABEL
from pilotage.model.task import Task
from tests.kernel import reference
from tests.kernel.reference import Cluster, Place, Rules


@node_filter(reads=("cpu",), depends="row", reason="node is half full")
def below_half(task, nodes):
    return nodes.used["cpu"] * 2 <= nodes.capacity["cpu"]


@node_filter
def not_the_last_letter(task, nodes):
    return np.array([not (task.id.endswith("7") and name.endswith("3")) for name in nodes.names], np.bool_)


@scorer(reads=("memory", "labels"), depends="row")
def roomy(task, nodes):
    return nodes.free["memory"] / 3.0 + 1000.0 * nodes.has_label("disk", "ssd")


@scorer
def spread(task, nodes):
    """Few tasks in the zone, counted over the nodes in view."""
    zones = nodes.label(ZONE_LABEL)
    return -np.bincount(zones, weights=nodes.used["tasks"])[zones]


def user_policy() -> Policy:
    return Policy(
        name="user",
        filters=[below_half, *filters.DEFAULT, not_the_last_letter],
        scorers=[(spread, 2), (roomy, 3), (scorers.balanced(), 1)],
        tie="seeded-random",
    )


def _below_half(task: Task, place: Place) -> list[str]:
    return [] if place.used("cpu") * 2 <= place.capacity("cpu") else ["node is half full"]


def _not_the_last_letter(task: Task, place: Place) -> list[str]:
    refused = task.id.endswith("7") and place.node.name.endswith("3")
    return ["node(s) refused by not_the_last_letter"] if refused else []


def _roomy(task: Task, place: Place, cluster: Cluster) -> float:
    return place.free("memory") / 3.0 + (1000.0 if place.node.labels.get("disk") == "ssd" else 0.0)


def _spread(task: Task, feasible: list[Place]) -> list[float]:
    def zone(place: Place) -> str | None:
        return place.node.labels.get(ZONE_LABEL)

    return [-float(sum(p.used("tasks") for p in feasible if zone(p) == zone(place))) for place in feasible]


USER_RULES = Rules(
    scorers=[(_roomy, reference.min_max, 3), (reference.balanced(["cpu", "memory"]), reference.as_they_are, 1)],
    group_scorers=[(_spread, reference.min_max, 2)],
    tie="seeded-random",
    filters={"below_half": _below_half, **reference.FILTERS, "not_the_last_letter": _not_the_last_letter},
    timed=frozenset({"not_the_last_letter"}),
)
