"""The history that every worker follows: what others committed, in the order of the commits."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection, text

from pilotage.adapters.sql.vms.hosts import read_hosts
from pilotage.adapters.sql.vms.rows import table_of
from pilotage.model.claim import HOLDING, Change, HostRow


def changes_since(connection: Connection, seq: int, at_most: int = 1_000_000_000) -> list[Change]:
    """What was committed after ``seq``, oldest first."""
    rows = connection.execute(
        text(
            "SELECT seq, kind, worker, host, pool, claim_id, task_id, cpu, memory, storage, gpu, vms, group_rule, place"
            " FROM vm_events WHERE seq > :seq ORDER BY seq LIMIT :at_once"
        ),
        {"seq": seq, "at_once": at_most},
    )
    return [Change(*row) for row in rows]


def is_cured_since(connection: Connection, seq: int) -> bool:
    """Whether anything after ``seq`` may have turned a no into a yes: a claim was released, a host changed."""
    cure = text("SELECT 1 FROM vm_events WHERE seq > :seq AND kind IN ('released', 'host') LIMIT 1")
    return connection.execute(cure, {"seq": seq}).first() is not None


def next_seq(connection: Connection, count: int) -> int:
    """Take ``count`` sequence numbers and return the first; the shard's row stays locked until the commit."""
    take = text("UPDATE vm_shards SET seq = seq + :count WHERE name = 'main' RETURNING seq")
    return int(connection.execute(take, {"count": count}).scalar_one()) - count + 1


class Snapshot(NamedTuple):
    """Everything a worker must know to begin: hosts, the claims that count (as lines of history), and up to when."""

    seq: int
    hosts: dict[str, HostRow]
    claims: list[Change]


def snapshot(connection: Connection, hosts: Sequence[str] | None = None) -> Snapshot:
    """What is true in this transaction, of all hosts or of some."""
    seq = int(connection.execute(text("SELECT seq FROM vm_shards WHERE name = 'main'")).scalar_one())
    which, parameters = "", {}
    if hosts is not None:
        which = f"JOIN {table_of(connection, {'name': 'text'})} ON r.name = c.host"
        parameters["rows"] = msgspec.json.encode([{"name": name} for name in hosts]).decode()
    states = ", ".join(f"'{state}'" for state in HOLDING)
    rows = connection.execute(
        text(
            "SELECT c.token, 'claimed', '', c.host, c.pool, c.claim_id, c.task_id, c.cpu, c.memory, c.storage, c.gpu,"
            f" 1, coalesce(g.rule, ''), c.place FROM vm_claims c {which} LEFT JOIN vm_groups g ON g.pool = c.pool"
            f" AND g.name = c.group_name WHERE c.state IN ({states}) ORDER BY c.token"
        ),
        parameters,
    )
    return Snapshot(seq, read_hosts(connection, hosts), [Change(*row) for row in rows])
