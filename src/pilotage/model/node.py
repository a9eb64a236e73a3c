"""A node: a place with capacity, labels, taints and GPUs."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from immutabledict import immutabledict
from msgspec import Struct
from msgspec.structs import force_setattr

from pilotage.model.amounts import (
    MAX_AMOUNT,
    MAX_GPUS,
    WHOLE_GPU,
    Amounts,
    checked_amount,
    checked_amounts,
    checked_name,
    checked_tuple,
)
from pilotage.model.errors import InvalidInput

ZONE_LABEL = "topology.kubernetes.io/zone"
"""Label that says which zone a node stands in; a zone is an ordinary label with a well-known key."""


class TaintEffect(StrEnum):
    """What a taint does to tasks that do not tolerate it."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Taint(Struct, frozen=True, order=True):
    """A mark on a node that keeps away tasks without a matching toleration."""

    key: str
    value: str = ""
    effect: TaintEffect = TaintEffect.NO_SCHEDULE


NO_LABELS: immutabledict[str, str] = immutabledict()


class Node(Struct, frozen=True, kw_only=True):
    """A place where tasks run.

    ``capacity`` holds what tasks may use, in base units. ``tasks`` (how many tasks at once) is unlimited unless
    named; ``gpu`` is derived from ``gpus`` and must not be named. All GPUs of a node are of one ``gpu_model``.
    ``images``: names of the container images that lie there, with their size in bytes.
    Raises `InvalidInput` naming the field when a value can not be used.
    """

    name: str
    capacity: Amounts
    gpus: int = 0
    gpu_model: str = ""
    labels: Mapping[str, str] = NO_LABELS
    taints: tuple[Taint, ...] = ()
    cordoned: bool = False
    images: Mapping[str, int] = immutabledict()

    def __post_init__(self) -> None:
        checked_name("name", self.name)
        checked_amount("gpus", self.gpus, at_most=MAX_GPUS)
        gpu = self.gpus * WHOLE_GPU
        if self.capacity.get("gpu", gpu) != gpu:
            raise InvalidInput("capacity.gpu", "is derived: give the number of GPUs as 'gpus'")
        amounts = {"tasks": MAX_AMOUNT, **self.capacity, "gpu": gpu}
        force_setattr(self, "capacity", checked_amounts("capacity", amounts))
        force_setattr(self, "labels", checked_labels("labels", self.labels))
        force_setattr(self, "taints", checked_tuple("taints", self.taints, Taint))
        force_setattr(self, "images", checked_amounts("images", self.images))


def checked_labels(field: str, labels: Mapping[str, Any]) -> immutabledict[str, str]:
    """Return ``labels`` as an immutable mapping sorted by key, or raise `InvalidInput`."""
    if not labels:
        return NO_LABELS
    for key, value in labels.items():
        checked_name(f"{field} key", key)
        if not isinstance(value, str) or len(value) > 512:
            raise InvalidInput(f"{field}.{key}", f"must be a string of at most 512 characters, got {value!r:.80}")
    return immutabledict(sorted(labels.items()))
