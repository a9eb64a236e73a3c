"""A group: tasks that keep together, or apart, over hosts, racks or zones."""

from typing import Literal

from msgspec import Struct

from pilotage.model.amounts import checked_amount, checked_name
from pilotage.model.errors import InvalidInput

HOST = "host"
"""The scope in which each node is a domain of its own; any other scope is the key of a label."""


class Group(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group by name, and its rule. ``scope`` says what one place is: ``host``, or a label's key (``rack``, ``zone``).

    ``affinity``: all members in one place. ``anti-affinity``: at most ``at_most`` members in one place. A ``soft`` rule
    only moves scores. The rule belongs to the group: all members name the same one.
    """

    name: str
    rule: Literal["affinity", "anti-affinity"]
    scope: str = HOST
    mode: Literal["hard", "soft"] = "hard"
    at_most: int = 1

    def __post_init__(self) -> None:
        checked_name("group.name", self.name)
        checked_name("group.scope", self.scope)
        if checked_amount("group.at_most", self.at_most, at_most=1_000_000) == 0:
            raise InvalidInput("group.at_most", "must be above 0")
        if self.rule == "affinity" and self.at_most != 1:
            raise InvalidInput("group.at_most", "goes with anti-affinity only")
