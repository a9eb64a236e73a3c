"""What random pods want of each other: spread, affinity and anti-affinity, and what tells who belongs together."""

from __future__ import annotations

from random import Random
from typing import Any

Object = dict[str, Any]

NAMESPACES = {"default": {"team": "a"}, "team-a": {"team": "a", "open": ""}, "team-b": {"team": "b"}}
KEYS = ("topology.kubernetes.io/zone", "kubernetes.io/hostname", "disk", "nowhere")
APPS = ("web", "db")
TIERS = ("x", "y")


def labels(random: Random) -> dict[str, str]:
    found = {}
    if random.random() < 0.9:
        found["app"] = random.choice(APPS)
    if random.random() < 0.6:
        found["tier"] = random.choice(TIERS)
    return found


def selector(random: Random) -> Object | None:
    """A label selector; now and then one that selects everything, or none at all."""
    kind = random.random()
    if kind < 0.06:
        return None
    if kind < 0.12:
        return {}
    found: Object = {}
    if random.random() < 0.7:
        found["matchLabels"] = {"app": random.choice(APPS)}
    if random.random() < 0.4 or not found:
        operator = random.choice(("In", "NotIn", "Exists", "DoesNotExist"))
        values = {"values": [random.choice(TIERS)]} if operator in ("In", "NotIn") else {}
        found["matchExpressions"] = [{"key": "tier", "operator": operator, **values}]
    return found


def namespaces(random: Random) -> Object:
    """Where a term looks. Selectors that hold on no labels at all are left to a test of their own."""
    found: Object = {}
    if random.random() < 0.25:
        found["namespaces"] = random.sample(sorted(NAMESPACES), random.randint(0, 2))
    if random.random() < 0.35:
        found["namespaceSelector"] = random.choice(
            (
                {},
                {"matchLabels": {"team": "a"}},
                {"matchExpressions": [{"key": "open", "operator": "Exists"}]},
                {"matchLabels": {"team": "nobody"}},
            )
        )
    return found


def term(random: Random) -> Object:
    found: Object = {"topologyKey": random.choice(KEYS[:3] if random.random() < 0.95 else KEYS), **namespaces(random)}
    chosen = selector(random)
    if chosen is not None:
        found["labelSelector"] = chosen
    return found


def company(random: Random, likely: float) -> Object:
    """Affinity to pods; required terms are rarer the more pods are to be placed."""
    found: Object = {}
    for name in ("podAffinity", "podAntiAffinity"):
        part: Object = {}
        if random.random() < likely:
            part["requiredDuringSchedulingIgnoredDuringExecution"] = [
                term(random) for _ in range(random.choice((1, 1, 2)))
            ]
        if random.random() < likely:
            part["preferredDuringSchedulingIgnoredDuringExecution"] = [
                {"weight": random.choice((1, 10, 100)), "podAffinityTerm": term(random)}
                for _ in range(random.randint(1, 2))
            ]
        if part:
            found[name] = part
    return found


def spread(random: Random) -> list[Object]:
    """Constraints, at most one for each key and kind (the API server refuses more)."""
    wanted = {(random.choice(KEYS[:3]), random.choice(("DoNotSchedule", "ScheduleAnyway", "ScheduleAnyway")))}
    if random.random() < 0.5:
        wanted.add((random.choice(KEYS), random.choice(("DoNotSchedule", "ScheduleAnyway"))))
    found = []
    for key, when in sorted(wanted):
        each: Object = {"topologyKey": key, "whenUnsatisfiable": when, "maxSkew": random.choice((1, 1, 2, 5))}
        chosen = selector(random)
        if chosen is not None:
            each["labelSelector"] = chosen
        if random.random() < 0.2:
            each["matchLabelKeys"] = random.sample(("tier", "app", "none"), random.randint(1, 2))
        if when == "DoNotSchedule" and random.random() < 0.3:
            each["minDomains"] = random.choice((1, 2, 4))
        for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if random.random() < 0.3:
                each[name] = random.choice(("Honor", "Ignore"))
        found.append(each)
    return found


def surroundings(random: Random) -> list[Object]:
    """Namespaces, services and controllers."""
    made: list[Object] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": having}}
        for name, having in NAMESPACES.items()
    ]
    for i in range(random.randint(0, 3)):
        chosen = {"app": random.choice(APPS), **({"tier": random.choice(TIERS)} if random.random() < 0.3 else {})}
        meta = {"name": f"s{i}", "namespace": random.choice(sorted(NAMESPACES))}
        made.append({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": chosen}})
    for kind, api in (("ReplicaSet", "apps/v1"), ("StatefulSet", "apps/v1"), ("ReplicationController", "v1")):
        chosen = {"app": random.choice(APPS)}
        spec = {"selector": chosen if api == "v1" else {"matchLabels": chosen}}
        if kind == "ReplicaSet":
            spec["selector"]["matchExpressions"] = [{"key": "tier", "operator": "NotIn", "values": ["y"]}]
        meta = {"name": "owner", "namespace": random.choice(("default", "team-a"))}
        made.append({"apiVersion": api, "kind": kind, "metadata": meta, "spec": spec})
    return made


def owner(random: Random) -> list[Object]:
    kind, api = random.choice(
        (("ReplicaSet", "apps/v1"), ("StatefulSet", "apps/v1"), ("ReplicationController", "v1"), ("Job", "batch/v1"))
    )
    named = random.choice(("owner", "owner", "lost"))
    return [{"apiVersion": api, "kind": kind, "name": named, "uid": "u", "controller": random.random() < 0.9}]
