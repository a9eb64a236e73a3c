"""A task: what is placed. Its spec says what it needs and where it may go; tasks of one kind share one spec."""

from collections.abc import Mapping

from immutabledict import immutabledict
from msgspec import Struct
from msgspec.structs import force_setattr

from pilotage.model.amounts import (
    MAX_GPUS,
    WHOLE_GPU,
    Amounts,
    checked_amount,
    checked_amounts,
    checked_name,
    checked_tuple,
)
from pilotage.model.company import Company, PreferredCompany, Spread
from pilotage.model.errors import InvalidInput
from pilotage.model.expression import Expression
from pilotage.model.group import Group
from pilotage.model.node import NO_LABELS, TaintEffect, checked_labels


class Toleration(Struct, frozen=True, cache_hash=True):
    """Lets a task stand a taint: an empty key, operator or effect matches any (Kubernetes semantics)."""

    key: str = ""
    value: str = ""
    exists: bool = False
    effect: TaintEffect | None = None


class Term(Struct, frozen=True, cache_hash=True):
    """Expressions that must all hold, and names of which the node must have one; an empty term matches no node.

    ``names`` and ``other_names`` speak of the node's own name: it must be among the first (None: any will do) and
    must not be among the second.
    """

    expressions: tuple[Expression, ...] = ()
    names: tuple[str, ...] | None = None
    other_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        force_setattr(self, "expressions", checked_tuple("term.expressions", self.expressions, Expression))
        if self.names is not None:
            force_setattr(self, "names", checked_tuple("term.names", self.names, str))
        force_setattr(self, "other_names", checked_tuple("term.other_names", self.other_names, str))

    @property
    def empty(self) -> bool:
        """Whether the term asks for nothing, and so matches nothing."""
        return not self.expressions and self.names is None and not self.other_names


class Preference(Struct, frozen=True, cache_hash=True):
    """A term that a node had better match, and by how much."""

    weight: int
    term: Term

    def __post_init__(self) -> None:
        checked_amount("preference.weight", self.weight, at_most=100)


class HostPort(Struct, frozen=True, order=True):
    """A port of the node that a task takes for itself; address 0.0.0.0 takes it on every address."""

    port: int
    protocol: str = "TCP"
    address: str = "0.0.0.0"

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 65535:
            raise InvalidInput("ports.port", f"must be from 1 to 65535, got {self.port}")


