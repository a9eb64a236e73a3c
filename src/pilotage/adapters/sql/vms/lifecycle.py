"""What happens to a claim after it was made: confirmed, renewed, released, found to be overdue.

::

    reserved ──confirm──▶ confirmed ──release──▶ released
       │  ▲                                         ▲
       │  └renew                                    │
       └──overdue──▶ suspect ──release, disowned────┘
                        └──confirm, renew──▶ (holds on)

A suspect claim still counts against its host: nobody knows whether the VM runs. Every change but a renewal of the
same kind has a line of history, and each may be fenced by the claim's token.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, text

from pilotage.adapters.sql.vms.feed import next_seq
from pilotage.adapters.sql.vms.hosts import lock_hosts, take_amounts
from pilotage.adapters.sql.vms.rows import locking, run_rows
from pilotage.model.claim import HOLDING
from pilotage.model.errors import InvalidInput, NotFound, WrongState

CLAIM_COLUMNS = (
    "claim_id, task_id, host, pool, cpu, memory, storage, gpu, group_name, place, owner, state, token, reserved_at,"
    " expires_at, changed_at"
)


def confirm(connection: Connection, claim_id: str, now: float, *, token: int | None = None) -> dict[str, Any]:
    """The VM runs: the claim no longer expires. Confirming twice changes nothing. Returns the claim as it is then."""
    claim = _locked(connection, claim_id, token)
    if claim["state"] == "confirmed":
        return claim
    _write(connection, claim_id, "confirmed", None, now)
    _tell(connection, "confirmed", [claim], now)
    return {**claim, "state": "confirmed", "expires_at": None, "changed_at": now}


def renew(
    connection: Connection, claim_id: str, now: float, seconds: float, *, token: int | None = None
) -> dict[str, Any]:
    """Reserve for ``seconds`` more from now; a suspect claim is reserved again. A confirmed one needs no renewal."""
    if not 0 < seconds <= 31_536_000:
        raise InvalidInput("seconds", f"must be above 0 and at most a year, got {seconds:g}")
    claim = _locked(connection, claim_id, token)
    if claim["state"] == "confirmed":
        raise WrongState(f"claim {claim_id} is confirmed: it does not expire")
    _write(connection, claim_id, "reserved", now + seconds, now)
    if claim["state"] == "suspect":
        _tell(connection, "renewed", [claim], now)
    return {**claim, "state": "reserved", "expires_at": now + seconds, "changed_at": now}


def release(connection: Connection, claim_id: str, now: float, *, token: int | None = None) -> dict[str, Any]:
    """The VM is gone: give the amounts back to the host. Releasing twice changes nothing."""
    claim = _locked(connection, claim_id, token, released_too=True)
    if claim["state"] == "released":
        return claim
    give_back(connection, [claim], now, "released")
    return {**claim, "state": "released", "expires_at": None, "changed_at": now}


def give_back(connection: Connection, claims: Sequence[dict[str, Any]], now: float, why: str) -> None:
    """Release locked claims: groups, hosts, history and tasks follow, in that order of locks."""
    if not claims:
        return
    _leave_groups(connection, claims)
    taken: dict[str, list[int]] = {}
    for claim in claims:
        sums = taken.setdefault(claim["host"], [0] * 5)
        for k, name in enumerate(("cpu", "memory", "storage", "gpu")):
            sums[k] -= claim[name]
        sums[4] -= 1
    known = lock_hosts(connection, taken)
    take_amounts(connection, {name: sums for name, sums in taken.items() if name in known})
    rows = [{"claim_id": claim["claim_id"], "task_id": claim["task_id"]} for claim in claims]
    run_rows(
        connection,
        "UPDATE vm_claims SET state = 'released', expires_at = NULL, changed_at = :now FROM {rows} "
        "WHERE vm_claims.claim_id = r.claim_id",
        {"claim_id": "text"},
        rows,
        now=now,
    )
    run_rows(
        connection,
        "UPDATE task_status SET history = history || :line FROM {rows} WHERE task_status.task_id = r.task_id",
        {"task_id": "text"},
        rows,
        line=f'{{"status":"{why}","at":{now:.6f}}}\n',
    )
    _tell(connection, "released", claims, now)


def suspect_overdue(connection: Connection, now: float, at_most: int = 1000) -> int:
    """Mark reservations that were neither confirmed nor renewed in time; they keep counting. Returns how many."""
    lock = locking(connection, "FOR UPDATE SKIP LOCKED")
    overdue = connection.execute(
        text(
            f"SELECT {CLAIM_COLUMNS} FROM vm_claims WHERE state = 'reserved' AND expires_at < :now "
            f"ORDER BY claim_id LIMIT :at_most {lock}"
        ),
        {"now": now, "at_most": at_most},
    )
    claims = [dict(row._mapping) for row in overdue]
    if claims:
        run_rows(
            connection,
            "UPDATE vm_claims SET state = 'suspect', changed_at = :now FROM {rows} "
            "WHERE vm_claims.claim_id = r.claim_id",
            {"claim_id": "text"},
            [{"claim_id": claim["claim_id"]} for claim in claims],
            now=now,
        )
        _tell(connection, "suspect", claims, now)
    return len(claims)


def claims_on(connection: Connection, hosts: Iterable[str], states: Iterable[str] = HOLDING) -> list[dict[str, Any]]:
    """Claims on these hosts in these states, locked, in the order of their ids."""
    found = run_rows(
        connection,
        f"SELECT {CLAIM_COLUMNS} FROM vm_claims c JOIN {{rows}} ON r.name = c.host "
        f"ORDER BY c.claim_id {locking(connection, 'FOR UPDATE OF c')}",
        {"name": "text"},
        [{"name": name} for name in hosts],
    )
    wanted = set(states)
    return [dict(row._mapping) for row in found if row.state in wanted]


def _locked(connection: Connection, claim_id: str, token: int | None, *, released_too: bool = False) -> dict[str, Any]:
    row = connection.execute(
        text(f"SELECT {CLAIM_COLUMNS} FROM vm_claims WHERE claim_id = :claim_id {locking(connection)}"),
        {"claim_id": claim_id},
    ).first()
    if row is None:
        raise NotFound(f"no claim is called {claim_id!r}")
    claim = dict(row._mapping)
    if token is not None and token != claim["token"]:
        raise WrongState(f"claim {claim_id} has the token {claim['token']}, not {token}: it is not the one you hold")
    if claim["state"] == "released" and not released_too:
        raise WrongState(f"claim {claim_id} was released")
    return claim


def _write(connection: Connection, claim_id: str, state: str, expires_at: float | None, now: float) -> None:
    connection.execute(
        text("UPDATE vm_claims SET state = :state, expires_at = :expires_at, changed_at = :now WHERE claim_id = :id"),
        {"state": state, "expires_at": expires_at, "now": now, "id": claim_id},
    )


def _leave_groups(connection: Connection, claims: Sequence[dict[str, Any]]) -> None:
    left: dict[tuple[str, str, str], int] = {}
    for claim in claims:
        if claim["group_name"]:
            key = claim["pool"], claim["group_name"], claim["place"]
            left[key] = left.get(key, 0) + 1
    if not left:
        return
    rows = [{"pool": p, "name": n, "place": w, "members": count} for (p, n, w), count in sorted(left.items())]
    columns = {"pool": "text", "name": "text", "place": "text", "members": "bigint"}
    run_rows(
        connection,
        "SELECT g.name FROM vm_groups g JOIN {rows} ON r.pool = g.pool AND r.name = g.name ORDER BY g.pool, g.name "
        + locking(connection, "FOR UPDATE OF g"),
        columns,
        rows,
    )
    run_rows(
        connection,
        "UPDATE vm_group_places SET members = vm_group_places.members - r.members FROM {rows} "
        "WHERE vm_group_places.pool = r.pool AND vm_group_places.name = r.name AND vm_group_places.place = r.place",
        columns,
        rows,
    )


def _tell(connection: Connection, kind: str, claims: Sequence[dict[str, Any]], now: float) -> None:
    seq = next_seq(connection, len(claims))
    amounts = ("cpu", "memory", "storage", "gpu")
    rows = [
        {
            "seq": seq + i,
            **{name: claim[name] for name in ("host", "pool", "claim_id", "task_id", "place", *amounts)},
        }
        for i, claim in enumerate(claims)
    ]
    columns = {"seq": "bigint", **dict.fromkeys(("host", "pool", "claim_id", "task_id", "place"), "text")}
    run_rows(
        connection,
        "INSERT INTO vm_events (seq, at, kind, worker, host, pool, claim_id, task_id, cpu, memory, storage, gpu, vms,"
        " group_rule, place) SELECT seq, :now, :kind, '', host, pool, claim_id, task_id, cpu, memory, storage, gpu, 1,"
        " '', place FROM {rows}",
        {**columns, **dict.fromkeys(amounts, "bigint")},
        rows,
        now=now,
        kind=kind,
    )
