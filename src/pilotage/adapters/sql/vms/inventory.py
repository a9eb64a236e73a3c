"""Hosts as an inventory tells them: brought in, cordoned, drained, removed; and how far it may be believed."""

import time
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, text

from pilotage.adapters.sql.vms.feed import next_seq
from pilotage.adapters.sql.vms.hosts import AMOUNTS, lock_hosts, read_hosts
from pilotage.adapters.sql.vms.lifecycle import claims_on, give_back
from pilotage.adapters.sql.vms.rows import run_rows
from pilotage.model.claim import HostRow
from pilotage.model.errors import InvalidInput, NotFound, WrongState
from pilotage.model.host import Host

MISSING_AT_MOST = 0.2
"""Largest part of a source's hosts that one import may find gone; more looks like a broken inventory."""


class Imported(Struct, kw_only=True):
    """What an import did, by names of hosts. ``short``: capacity below what claims hold; nothing more goes there."""

    added: list[str]
    changed: list[str]
    same: int
    missing: list[str]
    back: list[str]
    short: dict[str, dict[str, list[int]]]
    disowned: list[str]


def import_hosts(
    connection: Connection,
    hosts: Sequence[Host],
    *,
    source: str,
    complete: bool = False,
    force: bool = False,
    now: float | None = None,
) -> Imported:
    """Bring hosts in. ``complete``: whoever of ``source`` is not among them is missing, and gets no more VMs.

    Raises `InvalidInput`, with nothing changed, for a name that is there twice, and where more than a fifth would be
    missing (unless ``force``): an inventory that lost its data must not empty the cloud.
    """
    now = time.time() if now is None else now
    by_name: dict[str, Host] = {}
    for host in hosts:
        if host.name in by_name:
            raise InvalidInput("name", f"{host.name!r} is there twice")
        by_name[host.name] = host
    known = read_hosts(connection)
    missing = _missing(connection, by_name, source, force=force) if complete else []
    _disown_first = [host for host in hosts if host.vms is not None and host.name in known]
    disowned = _disown(connection, _disown_first, now)
    known = lock_hosts(connection, {*by_name, *missing})
    report = Imported(added=[], changed=[], same=0, missing=missing, back=[], short={}, disowned=disowned)
    rows = [_row(host, known.get(host.name), report) for _, host in sorted(by_name.items())]
    changed = [row for row in rows if row.pop("changed")]
    run_rows(
        connection,
        "UPDATE vm_hosts SET seen_at = :now, source = :source FROM {rows} WHERE vm_hosts.name = r.name",
        {"name": "text"},
        [{"name": row["name"]} for row in rows],
        now=now,
        source=source,
    )
    _write(connection, changed, source, now)
    _set_state(connection, missing, "missing", now)
    _tell(connection, [row["name"] for row in changed] + missing, now)
    return report


def set_state(connection: Connection, names: Sequence[str], state: Literal["active", "cordoned", "draining"]) -> None:
    """Cordon hosts (no new VMs), drain them (the same, on the way out), or put them back into service."""
    known = lock_hosts(connection, names)
    for name in names:
        if name not in known:
            raise NotFound(f"no host is called {name!r}")
    now = time.time()
    _set_state(connection, names, state, now)
    _tell(connection, sorted(names), now)


def remove_hosts(connection: Connection, names: Sequence[str]) -> None:
    """Forget hosts; one that still holds claims is refused: drain it, or release them, first."""
    known = lock_hosts(connection, names)
    for name in names:
        if name not in known:
            raise NotFound(f"no host is called {name!r}")
        held = known[name].used["vms"]
        if held:
            raise WrongState(f"host {name} holds {held} claims: drain it, or release them, first")
    _tell(connection, sorted(names), time.time(), gone=True)
    run_rows(
        connection,
        "DELETE FROM vm_hosts WHERE name IN (SELECT name FROM {rows})",
        {"name": "text"},
        [{"name": name} for name in names],
    )


def _missing(connection: Connection, told: dict[str, Host], source: str, *, force: bool) -> list[str]:
    query = text("SELECT name FROM vm_hosts WHERE source = :source AND state <> 'missing' ORDER BY name")
    ours = list(connection.execute(query, {"source": source}).scalars())
    missing = [name for name in ours if name not in told]
    if missing and not force and len(missing) > max(1, MISSING_AT_MOST * len(ours)):
        raise InvalidInput(
            "inventory",
            f"{len(missing)} of {len(ours)} hosts of {source} would be missing; if that is so, import with --force",
        )
    return missing


