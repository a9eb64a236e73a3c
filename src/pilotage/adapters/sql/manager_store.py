"""The manager's store: rows by revision, in SQLite or PostgreSQL."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, Engine, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError

from pilotage.adapters.sql import manager_tables as tables
from pilotage.adapters.sql.engine import is_outage, is_sqlite, reading
from pilotage.adapters.sql.manager_tables import TABLES
from pilotage.adapters.sql.writer import Writer
from pilotage.model.errors import StorageDown
from pilotage.registry.catalogue import Changes
from pilotage.registry.entities import (
    ACTIVE,
    INACTIVE,
    Entity,
    Member,
    Model,
    Scheduler,
    SchedulerCluster,
    SeedPeer,
    SeedPeerCluster,
)
from pilotage.registry.errors import Missing, Taken

T = TypeVar("T")

DELETED_KEPT_S = 86_400.0
"""How long a deleted row stays for the managers that follow; who has not looked for that long loads all anew."""

_MEMBERS_OF = {SchedulerCluster: tables.scheduler, SeedPeerCluster: tables.seed_peer}


class SqlStore:
    """`pilotage.registry.ports.Store` on a database; ``clock`` gives seconds since 1970 for the rows' time stamps."""

    def __init__(self, engine: Engine, *, patience_s: float = 5.0, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._writer = Writer(engine, patience_s=patience_s)
        self._clock = clock

    def close(self) -> None:
        """Finish what is queued and let the database go."""
        self._writer.close()
        self._engine.dispose()

    async def changes(self, since: int) -> Changes:
        """Return rows and deletions after revision ``since``; all rows for -1."""
        return await self._read(lambda connection: _changes(connection, since))

    async def insert(self, kind: type[Entity], values: Mapping[str, Any]) -> int:
        """Add a row. Raises `Taken` if its name or place is in use."""
        return await self._write(lambda connection: self._insert(connection, kind, values))

    async def update(
        self, kind: type[Entity], row_id: int, values: Mapping[str, Any], guard: Mapping[str, Any] | None = None
    ) -> bool:
        """Change a row; False if it is gone or a guard does not hold. Raises `Taken`."""
        return await self._write(lambda connection: self._update(connection, kind, row_id, values, guard or {}))

    async def delete(self, kind: type[Entity], row_id: int) -> bool:
        """Mark a row as deleted. Raises `Taken` while a cluster has members or a model is active."""

        def work(connection: Connection) -> bool:
            _check_unused(connection, kind, row_id)
            if kind is SeedPeerCluster:
                connection.execute(delete(tables.link).where(tables.link.c.seed_peer_cluster_id == row_id))
            if kind is SchedulerCluster:
                self._unlink(connection, row_id)
            if kind is Model:
                connection.execute(delete(tables.model_data).where(tables.model_data.c.model_id == row_id))
            return self._update(connection, kind, row_id, {"is_del": 1}, {})

        return await self._write(work)

    async def heard(self, kind: type[Member], at: Mapping[int, float]) -> None:
        """Note when members were last heard, without a new revision."""
        table = TABLES[kind]
        rows = [{"the_id": row_id, "the_time": when} for row_id, when in sorted(at.items())]
        change = update(table).where(table.c.id == bindparam("the_id")).values(last_keep_alive_at=bindparam("the_time"))
        await self._write(lambda connection: connection.execute(change, rows).rowcount)

    async def beat(self, replica: str, at: float) -> dict[str, int]:
        """Raise our beat, forget managers that were silent for a day, and return all beats."""
        table = tables.replica

        def work(connection: Connection) -> dict[str, int]:
            mine = {"name": replica, "beat": 1, "seen_at": at}
            upsert = (sqlite.insert if is_sqlite(connection) else postgresql.insert)(table).values(mine)
            connection.execute(
                upsert.on_conflict_do_update(index_elements=["name"], set_={"beat": table.c.beat + 1, "seen_at": at})
            )
            connection.execute(delete(table).where(table.c.seen_at < at - DELETED_KEPT_S))
            return {row.name: row.beat for row in connection.execute(select(table.c.name, table.c.beat))}

        return await self._write(work)

    async def add_model(self, values: Mapping[str, Any], data: bytes) -> int:
        """Add a model under the next version of its scheduler and type."""
        table = tables.model

        def work(connection: Connection) -> int:
            # The revision's lock is taken first: two managers can not draw the same version.
            self._raise_revision(connection)
            newest = select(func.coalesce(func.max(table.c.version), 0)).where(
                table.c.scheduler_id == values["scheduler_id"], table.c.type == values["type"]
            )
            version = connection.execute(newest).scalar_one() + 1
            row_id = self._insert(connection, Model, {**values, "version": version})
            connection.execute(insert(tables.model_data).values(model_id=row_id, data=data))
            return row_id

        return await self._write(work)

    async def activate_model(self, model: Model) -> None:
        """Make this the one active model of its scheduler and type. Raises `Missing`."""
        table = tables.model

        def work(connection: Connection) -> None:
            others = select(table.c.id).where(
                table.c.scheduler_id == model.scheduler_id,
                table.c.type == model.type,
                table.c.state == ACTIVE,
                table.c.is_del == 0,
            )
            for row_id in connection.execute(others).scalars().all():
                self._update(connection, Model, row_id, {"state": INACTIVE}, {})
            if not self._update(connection, Model, model.id, {"state": ACTIVE}, {}):
                raise Missing(f"there is no model {model.id}")

        await self._write(work)

    async def model_data(self, model_id: int) -> bytes | None:
        """Return a model's file."""
        query = select(tables.model_data.c.data).where(tables.model_data.c.model_id == model_id)
        return await self._read(lambda connection: connection.execute(query).scalar())

    async def forget(self, unheard_since: float) -> int:
        """Delete inactive members whose rows have not changed since then, and rows deleted over a day ago."""
        kinds: tuple[type[Entity], ...] = (Scheduler, SeedPeer)

        def work(connection: Connection) -> int:
            count = 0
            for kind in kinds:
                table = TABLES[kind]
                last = func.coalesce(table.c.last_keep_alive_at, 0)
                stale = select(table.c.id).where(
                    table.c.state == INACTIVE,
                    table.c.is_del == 0,
                    table.c.updated_at < unheard_since,
                    last < unheard_since,
                )
                for row_id in connection.execute(stale.order_by(table.c.id).limit(5000)).scalars().all():
                    self._update(connection, kind, row_id, {"is_del": 1}, {})
                    count += 1
            for table in TABLES.values():
                old = table.c.updated_at < self._clock() - DELETED_KEPT_S
                connection.execute(delete(table).where(table.c.is_del == 1, old))
            return count

        return await self._write(work)

    # ------------------------------------------------------------ inside a transaction

    def _insert(self, connection: Connection, kind: type[Entity], values: Mapping[str, Any]) -> int:
        revision = self._raise_revision(connection)
        now = self._clock()
        kept = _columns(TABLES[kind], values)
        row = {**kept, "created_at": now, "updated_at": now, "revision": revision}
        try:
            row_id = int(connection.execute(insert(TABLES[kind]).values(row)).inserted_primary_key[0])  # type: ignore[index]
        except IntegrityError:
            raise Taken(_taken(kind, values)) from None
        self._link(connection, kind, row_id, values)
        return row_id

    def _update(
        self,
        connection: Connection,
        kind: type[Entity],
        row_id: int,
        values: Mapping[str, Any],
        guard: Mapping[str, Any],
    ) -> bool:
        table = TABLES[kind]
        revision = self._raise_revision(connection)
        change = update(table).where(table.c.id == row_id, table.c.is_del == 0)
        for column, value in guard.items():
            change = change.where(table.c[column] == value)
        row = {**_columns(table, values), "updated_at": self._clock(), "revision": revision}
        try:
            changed = connection.execute(change.values(row)).rowcount == 1
        except IntegrityError:
            raise Taken(_taken(kind, values)) from None
        if changed:
            self._link(connection, kind, row_id, values)
        return changed

    def _link(self, connection: Connection, kind: type[Entity], row_id: int, values: Mapping[str, Any]) -> None:
        if kind is not SeedPeerCluster or "scheduler_cluster_ids" not in values:
            return
        wanted = sorted(set(values["scheduler_cluster_ids"]))
        clusters = tables.scheduler_cluster
        there = select(clusters.c.id).where(clusters.c.id.in_(wanted), clusters.c.is_del == 0)
        missing = set(wanted) - set(connection.execute(there).scalars())
        if missing:
            raise Missing(f"there is no scheduler cluster {min(missing)}")
        connection.execute(delete(tables.link).where(tables.link.c.seed_peer_cluster_id == row_id))
        if wanted:
            rows = [{"seed_peer_cluster_id": row_id, "scheduler_cluster_id": cluster} for cluster in wanted]
            connection.execute(insert(tables.link), rows)

    def _unlink(self, connection: Connection, cluster_id: int) -> None:
        """Take a scheduler cluster out of its seed peer clusters, which change by that."""
        link = tables.link
        linked = select(link.c.seed_peer_cluster_id).where(link.c.scheduler_cluster_id == cluster_id)
        for row_id in connection.execute(linked).scalars().all():
            self._update(connection, SeedPeerCluster, row_id, {}, {})
        connection.execute(delete(link).where(link.c.scheduler_cluster_id == cluster_id))

    def _raise_revision(self, connection: Connection) -> int:
        table = tables.revision
        raised = update(table).values(revision=table.c.revision + 1).returning(table.c.revision)
        return int(connection.execute(raised).scalar_one())

    # ------------------------------------------------------------ threads

    async def _write(self, work: Callable[[Connection], T]) -> T:
        return await asyncio.wrap_future(self._writer.run(work))

    async def _read(self, question: Callable[[Connection], T]) -> T:
        def ask() -> T:
            with reading(self._engine) as connection:
                return question(connection)

        try:
            return await asyncio.to_thread(ask)
        except DBAPIError as error:
            if is_outage(error):
                raise StorageDown(f"the database is away: {' '.join(str(error.orig).split())}") from error
            raise


def _columns(table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are columns of the table, features as JSON."""
    kept = {name: value for name, value in values.items() if name in table.c}
    if "features" in kept:
        kept["features"] = msgspec.json.encode(kept["features"]).decode()
    return kept


def _taken(kind: type[Entity], values: Mapping[str, Any]) -> str:
    named = values.get("name") or values.get("hostname") or "this row"
    return f"{kind.__name__}: {named} is there already"


def _check_unused(connection: Connection, kind: type[Entity], row_id: int) -> None:
    members = _MEMBERS_OF.get(kind)
    if members is not None:
        those = select(func.count()).where(members.c.cluster_id == row_id, members.c.is_del == 0)
        count = connection.execute(those).scalar_one()
        if count:
            raise Taken(f"cluster {row_id} still has members ({count}); delete them first")
    if kind is Model:
        state = select(tables.model.c.state).where(tables.model.c.id == row_id, tables.model.c.is_del == 0)
        if connection.execute(state).scalar() == ACTIVE:
            raise Taken(f"model {row_id} is active; make another one active first")


def _changes(connection: Connection, since: int) -> Changes:
    revision = connection.execute(select(tables.revision.c.revision)).scalar_one()
    if revision == since:
        return Changes(revision)
    rows: list[Entity] = []
    gone: list[tuple[type[Entity], int]] = []
    for kind, table in TABLES.items():
        query = select(table).where(table.c.revision > since).order_by(table.c.id)
        if since < 0:
            query = query.where(table.c.is_del == 0)
        links = _links(connection) if kind is SeedPeerCluster else {}
        for row in connection.execute(query).mappings():
            if row["is_del"]:
                gone.append((kind, row["id"]))
            else:
                rows.append(_entity(kind, row, links.get(row["id"], ())))
    return Changes(revision, tuple(rows), tuple(gone))


def _links(connection: Connection) -> dict[int, tuple[int, ...]]:
    links: dict[int, list[int]] = {}
    for seed, cluster in connection.execute(select(tables.link).order_by(*tables.link.c)):
        links.setdefault(seed, []).append(cluster)
    return {seed: tuple(clusters) for seed, clusters in links.items()}


def _entity(kind: type[Entity], row: Mapping[Any, Any], links: tuple[int, ...]) -> Entity:
    values = {name: row[name] for name in kind.__struct_fields__ if name in row}
    if kind is Scheduler:
        values["features"] = _features(values["features"])
    if kind is SeedPeerCluster:
        values["scheduler_cluster_ids"] = links
    return kind(**values)


def _features(text: str) -> tuple[str, ...]:
    """A list that can not be read gives no feature, so its scheduler is not listed."""
    try:
        return msgspec.json.decode(text, type=tuple[str, ...])
    except (msgspec.DecodeError, RecursionError):
        return ()
