"""The one transaction in which requests become claims.

::

    tasks (by id) ─▶ groups (by name) ─▶ hosts (by name) ─▶ sequence number ─▶ claims, history, outbox

Rows are locked in that order by everybody, so nobody waits in a circle. The sequence number is taken last and held
until the commit, so numbers rise in commit order and whoever has read up to n has read all that came before.
"""

from collections.abc import Sequence

from sqlalchemy import Connection

from pilotage.adapters.sql.vms.feed import changes_since, is_cured_since, next_seq
from pilotage.adapters.sql.vms.groups import Places, lock_groups, write_places
from pilotage.adapters.sql.vms.hosts import AMOUNTS, Take, lock_and_take, read_hosts, take_amounts
from pilotage.adapters.sql.vms.letters import id_taken, keep_letters
from pilotage.adapters.sql.vms.outbox import TOLD, telling
from pilotage.adapters.sql.vms.rows import insert_all
from pilotage.adapters.sql.vms.tasks import Settled, reopen, settle_tasks
from pilotage.model.claim import CLAIM_SUFFIX, Batch, Change, Committed, Decided, HostRow, Outcome

_CLAIM = {
    **dict.fromkeys(("task_id", "host", "pool", "group_name", "place", "owner", "group_rule"), "text"),
    **dict.fromkeys(("cpu", "memory", "storage", "gpu"), "bigint"),
    "expires_at": "double precision",
    **TOLD,
}
_ID = f"task_id || '{CLAIM_SUFFIX}'"
_INSERT_CLAIM = (
    "INSERT INTO vm_claims (claim_id, task_id, host, pool, cpu, memory, storage, gpu, group_name, place, owner, state,"
    f" token, reserved_at, expires_at, changed_at) SELECT {_ID}, task_id, host, pool, cpu, memory,"
    " coalesce(storage, 0), coalesce(gpu, 0), coalesce(group_name, ''), coalesce(place, ''), coalesce(owner, ''),"
    " 'reserved', :seq + at, :now, expires_at, :now FROM {rows} WHERE host IS NOT NULL"
)
_INSERT_EVENT = (
    "INSERT INTO vm_events (seq, at, kind, worker, host, pool, claim_id, task_id, cpu, memory, storage, gpu, vms,"
    f" group_rule, place) SELECT :seq + r.at, :now, 'claimed', :worker, host, pool, {_ID}, task_id, cpu, memory,"
    " coalesce(storage, 0), coalesce(gpu, 0), 1, coalesce(group_rule, ''), coalesce(place, '') FROM {rows}"
    " WHERE host IS NOT NULL"
)


def commit(connection: Connection, batch: Batch) -> Committed:
    """Commit a batch of decided requests; see the module for the order. Duplicates and refusals leave no claim."""
    settled = settle_tasks(connection, batch)
    outcomes = settled.outcomes
    won = [i for i, outcome in enumerate(outcomes) if outcome == "committed"]
    placed = [i for i in won if batch.decided[i].host]
    hosts = _claim_amounts(connection, batch, placed, outcomes)
    claimed = [i for i in placed if outcomes[i] == "committed"]
    rejected = [i for i in won if not batch.decided[i].host]
    seq = batch.read
    changes: list[Change] = []
    if claimed or rejected:
        seq = next_seq(connection, len(claimed)) - 1
        if rejected and is_cured_since(connection, batch.known):
            for i in rejected:
                outcomes[i] = "stale"
    if seq != batch.read or not (claimed or rejected):
        changes = changes_since(connection, batch.read)
        seq = max(seq, changes[-1].seq) if changes else seq
    _write(connection, batch, [i for i in won if outcomes[i] == "committed"], settled, seq)
    seq += len(claimed)
    reopen(connection, batch, [i for i in won if outcomes[i] != "committed"])
    conflicts = [batch.decided[i] for i, outcome in enumerate(outcomes) if outcome == "conflict"]
    letters = batch.letters + [id_taken(each) for each in conflicts]
    if letters:
        keep_letters(connection, letters, batch)
    return Committed(outcomes, hosts, changes, seq)


def _claim_amounts(
    connection: Connection, batch: Batch, placed: Sequence[int], outcomes: list[Outcome]
) -> dict[str, HostRow]:
    """Take each claim's amounts from its host; note refusals and return the rows of the hosts that refused.

    A host that can take all that the batch has for it does so in one statement. What is left, and who is in a group,
    is looked at one by one in the order of the batch.
    """
    if not placed:
        return {}
    places = lock_groups(connection, [batch.decided[i] for i in placed])
    wanted: dict[str, Take] = {}
    for i in placed:
        each = batch.decided[i]
        take = wanted.get(each.host)
        if take is None:
            take = wanted[each.host] = Take(each.host, each.pool, each.on_dedicated, not each.group_name)
        elif each.group_name or (take.pool, take.dedicated) != (each.pool, each.on_dedicated):
            take.sure = False
        take.cpu += each.cpu
        take.memory += each.memory
        take.storage += each.storage
        take.gpu += each.gpu
        take.vms += 1
    refusing = lock_and_take(connection, list(wanted.values()))
    left = [i for i in placed if batch.decided[i].host in refusing] if refusing else []
    return _claim_one_by_one(connection, batch, left, places, outcomes) if left else {}


def _claim_one_by_one(
    connection: Connection, batch: Batch, placed: Sequence[int], places: Places, outcomes: list[Outcome]
) -> dict[str, HostRow]:
    """Take amounts where they fit still, from hosts that are locked already."""
    hosts = read_hosts(connection, {batch.decided[i].host for i in placed})
    free = {name: [row.capacity[a] - row.used[a] for a in AMOUNTS] for name, row in hosts.items()}
    taken: dict[str, list[int]] = {}
    joined: dict[tuple[str, str, str], Decided] = {}
    refusing: dict[str, HostRow] = {}
    for i in placed:
        each = batch.decided[i]
        left = free.get(each.host)
        asked = (each.cpu, each.memory, each.storage, each.gpu, 1)
        fits = (
            left is not None
            and _is_open(hosts[each.host], each)
            and all(a <= b for a, b in zip(asked, left, strict=True))
        )
        if not fits or not places.admits(each):
            outcomes[i] = "refused"
            if each.host in hosts:
                refusing[each.host] = hosts[each.host]
            continue
        assert left is not None
        sums = taken.setdefault(each.host, [0] * len(AMOUNTS))
        for k, amount in enumerate(asked):
            left[k] -= amount
            sums[k] += amount
        if each.group_name:
            places.join(each)
            joined[each.pool, each.group_name, each.place] = each
    take_amounts(connection, taken)
    write_places(connection, places, joined.values())
    return refusing


def _is_open(row: HostRow, each: Decided) -> bool:
    """Whether the host still is what was decided on: in service, in that pool, dedicated or not as it was then."""
    return row.state == "active" and row.pool == each.pool and row.dedicated == each.on_dedicated


def _write(connection: Connection, batch: Batch, final: Sequence[int], settled: Settled, seq: int) -> None:
    """Write the claims of what is final, their lines of history, numbered from ``seq`` + 1, and who is to be told."""
    claimed = [batch.decided[i] for i in final if batch.decided[i].host]
    whole = len(claimed) == settled.count
    rows = claimed + [batch.decided[i] for i in final if not batch.decided[i].host]
    told, parameters = telling(batch.receivers, rows)
    inserts = [_INSERT_CLAIM, _INSERT_EVENT, *told] if claimed else told
    if rows and inserts:
        known = settled.told if whole else rows
        insert_all(connection, inserts, _CLAIM, known, now=batch.now, worker=batch.worker, seq=seq, **parameters)
