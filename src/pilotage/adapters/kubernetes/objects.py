"""Objects of the Kubernetes API, with the fields that scheduling reads and no others; unknown fields are passed over.

A list or mapping may be null: servers written in Go say so for an empty one.
"""

from typing import Any

from msgspec import Struct, field

from pilotage.adapters.kubernetes.quantity import Text

Quantities = dict[str, Text]
Labels = dict[str, str]


class Wire(Struct, rename="camel", kw_only=True):
    """A part of an object, its fields named as on the wire."""


class Owner(Wire):
    """Who made the object."""

    kind: str = ""
    name: str = ""
    controller: bool | None = None


class Meta(Wire):
    """Name and labels of an object."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    labels: Labels | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    owner_references: list[Owner] | None = None


class Taint(Wire):
    """A taint of a node."""

    key: str
    value: str | None = ""
    effect: str = ""


class NodeSpec(Wire):
    """What is wanted of a node."""

    unschedulable: bool | None = False
    taints: list[Taint] | None = None


class ContainerImage(Wire):
    """An image on a node, by all its names."""

    names: list[str] | None = None
    size_bytes: int | None = 0


class NodeStatus(Wire):
    """What a node has."""

    capacity: Quantities | None = None
    allocatable: Quantities | None = None
    images: list[ContainerImage] | None = None


class Node(Wire):
    """A node."""

    metadata: Meta
    spec: NodeSpec | None = None
    status: NodeStatus | None = None


class Resources(Wire):
    """What a container, or the pod as a whole, asks for."""

    requests: Quantities | None = None
    limits: Quantities | None = None


class Port(Wire):
    """A port of a container."""

    container_port: int = 0
    host_port: int | None = 0
    protocol: str | None = ""
    host_ip: str | None = field(default="", name="hostIP")


class Container(Wire):
    """A container."""

    name: str = ""
    image: str | None = ""
    resources: Resources | None = None
    ports: list[Port] | None = None
    restart_policy: str | None = None


class Requirement(Wire):
    """A condition on a label or a field of a node."""

    key: str = ""
    operator: str = ""
    values: list[str] | None = None


class SelectorTerm(Wire):
    """Conditions that must all hold."""

    match_expressions: list[Requirement] | None = None
    match_fields: list[Requirement] | None = None


class NodeSelector(Wire):
    """Terms of which one must match."""

    node_selector_terms: list[SelectorTerm] | None = None


class PreferredTerm(Wire):
    """A term that had better match."""

    weight: int = 0
    preference: SelectorTerm = field(default_factory=SelectorTerm)


class NodeAffinity(Wire):
    """Required and preferred labels of nodes."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    preferred_during_scheduling_ignored_during_execution: list[PreferredTerm] | None = None


class Affinity(Wire):
    """Where a pod wants to be; affinity to pods is read by others."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: dict[str, Any] | None = None
    pod_anti_affinity: dict[str, Any] | None = None


class Toleration(Wire):
    """A taint that a pod stands."""

    key: str | None = ""
    operator: str | None = ""
    value: str | None = ""
    effect: str | None = ""


class Gate(Wire):
    """A reason not to schedule a pod yet."""

    name: str = ""


class PodSpec(Wire):
    """What is wanted of a pod."""

    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    resources: Resources | None = None
    overhead: Quantities | None = None
    node_name: str | None = ""
    node_selector: Labels | None = None
    affinity: Affinity | None = None
    tolerations: list[Toleration] | None = None
    scheduler_name: str | None = ""
    priority: int | None = None
    priority_class_name: str | None = ""
    scheduling_gates: list[Gate] | None = None
    host_network: bool | None = False
    topology_spread_constraints: list[dict[str, Any]] | None = None
    volumes: list[dict[str, Any]] | None = None
    resource_claims: list[dict[str, Any]] | None = None


class ContainerStatus(Wire):
    """What a container was given (it may be resized in place)."""

    name: str = ""
    allocated_resources: Quantities | None = None
    resources: Resources | None = None


class Condition(Wire):
    """A condition of a pod."""

    type: str = ""
    reason: str | None = ""
    last_transition_time: str | None = None


class PodStatus(Wire):
    """How a pod is."""

    phase: str | None = ""
    conditions: list[Condition] | None = None
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None


class Pod(Wire):
    """A pod."""

    metadata: Meta
    spec: PodSpec
    status: PodStatus | None = None

    @property
    def key(self) -> str:
        """namespace/name; a pod without a namespace is in ``default``."""
        return f"{self.metadata.namespace or 'default'}/{self.metadata.name}"


class PriorityClass(Wire):
    """A name for a priority."""

    metadata: Meta
    value: int = 0
    global_default: bool | None = False
