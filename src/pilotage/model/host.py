"""A bare-metal host, as an inventory tells it, and what VMs may take of it."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Annotated

from msgspec import Meta, Struct

from pilotage.model.amounts import MAX_AMOUNT
from pilotage.model.errors import InvalidInput
from pilotage.model.node import Node
from pilotage.model.vm import TRAIT, Name, Trait

RESOURCES = ("cpu", "memory", "storage", "gpu")
"""What claims count, beside the number of VMs: CPUs, MiB, GiB, GPUs."""

Ratio = Annotated[float, Meta(gt=0, le=64)]
Count = Annotated[int, Meta(ge=0, le=2**40)]
Fraction = Annotated[float, Meta(ge=0, le=1)]


class Host(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One host. ``cpu`` in CPUs, ``memory`` in MiB, ``storage`` in GiB; VirtFlow's BareMetalNode has the same names.

    ``*_ratio`` is how often an amount may be given away, ``reserved_*`` what is kept back of it first: VMs may take
    (total - reserved) x ratio, rounded down. ``max_vms`` None: any number. ``usage_cpu``, ``usage_mem`` (parts of the
    total) and ``current_vms`` are what runs there that is not ours. ``vms`` names the VMs that the inventory sees; a
    claim that is suspect and not among them is released.
    """

    name: Name
    cpu: Count
    memory: Count
    storage: Count = 0
    gpu: Annotated[int, Meta(ge=0, le=1024)] = 0
    pool: Name = "default"
    dedicated: bool = False
    model: Annotated[str, Meta(max_length=253)] = ""
    max_vms: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    usage_cpu: Fraction = 0.0
    usage_mem: Fraction = 0.0
    current_vms: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    rack: Annotated[str, Meta(max_length=253)] = ""
    zone: Annotated[str, Meta(max_length=253)] = ""
    traits: Annotated[tuple[Trait, ...], Meta(max_length=256)] = ()
    reserved_cpu: Count = 0
    reserved_memory: Count = 0
    reserved_storage: Count = 0
    reserved_gpu: Count = 0
    cpu_ratio: Ratio = 1.0
    memory_ratio: Ratio = 1.0
    storage_ratio: Ratio = 1.0
    vms: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for resource in RESOURCES:
            total, reserved = getattr(self, resource), getattr(self, f"reserved_{resource}")
            if reserved > total:
                raise InvalidInput(f"reserved_{resource}", f"is more than the host has: {reserved} of {total}")

    def capacity(self) -> dict[str, int]:
        """What VMs of ours may take: CPUs, MiB, GiB, GPUs, and ``vms``, how many of them."""
        ratios = {"cpu": self.cpu_ratio, "memory": self.memory_ratio, "storage": self.storage_ratio, "gpu": 1.0}
        capacity = {}
        for resource, ratio in ratios.items():
            free = getattr(self, resource) - getattr(self, f"reserved_{resource}")
            capacity[resource] = int((free * Decimal(str(ratio))).to_integral_value(ROUND_FLOOR))
        capacity["cpu"] -= _up(self.usage_cpu, self.cpu)
        capacity["memory"] -= _up(self.usage_mem, self.memory)
        vms = 1_000_000 if self.max_vms is None else self.max_vms
        capacity["vms"] = vms - self.current_vms
        return {resource: max(amount, 0) for resource, amount in capacity.items()}


def _up(part: float, total: int) -> int:
    return int((Decimal(str(part)) * total).to_integral_value(ROUND_CEILING))


def node_of(
    name: str,
    capacity: dict[str, int],
    *,
    pool: str,
    dedicated: bool,
    rack: str = "",
    zone: str = "",
    traits: tuple[str, ...] = (),
    cordoned: bool = False,
) -> Node:
    """The node that the kernel sees; ``capacity`` as `Host.capacity` gives it."""
    labels = {"pool": pool, **{TRAIT + trait: "" for trait in traits}}
    labels |= {key: value for key, value in {"rack": rack, "zone": zone}.items() if value}
    if dedicated:
        labels["dedicated"] = "true"
    amounts = {
        "cpu": min(capacity["cpu"] * 1000, MAX_AMOUNT),
        "memory": min(capacity["memory"] * 2**20, MAX_AMOUNT),
        "storage": capacity["storage"],
        "gpus": capacity["gpu"],
        "tasks": capacity["vms"],
    }
    return Node(name=name, capacity=amounts, labels=labels, cordoned=cordoned)
