"""Rows of hosts: read, locked in the order of their names, and the one statement that takes amounts from them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, text

from pilotage.adapters.sql.vms.rows import left_out, locking, run_rows
from pilotage.model.claim import HostRow

AMOUNTS = ("cpu", "memory", "storage", "gpu", "vms")
_COLUMNS = ", ".join(
    ["h.name", "h.pool", "h.dedicated", "h.state", "h.spec", "h.seq"]
    + [f"h.cap_{each}" for each in AMOUNTS]
    + [f"h.used_{each}" for each in AMOUNTS]
)


def read_hosts(connection: Connection, names: Iterable[str] | None = None) -> dict[str, HostRow]:
    """Hosts by name, all of them if none are named, in the order of their names."""
    if names is None:
        rows: Iterable[Any] = connection.execute(text(f"SELECT {_COLUMNS} FROM vm_hosts h ORDER BY h.name"))
    else:
        rows = _named(connection, names, "")
    return {row.name: _host(row) for row in rows}


def lock_hosts(connection: Connection, names: Iterable[str]) -> dict[str, HostRow]:
    """The same, locked until the end of the transaction, in the order of their names."""
    return {row.name: _host(row) for row in _named(connection, names, locking(connection, "FOR UPDATE OF h"))}


class Take(Struct):
    """What a batch wants of one host, and what the host must be. ``sure`` False: the row is locked, nothing taken."""

    name: str
    pool: str
    dedicated: bool
    sure: bool
    cpu: int = 0
    memory: int = 0
    storage: int = 0
    gpu: int = 0
    vms: int = 0


_TAKE = {"name": "text", "pool": "text", "dedicated": "boolean", "sure": "boolean", **dict.fromkeys(AMOUNTS, "bigint")}
_SUMS = ", ".join(f"used_{each} = used_{each} + r.{each}" for each in AMOUNTS)
_GUARD = " AND ".join(f"(r.{each} <= 0 OR used_{each} + r.{each} <= cap_{each})" for each in AMOUNTS)


def lock_and_take(connection: Connection, wanted: Sequence[Take]) -> set[str]:
    """Lock the rows of hosts in the order of their names, and take amounts from those that are as wanted and have room.

    Returns the names of the hosts that gave nothing; the others gave all of it.
    """
    return left_out(
        connection,
        "WITH wanted AS (SELECT r.* FROM vm_hosts h JOIN {rows} ON r.name = h.name ORDER BY h.name "
        f"{locking(connection, 'FOR UPDATE OF h')}) "
        f"UPDATE vm_hosts SET {_SUMS} FROM wanted r WHERE vm_hosts.name = r.name AND r.sure AND state = 'active'"
        f" AND vm_hosts.pool = r.pool AND vm_hosts.dedicated = r.dedicated AND {_GUARD}",
        ("vm_hosts", "name"),
        _TAKE,
        wanted,
    )


def take_amounts(connection: Connection, taken: Mapping[str, Sequence[int]]) -> None:
    """Add to what is used of hosts (below zero: give back), guarded by what they have.

    The rows are locked and were checked; that every one passes the guard is the proof, not the check.
    """
    if not taken:
        return
    done = run_rows(
        connection,
        f"UPDATE vm_hosts SET {_SUMS} FROM {{rows}} WHERE vm_hosts.name = r.name AND {_GUARD}",
        {"name": "text", **dict.fromkeys(AMOUNTS, "bigint")},
        [{"name": name, **dict(zip(AMOUNTS, amounts, strict=True))} for name, amounts in taken.items()],
    )
    if done.rowcount != len(taken):
        raise AssertionError(f"{len(taken) - done.rowcount} hosts would be over-committed; nothing was committed")


def _named(connection: Connection, names: Iterable[str], lock: str) -> Any:
    return run_rows(
        connection,
        f"SELECT {_COLUMNS} FROM vm_hosts h JOIN {{rows}} ON r.name = h.name ORDER BY h.name {lock}",
        {"name": "text"},
        [{"name": name} for name in names],
    )


def _host(row: Any) -> HostRow:
    return HostRow(
        name=row.name,
        pool=row.pool,
        dedicated=bool(row.dedicated),
        state=row.state,
        spec=row.spec,
        capacity={each: getattr(row, f"cap_{each}") for each in AMOUNTS},
        used={each: getattr(row, f"used_{each}") for each in AMOUNTS},
        seq=row.seq,
    )
