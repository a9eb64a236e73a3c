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

    api_version: str = ""
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


class LabelSelector(Wire):
    """Conditions on the labels of an object; none at all select everything."""

    match_labels: Labels | None = None
    match_expressions: list[Requirement] | None = None


class PodAffinityTerm(Wire):
    """Pods, by labels and namespaces, and the label whose values are the domains."""

    label_selector: LabelSelector | None = None
    topology_key: str = ""
    namespaces: list[str] | None = None
    namespace_selector: LabelSelector | None = None
    match_label_keys: list[str] | None = None
    mismatch_label_keys: list[str] | None = None


class WeightedTerm(Wire):
    """A term that had better hold."""

    weight: int = 0
    pod_affinity_term: PodAffinityTerm = field(default_factory=PodAffinityTerm)


class PodAffinity(Wire):
    """Required and preferred company, or its contrary."""

    required_during_scheduling_ignored_during_execution: list[PodAffinityTerm] | None = None
    preferred_during_scheduling_ignored_during_execution: list[WeightedTerm] | None = None


class Affinity(Wire):
    """Where a pod wants to be, and beside whom."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


class SpreadConstraint(Wire):
    """How evenly pods are to be spread over the values of a label."""

    max_skew: int = 1
    topology_key: str = ""
    when_unsatisfiable: str = ""
    label_selector: LabelSelector | None = None
    match_label_keys: list[str] | None = None
    min_domains: int | None = None
    node_affinity_policy: str | None = None
    node_taints_policy: str | None = None


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
    topology_spread_constraints: list[SpreadConstraint] | None = None
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


class Namespace(Wire):
    """A namespace."""

    metadata: Meta


class MapSelector(Wire):
    """Labels that pods must have."""

    selector: Labels | None = None


class Service(Wire):
    """A service, by the pods it selects."""

    metadata: Meta
    spec: MapSelector | None = None


class ReplicationController(Wire):
    """A replication controller, by the pods it selects."""

    metadata: Meta
    spec: MapSelector | None = None


class WorkloadSpec(Wire):
    """What is wanted of a workload."""

    selector: LabelSelector | None = None


class Workload(Wire):
    """A replica set or stateful set, by the pods it selects."""

    metadata: Meta
    spec: WorkloadSpec | None = None


class PriorityClass(Wire):
    """A name for a priority."""

    metadata: Meta
    value: int = 0
    global_default: bool | None = False
