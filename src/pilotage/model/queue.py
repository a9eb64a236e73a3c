"""A queue: a named part of the cluster, with what it is owed, what it may take at most, and its turn among siblings."""

from typing import Any

from immutabledict import immutabledict
from msgspec import Struct
from msgspec.structs import force_setattr

from pilotage.model.amounts import Amounts, checked_amount, checked_amounts, checked_name
from pilotage.model.errors import InvalidInput

MAX_WEIGHT = 2**31
"""Largest weight of a queue."""


class Queue(Struct, frozen=True, kw_only=True):
    """A node of the tree of queues; tasks wait in its leaves.

    ``parent`` is empty for a queue at the top. ``priority``: higher goes first among siblings. ``quota`` is what the
    queue is owed, in base units; a resource that it does not name is owed nothing. ``limit`` is what its tasks, and
    those of the queues below it, may use at most; a resource that it does not name is not limited. ``weight`` says how
    siblings share what nobody is owed.
    Raises `InvalidInput` naming the field when a value can not be used.
    """

    name: str
    parent: str = ""
    priority: int = 0
    weight: int = 1
    quota: Amounts = immutabledict()
    limit: Amounts = immutabledict()

    def __post_init__(self) -> None:
        checked_name("queue.name", self.name)
        if self.parent:
            checked_name("queue.parent", self.parent)
        elif not isinstance(self.parent, str):
            raise InvalidInput("queue.parent", f"must be a queue's name or empty, got {self.parent!r}")
        _check_priority(self.priority)
        if checked_amount("queue.weight", self.weight, at_most=MAX_WEIGHT) == 0:
            raise InvalidInput("queue.weight", "must be above 0: a queue of no weight would never have its turn")
        force_setattr(self, "quota", checked_amounts("queue.quota", self.quota))
        force_setattr(self, "limit", checked_amounts("queue.limit", self.limit))
        for resource, most in self.limit.items():
            owed = self.quota.get(resource, 0)
            if most < owed:
                raise InvalidInput(f"queue.limit.{resource}", f"is {most}, below the quota of {owed}")


def _check_priority(priority: Any) -> None:
    if isinstance(priority, bool) or not isinstance(priority, int) or not -(2**31) <= priority < 2**31:
        raise InvalidInput("queue.priority", f"must be a whole number of 32 bits, got {priority!r}")
