"""A gang: tasks that are placed together or not at all."""

from collections.abc import Mapping

from immutabledict import immutabledict
from msgspec import Struct
from msgspec.structs import force_setattr

from pilotage.model.amounts import checked_amount, checked_name
from pilotage.model.errors import InvalidInput

LARGEST_GANG = 100_000


class Gang(Struct, frozen=True, kw_only=True):
    """At least ``min_members`` tasks, with the minimum of each of ``subgroups``, get a place at once or none does.

    Members beyond the minimum are elastic: they follow one by one. A task names its gang, and its subgroup if there
    are any. Raises `InvalidInput` naming the field when a value can not be used.
    """

    name: str
    min_members: int
    subgroups: Mapping[str, int] = immutabledict()

    def __post_init__(self) -> None:
        checked_name("gang.name", self.name)
        if checked_amount("gang.min_members", self.min_members, at_most=LARGEST_GANG) == 0:
            raise InvalidInput("gang.min_members", "must be at least 1")
        for name, members in self.subgroups.items():
            checked_name("gang.subgroups", name)
            checked_amount(f"gang.subgroups.{name}", members, at_most=LARGEST_GANG)
        asked = sum(self.subgroups.values())
        if asked > self.min_members:
            raise InvalidInput("gang.min_members", f"is {self.min_members}, but its subgroups ask for {asked} members")
        force_setattr(self, "subgroups", immutabledict(sorted(self.subgroups.items())))
