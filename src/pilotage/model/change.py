"""What would have to change for a node to take a task: the smallest changes, exact, one fact each."""

from msgspec import Struct

from pilotage.model.node import Taint
from pilotage.model.task import HostPort


class MoreFree(Struct, frozen=True, tag=True):
    """So much more of a resource free on the node, in base units."""

    resource: str
    amount: int

    def __str__(self) -> str:
        return f"{self.resource}: {self.amount:,} more free"


class MoreGpuFree(Struct, frozen=True, tag=True):
    """So many thousandths more free on one of the node's GPUs."""

    gpu: int
    thousandths: int

    def __str__(self) -> str:
        return f"GPU {self.gpu}: {self.thousandths} thousandths more free"


class MoreGpus(Struct, frozen=True, tag=True):
    """So many more GPUs in the node, of the model that it has or, if it has none, of ``model`` (empty: of any)."""

    count: int
    model: str = ""

    def __str__(self) -> str:
        model = f" of model {self.model}" if self.model else ""
        return f"{self.count} more GPU{'s' if self.count > 1 else ''}{model} in the node"


class ModelAllowed(Struct, frozen=True, tag=True):
    """The task allows the node's GPU model, too."""

    model: str

    def __str__(self) -> str:
        return f"GPU model {self.model} allowed by the task"


class TaintTolerated(Struct, frozen=True, tag=True):
    """The task tolerates a taint, or the node loses it."""

    taint: Taint

    def __str__(self) -> str:
        value = f"={self.taint.value}" if self.taint.value else ""
        return f"taint {self.taint.key}{value}:{self.taint.effect} tolerated, or taken from the node"


class LabelGiven(Struct, frozen=True, tag=True):
    """The node carries a label with this value (or with another one that meets the same condition)."""

    key: str
    value: str

    def __str__(self) -> str:
        return f"label {self.key}={self.value} on the node"


class LabelTaken(Struct, frozen=True, tag=True):
    """The node carries no such label, or one with another value."""

    key: str
    value: str

    def __str__(self) -> str:
        return f"label {self.key}={self.value} taken from the node"


class Uncordoned(Struct, frozen=True, tag=True):
    """The node takes new tasks again."""

    def __str__(self) -> str:
        return "the node uncordoned"


class PortFreed(Struct, frozen=True, tag=True):
    """A port of the node is free again, on the address that was asked for."""

    port: HostPort

    def __str__(self) -> str:
        address = "" if self.port.address == "0.0.0.0" else f" on {self.port.address}"
        return f"port {self.port.port}/{self.port.protocol}{address} free on the node"


class NodeAllowed(Struct, frozen=True, tag=True):
    """What the task says of nodes' names allows this one, too."""

    node: str

    def __str__(self) -> str:
        return f"the name {self.node} allowed by the task"


class TasksLeft(Struct, frozen=True, tag=True):
    """So many fewer of the tasks that stand in the way in the node's domain (``value``) of label ``key``."""

    key: str
    value: str
    count: int

    def __str__(self) -> str:
        return f"{self.count} fewer of the tasks that stand in the way in {self.key}={self.value}"


class CompanyThere(Struct, frozen=True, tag=True):
    """One of the tasks whose company is required in the node's domain (``value``) of label ``key``."""

    key: str
    value: str

    def __str__(self) -> str:
        return f"a task of the required company in {self.key}={self.value}"


Change = (
    MoreFree
    | MoreGpuFree
    | MoreGpus
    | ModelAllowed
    | TaintTolerated
    | LabelGiven
    | LabelTaken
    | Uncordoned
    | PortFreed
    | NodeAllowed
    | TasksLeft
    | CompanyThere
)
