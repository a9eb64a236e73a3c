"""The task queue's tables and statements: a `Store` on SQLite or PostgreSQL."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from operator import attrgetter
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Select,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError

from pilotage.adapters.sql.engine import Prepared, is_outage, reading
from pilotage.adapters.sql.writer import Writer
from pilotage.engine.taskqueue.machine import Attempt
from pilotage.model.errors import StorageDown
from pilotage.model.routing import COMPLETED, ENDED, STATUSES
from pilotage.service.ports import Filter, Registered, Run, Stored, WrongState

_metadata = MetaData()

task = Table(
    "tasks_task",
    _metadata,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("id", Text, nullable=False, unique=True),
    *(Column(name, Text, nullable=False) for name in ("model", "tenant", "status", "instance", "error")),
    *(Column(name, Text) for name in ("key", "remote_id")),
    *(Column(name, Integer, nullable=False) for name in ("priority", "attempt")),
    *(Column(name, Float(53)) for name in ("deadline_s", "submitted_s", "scheduled_s", "started_s", "finished_s")),
    Column("run_s", Float(53)),
    *(Column(name, LargeBinary) for name in ("input", "metadata", "result")),
    Column("attempts", Text, nullable=False),
)

instance = Table(
    "tasks_instance",
    _metadata,
    Column("id", Text, primary_key=True),
    Column("host", Text),
    Column("port", Integer),
    Column("model", Text),
    Column("registered_s", Float(53)),
    Column("draining", Boolean),
)

setting = Table("tasks_setting", _metadata, Column("name", Text, primary_key=True), Column("value", Text))

_LIVE = tuple(status for status in STATUSES if status not in ENDED)
_FIXED = ("seq", "id", "model", "tenant", "priority", "deadline_s", "key", "submitted_s", "input", "metadata")
_MOVING = tuple(column.name for column in task.columns if column.name not in _FIXED)
_LIGHT = [column for column in task.columns if column.name not in ("input", "metadata", "result")]

_ALL = tuple(column.name for column in task.columns)

_fresh = attrgetter(*_ALL[:-1])  # the last one, the attempts, is stored as JSON
_changed = attrgetter(*_MOVING[:-1])

_INSERT = insert(task).values({name: bindparam(name) for name in _ALL})
# The guard: whatever a caller believes, a row that has ended stays as it is.
_UPDATE = (
    update(task)
    .where(task.c.seq == bindparam("of_seq"), text("status IN (" + ", ".join(f"'{each}'" for each in _LIVE) + ")"))
    .values({name: bindparam(name) for name in _MOVING})
)


class SqlTasks:
    """Reads from any thread; writes through one writer."""

    def __init__(self, engine: Engine, writer: Writer) -> None:
        self._engine = engine
        self._writer = writer
        self._insert = Prepared(engine, _INSERT, _ALL)
        self._update = Prepared(engine, _UPDATE, (*_MOVING, "of_seq"))

    # ------------------------------------------------------------------ writes

    def save(self, fresh: Sequence[Stored], changed: Sequence[Stored]) -> Future[None]:
        """Insert and update tasks in one transaction, all or none."""
        inserts = [(*_fresh(row), _attempts(row)) for row in fresh]
        updates = [(*_changed(row), _attempts(row), row.seq) for row in changed]

        def work(connection: Connection) -> None:
            if inserts:
                self._insert.run(connection, inserts)
            if updates:
                met = self._update.run(connection, updates)
                if met != len(updates):
                    raise WrongState(f"{len(updates) - met} of {len(updates)} tasks had ended already")

        return self._writer.run(work)

    def keep_instance(self, registered: Registered) -> Future[None]:
        """Insert or replace an instance."""
        values = msgspec.structs.asdict(registered)

        def work(connection: Connection) -> None:
            connection.execute(delete(instance).where(instance.c.id == registered.id))
            connection.execute(insert(instance).values(values))

        return self._writer.run(work)

    def drop_instance(self, instance_id: str) -> Future[None]:
        """Forget an instance."""

        def work(connection: Connection) -> None:
            connection.execute(delete(instance).where(instance.c.id == instance_id))

        return self._writer.run(work)

    def keep_setting(self, name: str, value: str) -> Future[None]:
        """Insert or replace a choice."""

        def work(connection: Connection) -> None:
            connection.execute(delete(setting).where(setting.c.name == name))
            connection.execute(insert(setting).values(name=name, value=value))

        return self._writer.run(work)

    def prune(self, before_s: float, keep: int, limit: int) -> Future[int]:
        """Delete the oldest ended tasks that are too old or too many; returns how many went."""

        def work(connection: Connection) -> int:
            newest = connection.execute(select(func.max(task.c.seq))).scalar() or 0
            old = (
                select(task.c.seq)
                .where(
                    task.c.status.in_(sorted(ENDED)),
                    or_(task.c.seq <= newest - keep, task.c.finished_s < before_s),
                )
                .order_by(task.c.seq)
                .limit(limit)
            )
            # Sequence numbers rise with time, so only the oldest ones need a look.
            first = connection.execute(select(task.c.seq).order_by(task.c.seq).limit(1)).scalar()
            if first is None:
                return 0
            old = old.where(task.c.seq < first + 50 * limit)
            return connection.execute(delete(task).where(task.c.seq.in_(old.scalar_subquery()))).rowcount

        return self._writer.run(work)

    def clear(self, before_seq: int) -> Future[int]:
        """Delete ended tasks up to a sequence number."""

        def work(connection: Connection) -> int:
            ended = task.c.status.in_(sorted(ENDED))
            return connection.execute(delete(task).where(ended, task.c.seq <= before_seq)).rowcount

        return self._writer.run(work)

    # ------------------------------------------------------------------ reads

    def live(self) -> list[Stored]:
        """All tasks that have not ended, oldest first."""
        return self._rows(select(task).where(task.c.status.in_(_LIVE)).order_by(task.c.seq))

    def instances(self) -> list[Registered]:
        """All instances, oldest first."""
        with self._reading() as connection:
            rows = connection.execute(select(instance).order_by(instance.c.registered_s, instance.c.id))
            return [Registered(**row._mapping) for row in rows]

    def setting(self, name: str) -> str | None:
        """A choice that was made."""
        with self._reading() as connection:
            return connection.execute(select(setting.c.value).where(setting.c.name == name)).scalar()

    def task(self, task_id: str) -> Stored | None:
        """A task by its id, else by the id its instance gave it (the newest of that id)."""
        by_id = self._rows(select(task).where(task.c.id == task_id))
        if by_id:
            return by_id[0]
        remote = select(task).where(task.c.remote_id == task_id).order_by(task.c.seq.desc()).limit(1)
        return next(iter(self._rows(remote)), None)

    def by_key(self, tenant: str, key: str) -> Stored | None:
        """A task by its idempotency key."""
        found = self._rows(select(task).where(task.c.tenant == tenant, task.c.key == key))
        return found[0] if found else None

    def tasks(self, wanted: Filter, limit: int) -> list[Stored]:
        """Tasks, newest first, without inputs, metadata and results."""
        query = _where(select(*_LIGHT), wanted)
        if wanted.before is not None:
            query = query.where(task.c.seq < wanted.before)
        return self._rows(query.order_by(task.c.seq.desc()).limit(limit))

    def count(self, wanted: Filter) -> int:
        """How many tasks a filter meets."""
        with self._reading() as connection:
            return int(connection.execute(_where(select(func.count()).select_from(task), wanted)).scalar_one())

    def runs(self, limit: int) -> list[Run]:
        """The last tasks that were completed, oldest first."""
        columns = (task.c.model, task.c.metadata, task.c.instance, task.c.run_s)
        ran = select(*columns).where(task.c.status == COMPLETED, task.c.run_s > 0)
        with self._reading() as connection:
            rows = connection.execute(ran.order_by(task.c.seq.desc()).limit(limit)).all()
        return [Run(row.model, bytes(row.metadata), row.instance, row.run_s) for row in reversed(rows)]

    def last_seq(self) -> int:
        """The highest sequence number; 0: none."""
        with self._reading() as connection:
            return connection.execute(select(func.max(task.c.seq))).scalar() or 0

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A connection to read with; while the database is away that is `StorageDown`, which has an answer."""
        try:
            with reading(self._engine) as connection:
                yield connection
        except DBAPIError as error:
            if is_outage(error):
                raise StorageDown("the database is away") from error
            raise

    def _rows(self, query: Select[Any]) -> list[Stored]:
        with self._reading() as connection:
            return [_stored(row) for row in connection.execute(query)]


def _where(query: Select[Any], wanted: Filter) -> Select[Any]:
    for name in ("status", "model", "instance", "tenant"):
        value = getattr(wanted, name)
        if value is not None:
            query = query.where(task.c[name] == value)
    return query


def _attempts(row: Stored) -> str:
    return msgspec.json.encode(row.attempts).decode() if row.attempts else "[]"


def _stored(row: Row[Any]) -> Stored:
    values = {"input": b"null", "metadata": b"{}", "result": None} | dict(row._mapping)
    attempts = values["attempts"]
    values["attempts"] = () if attempts == "[]" else msgspec.json.decode(attempts, type=tuple[Attempt, ...])
    for name in ("input", "metadata", "result"):
        if values[name] is not None:
            values[name] = bytes(values[name])
    return Stored(**values)