class TaskSpec(Struct, frozen=True, kw_only=True, cache_hash=True):
    """What a task needs and where it may go. Equal specs share all cached work of the kernel.

    ``gpus`` GPUs are asked for, each with ``gpu_share`` thousandths (below 1000 only with one GPU), of one of
    ``gpu_models`` (empty: any). ``node_affinity`` is a list of terms of which one must match; ``None`` asks for
    nothing, an empty tuple matches no node. ``company`` and ``no_company`` must, or must not, be in the node's domain;
    all of ``company`` must be met by the same tasks; ``group`` has one rule for all its members. In
    ``demand``, ``gpu`` and ``tasks`` are derived and must not be named.
    Resources in ``uncapped`` are counted on the node but never refused: somebody else watches over them, or only
    scorers read them. ``scored`` holds what scorers of allocation take as the task's own amounts where that is not
    its demand. ``images`` names the image of each container.
    Raises `InvalidInput` naming the field when a value can not be used.
    """

    demand: Amounts = immutabledict()
    gpus: int = 0
    gpu_share: int = WHOLE_GPU
    gpu_models: tuple[str, ...] = ()
    node_name: str = ""
    node_selector: Mapping[str, str] = immutabledict()
    node_affinity: tuple[Term, ...] | None = None
    preferences: tuple[Preference, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    ports: tuple[HostPort, ...] = ()
    spread: tuple[Spread, ...] = ()
    company: tuple[Company, ...] = ()
    no_company: tuple[Company, ...] = ()
    preferred_company: tuple[PreferredCompany, ...] = ()
    group: Group | None = None
    uncapped: tuple[str, ...] = ()
    scored: Amounts = immutabledict()
    images: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checked_amount("gpus", self.gpus, at_most=MAX_GPUS)
        checked_amount("gpu_share", self.gpu_share, at_most=WHOLE_GPU)
        if self.gpus and self.gpu_share == 0:
            raise InvalidInput("gpu_share", "must be from 1 to 1000 thousandths when GPUs are asked for")
        if self.gpus > 1 and self.gpu_share != WHOLE_GPU:
            raise InvalidInput("gpu_share", f"must be 1000 when several GPUs are asked for, got {self.gpu_share}")
        if not self.gpus and self.gpu_models:
            raise InvalidInput("gpu_models", "names models but no GPU is asked for")
        if not self.gpus:
            force_setattr(self, "gpu_share", WHOLE_GPU)
        derived = {"gpu": self.gpus * self.gpu_share, "tasks": 1}
        for name, amount in derived.items():
            if self.demand.get(name, amount) != amount:
                raise InvalidInput(f"demand.{name}", f"is derived from the other fields and must be {amount}")
        force_setattr(self, "demand", checked_amounts("demand", {**self.demand, **derived}))
        force_setattr(self, "gpu_models", tuple(sorted(set(checked_tuple("gpu_models", self.gpu_models, str)))))
        force_setattr(self, "node_selector", checked_labels("node_selector", self.node_selector))
        force_setattr(self, "ports", tuple(sorted(set(checked_tuple("ports", self.ports, HostPort)))))
        force_setattr(self, "preferences", checked_tuple("preferences", self.preferences, Preference))
        force_setattr(self, "tolerations", checked_tuple("tolerations", self.tolerations, Toleration))
        force_setattr(self, "spread", checked_tuple("spread", self.spread, Spread))
        for field, kind in (("company", Company), ("no_company", Company), ("preferred_company", PreferredCompany)):
            force_setattr(self, field, checked_tuple(field, getattr(self, field), kind))
        force_setattr(self, "uncapped", tuple(sorted(set(checked_tuple("uncapped", self.uncapped, str)))))
        force_setattr(self, "scored", checked_amounts("scored", self.scored))
        force_setattr(self, "images", checked_tuple("images", self.images, str))
        if self.node_affinity is not None:
            force_setattr(self, "node_affinity", checked_tuple("node_affinity", self.node_affinity, Term))


class Task(Struct, frozen=True, kw_only=True):
    """One thing to place: an identity, a spec, and its place in the queue.

    ``labels`` and ``namespace`` are what selectors of other tasks, and its own, look at. ``priority``: higher goes
    first. ``arrival_s``: seconds on the clock of the caller. A task with ``gates`` waits until it is ungated. ``queue``
    names the leaf of the tree of queues that it waits in and counts for; empty: no queue. ``gang``, and ``subgroup`` of
    it, name the tasks that it is placed together with; empty: it is on its own.
    """

    id: str
    spec: TaskSpec
    priority: int = 0
    arrival_s: float = 0.0
    labels: Mapping[str, str] = NO_LABELS
    gates: tuple[str, ...] = ()
    namespace: str = ""
    gang: str = ""
    subgroup: str = ""
    queue: str = ""

    def __post_init__(self) -> None:
        checked_name("id", self.id)
        if self.queue != "":
            checked_name("queue", self.queue)
        if self.gang != "":
            checked_name("gang", self.gang)
        elif self.subgroup != "":
            raise InvalidInput("subgroup", "is of a gang, and no gang is named")
        if not -(2**31) <= self.priority < 2**31:
            raise InvalidInput("priority", f"must fit 32 bits, got {self.priority}")
        if not 0 <= self.arrival_s < float("inf"):
            raise InvalidInput("arrival_s", f"must be a finite number of seconds, not negative, got {self.arrival_s}")
        if self.labels is not NO_LABELS:
            force_setattr(self, "labels", checked_labels("labels", self.labels))
        if self.gates != ():
            force_setattr(self, "gates", checked_tuple("gates", self.gates, str))

    @property
    def demand(self) -> Amounts:
        """Amounts that the task takes from its node, in base units."""
        return self.spec.demand

    @property
    def gpus(self) -> int:
        """Number of GPUs asked for."""
        return self.spec.gpus

    @property
    def gpu_share(self) -> int:
        """Thousandths asked for on each GPU."""
        return self.spec.gpu_share
