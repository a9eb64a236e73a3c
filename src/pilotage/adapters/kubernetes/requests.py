"""What a pod asks of its node: containers, init containers, sidecars, overhead, pod-level resources.

Everything is summed in billionths of a unit and rounded up once, at the end. Source: the resource helpers of
Kubernetes 1.35 (in-place resize of containers and pod-level resources on, in-place resize of the latter off).
"""

import re
from collections.abc import Iterable, Mapping

from pilotage.adapters.kubernetes.objects import Container, ContainerStatus, Pod, Quantities
from pilotage.adapters.kubernetes.quantity import MILLI, NANO, milli, nanos, units

Nanos = dict[str, int]
"""Billionths by resource."""

IF_MISSING: Mapping[str, int] = {"cpu": 100 * MILLI, "memory": 200 * 2**20 * NANO}
"""What scoring takes a container for that asks for no CPU or memory: 100 milli and 200 MiB."""

_POD_LEVEL = frozenset({"cpu", "memory"})
_HUGE_PAGES = "hugepages-"
_QUALIFIED = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)


def pod_requests(
    pod: Pod, *, pod_level: bool = True, given: bool = False, missing: Mapping[str, int] | None = None
) -> Nanos:
    """Return the whole request of a pod in billionths.

    ``pod_level``: count the pod's own resources. ``given``: count what containers were given where that is more (for
    pods on nodes). ``missing``: what a container counts that does not name a resource.
    """
    total = _of_containers(pod, given, missing or {})
    if pod_level:
        total |= pod_level_request(pod)
    _add(total, _read("spec.overhead", pod.spec.overhead))
    return total


def _of_containers(pod: Pod, given: bool, missing: Mapping[str, int]) -> Nanos:
    spec = pod.spec
    statuses: dict[str, ContainerStatus] = {}
    infeasible = False
    if given and pod.status is not None:
        every = (*(pod.status.container_statuses or ()), *(pod.status.init_container_statuses or ()))
        statuses = {status.name: status for status in every if status.resources is not None}
        pending = [c for c in pod.status.conditions or () if c.type == "PodResizePending"]
        infeasible = bool(pending) and pending[0].reason == "Infeasible"

    def of(field: str, container: Container, resizable: bool = True) -> Nanos:
        asked = container_request(field, container)
        status = statuses.get(container.name) if resizable else None
        if status is not None and status.resources is not None:
            parts = [] if infeasible else [asked]
            parts.append(_read(field, status.resources.requests))
            parts.append(_read(field, status.allocated_resources))
            asked = _most(parts)
        return {**missing, **asked}

    total: Nanos = {}
    for i, container in enumerate(spec.containers or ()):
        _add(total, of(f"spec.containers[{i}].resources", container))
    sidecars: Nanos = {}
    starting: list[Nanos] = []
    for i, container in enumerate(spec.init_containers or ()):
        sidecar = container.restart_policy == "Always"
        asked = of(f"spec.initContainers[{i}].resources", container, sidecar)
        if sidecar:
            _add(total, asked)
            _add(sidecars, asked)
            starting.append(dict(sidecars))
        else:
            _add(asked, sidecars)
            starting.append(asked)
    return _most([total, *starting])


def pod_level_request(pod: Pod) -> Nanos:
    """Return what the pod asks for as a whole, of the resources that can be asked for so.

    Where it has limits, the API server writes down what it lacks: of CPU and memory what the containers ask for, else
    the limit itself.
    """
    resources = pod.spec.resources
    if resources is None:
        return {}
    asked = _read("spec.resources.requests", resources.requests)
    limits = _read("spec.resources.limits", resources.limits)
    if limits:
        summed = {name: amount for name, amount in _of_containers(pod, False, {}).items() if name in _POD_LEVEL}
        asked = {**limits, **summed, **asked}
    return {name: amount for name, amount in asked.items() if name in _POD_LEVEL or name.startswith(_HUGE_PAGES)}


def container_request(field: str, container: Container) -> Nanos:
    """Return what a container asks for; a limit without a request is one (the API server writes it down so)."""
    resources = container.resources
    if resources is None:
        return {}
    return {**_read(f"{field}.limits", resources.limits), **_read(f"{field}.requests", resources.requests)}


def nominal_requests(pod: Pod, *, pod_level: bool = True, given: bool = False) -> Nanos:
    """Return CPU and memory as scoring counts them for pods on nodes."""
    missing = dict(IF_MISSING)
    if pod_level and pod_level_request(pod):
        known = pod_requests(pod, given=given)
        missing = {name: amount for name, amount in IF_MISSING.items() if name not in known}
    counted = pod_requests(pod, pod_level=pod_level, given=given, missing=missing)
    return {name: counted.get(name, 0) for name in IF_MISSING}


def amounts(requests: Nanos) -> dict[str, int]:
    """Return a request in base units, of the resources that are scheduled: CPU in milli, others in units."""
    return {
        name: milli(amount) if name == "cpu" else units(amount)
        for name, amount in requests.items()
        if amount and is_scheduled(name)
    }


def is_scheduled(name: str) -> bool:
    """Whether kube-scheduler counts a resource: others are passed over."""
    return name in ("cpu", "memory", "ephemeral-storage") or is_scalar(name)


def is_scalar(name: str) -> bool:
    """Whether it is an extended resource, huge pages, an attachable volume or a prefixed native resource."""
    return is_extended(name) or name.startswith((_HUGE_PAGES, "attachable-volumes-")) or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """Whether a resource is of somebody's own making: ``vendor.example/thing``."""
    if "kubernetes.io/" in name or name.startswith("requests."):
        return False
    return _QUALIFIED.fullmatch(name) is not None


def _read(field: str, quantities: Quantities | None) -> Nanos:
    return {name: nanos(f"{field}.{name}", text) for name, text in (quantities or {}).items()}


def _add(total: Nanos, more: Nanos) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _most(parts: Iterable[Nanos]) -> Nanos:
    most: Nanos = {}
    for part in parts:
        for name, amount in part.items():
            most[name] = max(most.get(name, 0), amount)
    return most
