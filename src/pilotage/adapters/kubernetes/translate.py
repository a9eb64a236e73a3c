"""Nodes and pods of Kubernetes as nodes and tasks of the model."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct, field

from pilotage.adapters.kubernetes.company import TERMINATING, spread_of, wants_of
from pilotage.adapters.kubernetes.objects import Node as WireNode
from pilotage.adapters.kubernetes.objects import Pod, SpreadConstraint
from pilotage.adapters.kubernetes.quantity import nanos, units
from pilotage.adapters.kubernetes.requests import (
    IF_MISSING,
    amounts,
    is_extended,
    nominal_requests,
    pod_requests,
)
from pilotage.adapters.kubernetes.selectors import preferences, required_terms
from pilotage.adapters.kubernetes.surroundings import Surroundings
from pilotage.kernel.weights import NOMINAL
from pilotage.model.errors import InvalidInput
from pilotage.model.node import Node, Taint, TaintEffect
from pilotage.model.task import HostPort, Task, TaskSpec, Toleration

OVER = ("Succeeded", "Failed")
"""Phases of pods that hold nothing any more."""

SYSTEM_PRIORITIES: Mapping[str, int] = {"system-cluster-critical": 2 * 10**9, "system-node-critical": 2 * 10**9 + 1000}
"""Priority classes that every cluster has."""

_EFFECTS = {effect.value: effect for effect in TaintEffect}


def node_of(wire: WireNode) -> Node:
    """Translate a node; raises `InvalidInput` naming what can not be used.

    Without ``allocatable``, ``capacity`` counts. A node that does not say how many pods it takes takes none.
    """
    spec, status = wire.spec, wire.status
    has = (status.allocatable or status.capacity or {}) if status else {}
    held = {name: nanos(f"status.allocatable.{name}", text) for name, text in has.items()}
    capacity = amounts(held)
    for name in ("cpu", "memory"):
        capacity[NOMINAL[name]] = capacity.setdefault(name, 0)
    capacity["tasks"] = units(held.get("pods", 0))
    images: dict[str, int] = {}
    for image in (status.images or ()) if status else ():
        for name in image.names or ():
            images.setdefault(name, image.size_bytes or 0)
    return Node(
        name=wire.metadata.name,
        capacity=capacity,
        labels=wire.metadata.labels or {},
        taints=tuple(
            Taint(taint.key, taint.value or "", _effect(f"spec.taints[{i}].effect", taint.effect))
            for i, taint in enumerate((spec.taints or ()) if spec else ())
        ),
        cordoned=bool(spec and spec.unschedulable),
        images=images,
    )


class Ignored:
    """Extended resources that a profile does not look at: by name, or by what stands before the slash."""

    def __init__(self, names: tuple[str, ...] = (), groups: tuple[str, ...] = ()) -> None:
        self.names = frozenset(names)
        self.groups = frozenset(groups)

    def __contains__(self, name: str) -> bool:
        return is_extended(name) and (name in self.names or name.split("/", maxsplit=1)[0] in self.groups)


class Reading(Struct, frozen=True, kw_only=True):
    """How a profile reads pods, and what is around them.

    ``ignored``: resources that it leaves to others. ``pod_level``: whether what a pod asks for as a whole counts
    (before release 1.34 it does not). ``default_spread``: of pods that say nothing themselves (None: the system's).
    """

    ignored: Ignored = Ignored()
    pod_level: bool = True
    default_spread: tuple[SpreadConstraint, ...] | None = None
    surroundings: Surroundings = field(default_factory=Surroundings)


PLAIN = Reading()


def task_of(pod: Pod, reading: Reading = PLAIN, *, priority: int | None = None) -> Task:
    """Translate a pod that waits for a place, or was just given one; raises `InvalidInput`.

    ``priority``: for a pod that only names its class.
    """
    return _task(pod, reading, priority, given=False)


def placed_task_of(pod: Pod, reading: Reading = PLAIN) -> Task:
    """Translate a pod on a node: what its containers were given counts if it is more than they ask for."""
    return _task(pod, reading, None, given=True)


def _task(pod: Pod, reading: Reading, priority: int | None, *, given: bool) -> Task:
    spec, meta, pod_level = pod.spec, pod.metadata, reading.pod_level
    wants = wants_of(pod, reading.surroundings, placed=given)
    labels = meta.labels or {}
    affinity = spec.affinity.node_affinity if spec.affinity else None
    demand = amounts(pod_requests(pod, given=given, pod_level=pod_level))
    nominal = amounts(nominal_requests(pod, given=given, pod_level=pod_level))
    scored: dict[str, int] = {}
    if spec.resources is not None and pod_level and not given:
        # kube-scheduler's Fit scores a pod that comes by its containers alone, whatever the pod asks for as a whole.
        alone = amounts(pod_requests(pod, pod_level=False, missing=IF_MISSING))
        for name in {*demand, *alone}:
            was = nominal.get(name, 0) if name in NOMINAL else demand.get(name, 0)
            if alone.get(name, 0) != was:
                scored[NOMINAL.get(name, name)] = alone.get(name, 0)
    uncapped = [*NOMINAL.values(), *(name for name in demand if name in reading.ignored and not given)]
    return Task(
        id=pod.key,
        spec=TaskSpec(
            demand={**demand, **{NOMINAL[name]: amount for name, amount in nominal.items()}},
            node_name="" if given else spec.node_name or "",
            node_selector=spec.node_selector or {},
            node_affinity=required_terms(affinity),
            preferences=preferences("spec.affinity.nodeAffinity", affinity),
            tolerations=_tolerations(pod),
            ports=host_ports(pod),
            spread=() if given else spread_of(pod, reading.default_spread, reading.surroundings),
            company=wants.company,
            no_company=wants.no_company,
            preferred_company=wants.preferred_company,
            uncapped=tuple(uncapped),
            scored=scored,
            images=_images(pod),
        ),
        priority=spec.priority if spec.priority is not None else priority or 0,
        arrival_s=queued_s(pod),
        labels={**labels, TERMINATING: ""} if meta.deletion_timestamp else labels,
        namespace=meta.namespace or "default",
        gates=tuple(gate.name for gate in spec.scheduling_gates or ()),
    )


def host_ports(pod: Pod) -> tuple[HostPort, ...]:
    """Return the ports of the node that a pod takes: of containers and sidecars, all of them on the host's network."""
    spec, found = pod.spec, []
    sidecars = [c for c in spec.init_containers or () if c.restart_policy == "Always"]
    for container in (*sidecars, *(spec.containers or ())):
        for port in container.ports or ():
            number = port.host_port or (port.container_port if spec.host_network else 0)
            if number > 0:
                found.append(HostPort(number, port.protocol or "TCP", port.host_ip or "0.0.0.0"))
    return tuple(found)


def queued_s(pod: Pod) -> float:
    """Return since when a pod queues, in seconds since 1970 (0 if it does not say).

    That is when it was created, or, once it was refused, when that was first written down: a refused pod queues anew.
    Gates do not cost a pod its turn.
    """
    moments = [("metadata.creationTimestamp", pod.metadata.creation_timestamp)]
    for i, each in enumerate((pod.status.conditions or ()) if pod.status else ()):
        if each.type == "PodScheduled" and each.reason == "Unschedulable":
            moments.append((f"status.conditions[{i}].lastTransitionTime", each.last_transition_time))
    return max(_seconds(field, text) for field, text in moments)


def _seconds(field: str, text: str | None) -> float:
    if not text:
        return 0.0
    try:
        return max(0.0, datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())
    except ValueError as error:
        raise InvalidInput(field, f"is no time: {text!r:.80}") from error


def _tolerations(pod: Pod) -> tuple[Toleration, ...]:
    """Other operators than Equal and Exists are behind a feature gate that is off: they stand nothing."""
    return tuple(
        Toleration(t.key or "", t.value or "", t.operator == "Exists", _EFFECTS[t.effect] if t.effect else None)
        for t in pod.spec.tolerations or ()
        if (t.operator or "Equal") in ("Equal", "Exists") and (not t.effect or t.effect in _EFFECTS)
    )


def _images(pod: Pod) -> tuple[str, ...]:
    """Names of images, one for each container, with the tag that is meant where none is given."""
    spec = pod.spec
    names = [c.image or "" for c in (*(spec.init_containers or ()), *(spec.containers or ()))]
    return tuple(sorted(f"{name}:latest" if name.rfind(":") <= name.rfind("/") else name for name in names))


def _effect(field: str, text: str) -> TaintEffect:
    if text not in _EFFECTS:
        raise InvalidInput(field, f"must be one of {', '.join(_EFFECTS)}, got {text!r:.80}")
    return _EFFECTS[text]
