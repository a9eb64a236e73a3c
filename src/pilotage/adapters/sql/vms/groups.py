"""Groups of VMs: who is in which place, locked while a batch joins them."""

from collections.abc import Iterable

from sqlalchemy import Connection

from pilotage.adapters.sql.vms.rows import locking, run_rows
from pilotage.model.claim import Decided


class Places:
    """Members of the groups of a batch, by place, as they are locked now; claims of the batch are counted in."""

    def __init__(self) -> None:
        self.rules: dict[tuple[str, str], str] = {}
        self.members: dict[tuple[str, str], dict[str, int]] = {}

    def admits(self, each: Decided) -> bool:
        if not each.group_name:
            return True
        key = (each.pool, each.group_name)
        if self.rules[key] != each.group_rule:
            return False
        there = self.members[key]
        if '"mode":"soft"' in each.group_rule:
            return True
        if each.at_most is not None:
            return there.get(each.place, 0) < each.at_most
        return there.get(each.place, 0) > 0 or not any(there.values())

    def join(self, each: Decided) -> None:
        there = self.members[each.pool, each.group_name]
        there[each.place] = there.get(each.place, 0) + 1


_GROUP = {"pool": "text", "name": "text", "rule": "text"}
_PLACE = {"pool": "text", "name": "text", "place": "text", "members": "bigint", "at_most": "bigint"}


def lock_groups(connection: Connection, decided: Iterable[Decided]) -> Places:
    """Lock the groups that these requests name, making new ones, and read where their members are."""
    places = Places()
    named = {(each.pool, each.group_name): each.group_rule for each in decided if each.group_name}
    if not named:
        return places
    rows = [{"pool": pool, "name": name, "rule": rule} for (pool, name), rule in sorted(named.items())]
    run_rows(
        connection,
        "INSERT INTO vm_groups (pool, name, rule) SELECT pool, name, rule FROM {rows} WHERE true "
        "ON CONFLICT DO NOTHING",
        _GROUP,
        rows,
    )
    which = "JOIN {rows} ON r.pool = g.pool AND r.name = g.name"
    lock = locking(connection, "FOR UPDATE OF g")
    for row in run_rows(
        connection,
        f"SELECT g.pool, g.name, g.rule FROM vm_groups g {which} ORDER BY g.pool, g.name {lock}",
        _GROUP,
        rows,
    ):
        places.rules[row.pool, row.name] = row.rule
        places.members[row.pool, row.name] = {}
    for row in run_rows(
        connection, f"SELECT g.pool, g.name, g.place, g.members FROM vm_group_places g {which}", _GROUP, rows
    ):
        places.members[row.pool, row.name][row.place] = row.members
    return places


def write_places(connection: Connection, places: Places, joined: Iterable[Decided]) -> None:
    """Write how many members are in each place that the batch joined."""
    rows = [
        {
            "pool": each.pool,
            "name": each.group_name,
            "place": each.place,
            "members": places.members[each.pool, each.group_name][each.place],
            "at_most": each.at_most,
        }
        for each in joined
    ]
    if rows:
        run_rows(
            connection,
            "INSERT INTO vm_group_places (pool, name, place, members, at_most) "
            "SELECT pool, name, place, members, at_most FROM {rows} WHERE true "
            "ON CONFLICT (pool, name, place) DO UPDATE SET members = excluded.members",
            _PLACE,
            rows,
        )