def _disown(connection: Connection, hosts: Sequence[Host], now: float) -> list[str]:
    """Release suspect claims whose VM the inventory does not see on their host."""
    seen = {host.name: set(host.vms or ()) for host in hosts}
    if not seen:
        return []
    suspects = claims_on(connection, sorted(seen), ["suspect"])
    gone = [c for c in suspects if not {c["task_id"], c["claim_id"]} & seen[c["host"]]]
    give_back(connection, gone, now, "disowned")
    return [claim["claim_id"] for claim in gone]


def _row(host: Host, known: HostRow | None, report: Imported) -> dict[str, Any]:
    """The row of a host as told, noting in the report what that changes."""
    told = msgspec.structs.replace(host, vms=None)
    spec = msgspec.json.encode(told).decode()
    state = "active" if known is None or known.state == "missing" else known.state
    capacity = host.capacity()
    if known is not None and known.used["vms"]:
        # What runs there is ours by now: the inventory's usage would count our own VMs a second time.
        before = msgspec.json.decode(known.spec, type=Host)
        usage = {name: getattr(before, name) for name in ("usage_cpu", "usage_mem", "current_vms")}
        told = msgspec.structs.replace(told, **usage)
        spec, capacity = msgspec.json.encode(told).decode(), told.capacity()
    changed = known is None or (known.spec, known.state) != (spec, state)
    if known is None:
        report.added.append(host.name)
    elif known.state == "missing":
        report.back.append(host.name)
    elif changed:
        report.changed.append(host.name)
    else:
        report.same += 1
    if known is not None:
        short = {each: [known.used[each], capacity[each]] for each in AMOUNTS if known.used[each] > capacity[each]}
        if short:
            report.short[host.name] = short
    row = {"name": host.name, "pool": host.pool, "dedicated": host.dedicated, "state": state, "spec": spec}
    return {**row, **{f"cap_{each}": capacity[each] for each in AMOUNTS}, "changed": changed}


def _write(connection: Connection, rows: Sequence[dict[str, Any]], source: str, now: float) -> None:
    if not rows:
        return
    caps = [f"cap_{each}" for each in AMOUNTS]
    columns = ["name", "pool", "dedicated", "state", "spec", *caps]
    types = {**dict.fromkeys(columns, "text"), "dedicated": "boolean", **dict.fromkeys(caps, "bigint")}
    updates = ", ".join(f"{name} = excluded.{name}" for name in columns[1:])
    run_rows(
        connection,
        f"INSERT INTO vm_hosts ({', '.join(columns)}, source, seen_at) "
        f"SELECT {', '.join(columns)}, :source, :now FROM {{rows}} WHERE true "
        f"ON CONFLICT (name) DO UPDATE SET {updates}",
        types,
        rows,
        source=source,
        now=now,
    )


def _set_state(connection: Connection, names: Sequence[str], state: str, now: float) -> None:
    if names:
        run_rows(
            connection,
            "UPDATE vm_hosts SET state = :state FROM {rows} WHERE vm_hosts.name = r.name",
            {"name": "text"},
            [{"name": name} for name in names],
            state=state,
        )


def _tell(connection: Connection, names: Sequence[str], now: float, *, gone: bool = False) -> None:
    """A line of history per changed host, with its capacity at that moment (all 0: it is gone)."""
    if not names:
        return
    seq = next_seq(connection, len(names))
    amounts = ", ".join("0" if gone else f"h.cap_{each}" for each in AMOUNTS)
    run_rows(
        connection,
        "INSERT INTO vm_events (seq, at, kind, worker, host, pool, claim_id, task_id, cpu, memory, storage, gpu, vms,"
        f" group_rule, place) SELECT r.seq, :now, 'host', '', h.name, h.pool, '', '', {amounts}, '', h.state "
        "FROM vm_hosts h JOIN {rows} ON r.name = h.name",
        {"seq": "bigint", "name": "text"},
        [{"seq": seq + i, "name": name} for i, name in enumerate(names)],
        now=now,
    )
