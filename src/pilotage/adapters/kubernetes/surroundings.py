"""What else of a cluster tells which pods belong together: namespaces, services, controllers."""

from collections.abc import Iterable

from msgspec import Struct, field

from pilotage.adapters.kubernetes.objects import (
    Labels,
    LabelSelector,
    Namespace,
    Pod,
    ReplicationController,
    Service,
    Workload,
)
from pilotage.adapters.kubernetes.selectors import label_fault
from pilotage.model.expression import Expression, Operator

CONTROLLERS = {("apps/v1", "ReplicaSet"), ("apps/v1", "StatefulSet"), ("v1", "ReplicationController")}
"""Controllers whose pods are spread by default."""


class Surroundings(Struct):
    """Labels by namespace; by namespace, what services select; by kind, namespace and name, what controllers select.

    ``replicated``: of controllers whose selectors are labels, what they select: goes before what services say.
    """

    namespaces: dict[str, Labels] = field(default_factory=dict)
    services: dict[str, list[Labels]] = field(default_factory=dict)
    controllers: dict[tuple[str, str, str], tuple[Expression, ...]] = field(default_factory=dict)
    replicated: dict[tuple[str, str, str], Labels] = field(default_factory=dict)

    def add(self, each: "Namespace | Service | ReplicationController | Workload", kind: str) -> None:
        """Take an object in; a controller whose selector can not be read selects nothing."""
        meta = each.metadata
        if isinstance(each, Namespace):
            self.namespaces[meta.name] = meta.labels or {}
        elif isinstance(each, Service):
            if each.spec is not None and each.spec.selector:
                self.services.setdefault(meta.namespace or "default", []).append(each.spec.selector)
        else:
            key = (kind, meta.namespace or "default", meta.name)
            selector = each.spec.selector if each.spec is not None else None
            if isinstance(selector, dict):
                self.replicated[key] = selector
            self.controllers[key] = _conditions(selector if isinstance(selector, LabelSelector) else None)

    def mates_of(self, pod: Pod) -> tuple[Expression, ...]:
        """Return what those pods are selected by that belong to the same services and controller as ``pod``, sorted.

        Empty if it belongs to none. Source: the selector of kube-scheduler's default spread.
        """
        meta = pod.metadata
        namespace, labels = meta.namespace or "default", meta.labels or {}
        found: dict[Expression, None] = {}
        shared: Labels = {}
        for selected in self.services.get(namespace, ()):
            if all(labels.get(key) == value for key, value in selected.items()):
                shared |= selected
        for owner in meta.owner_references or ():
            if owner.controller and (owner.api_version, owner.kind) in CONTROLLERS:
                key = (owner.kind, namespace, owner.name)
                shared |= self.replicated.get(key, {})
                found |= dict.fromkeys(self.controllers.get(key, ()))
        found |= dict.fromkeys(_exact(shared.items()))
        return tuple(sorted(found, key=repr))

    def lacks_controller_of(self, pod: Pod) -> bool:
        """Whether a pod is said to belong to a controller that is not here."""
        namespace = pod.metadata.namespace or "default"
        return any(
            bool(owner.controller)
            and (owner.api_version, owner.kind) in CONTROLLERS
            and (owner.kind, namespace, owner.name) not in self.controllers
            for owner in pod.metadata.owner_references or ()
        )


def _conditions(selector: LabelSelector | None) -> tuple[Expression, ...]:
    if selector is None:
        return ()
    requirements = selector.match_expressions or ()
    if any(map(label_fault, requirements)):
        return ()
    read = (Expression(each.key, Operator(each.operator), tuple(each.values or ())) for each in requirements)
    return (*_exact((selector.match_labels or {}).items()), *read)


def _exact(pairs: Iterable[tuple[str, str]]) -> tuple[Expression, ...]:
    return tuple(Expression(key, Operator.IN, (value,)) for key, value in pairs)
