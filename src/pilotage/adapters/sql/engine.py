"""An engine by URL: SQLite with the settings that keep promises, or PostgreSQL through psycopg."""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import ClauseElement, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from pilotage.model.errors import InvalidInput

BUSY_TIMEOUT_S = 30
"""How long a SQLite write waits for another process's transaction."""

CONNECT_TIMEOUT_S = 5

_READ = {"pilotage_read": True}


def open_engine(url: str, *, pool_size: int = 5) -> Engine:
    """Return an engine for ``sqlite:///FILE`` or ``postgresql://USER@HOST/DATABASE``; nothing is connected yet.

    On SQLite every transaction begins IMMEDIATE (a read that turns into a write would fail at once, whatever the busy
    timeout says), except those of `reading`. Raises `InvalidInput` naming ``database``.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, pool_size)
    try:
        return create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_size=pool_size,
            pool_pre_ping=True,
            hide_parameters=True,  # an error's text must not carry what is stored
            connect_args={"connect_timeout": CONNECT_TIMEOUT_S},
        )
    except ModuleNotFoundError:
        raise InvalidInput("database", "PostgreSQL needs psycopg: pip install 'pilotage[postgres]'") from None


def is_sqlite(engine: Engine | Connection) -> bool:
    """Whether the SQL of this engine goes to SQLite."""
    return engine.dialect.name == "sqlite"


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Yield a connection that only reads: one snapshot, and on SQLite no lock that a writer waits for."""
    with engine.connect().execution_options(**_READ) as connection, connection.begin():
        yield connection


class Prepared:
    """A statement that is written into SQL once; rows are plain tuples, which go to the driver as they are.

    Compiling, converting each value of each row, and what is kept of each execution cost several times what SQLite
    takes for the row. ``names``: the parameters in the order in which the rows have them; their values must be what the
    driver knows.
    """

    def __init__(self, engine: Engine, statement: ClauseElement, names: Sequence[str]) -> None:
        by_position: Any = type(engine.dialect)
        style = "qmark" if is_sqlite(engine) else "format"
        compiled: Any = statement.compile(dialect=by_position(paramstyle=style))
        if list(compiled.positiontup) != list(names):
            raise ValueError(f"the statement wants its parameters as {compiled.positiontup}")
        self._sql = str(compiled)

    def run(self, connection: Connection, rows: list[tuple[Any, ...]]) -> int:
        """Execute it for each row; return how many rows of the table it met."""
        return _execute(connection, self._sql, rows)


def _execute(connection: Connection, sql: str, rows: Sequence[tuple[Any, ...]] = ()) -> int:
    """Hand a statement to the driver; return the number of rows it met. Its errors are SQLAlchemy's all the same."""
    driven = connection.connection
    cursor = driven.cursor()
    try:
        if len(rows) > 1:
            cursor.executemany(sql, rows)
        else:
            cursor.execute(sql, *rows)
        return cursor.rowcount
    except _driver(connection).Error as error:
        gone = connection.dialect.is_disconnect(error, driven, cursor)
        if gone:
            connection.invalidate(error)
        raise DBAPIError.instance(
            sql,
            None,  # what is stored is not in its text
            error,
            _driver(connection).Error,
            connection_invalidated=gone,
            dialect=connection.dialect,
        ) from error
    finally:
        cursor.close()


def _driver(connection: Connection) -> Any:
    return connection.dialect.loaded_dbapi


def is_outage(error: BaseException) -> bool:
    """Whether an error says that the database is away, busy or full, so that the same work may succeed later."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    told = str(error.orig)
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:  # connection failure, operator intervention, deadlock, serialisation, no room for a session
        return state[:2] in ("08", "57", "53") or state in ("40001", "40P01", "55P03")
    return isinstance(error, OperationalError) and (
        not told.startswith("no such") and any(sign in told for sign in ("locked", "busy", "connect", "disk is full"))
    )


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise InvalidInput("database", f"{_shown(url)!r} is no URL; write sqlite:///FILE or postgresql://...") from None
    if backend not in ("sqlite", "postgresql"):
        raise InvalidInput("database", f"{backend!r} is not spoken here; write sqlite:///FILE or postgresql://...")
    return parsed


def _shown(url: str) -> str:
    """The text of a broken URL without what may be a password."""
    return url if "@" not in url else "..." + url[url.rindex("@") :]


def _sqlite(url: URL, pool_size: int) -> Engine:
    if not url.database or url.database == ":memory:":
        raise InvalidInput("database", "SQLite needs a file: sqlite:///pilotage.sqlite3")
    folder = Path(url.database).resolve().parent
    if not folder.is_dir():
        raise InvalidInput("database", f"no such folder: {folder}")
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=20,
        hide_parameters=True,
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _settings(connection: Any, _: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the driver would begin DEFERRED, and not before DDL
        cursor = connection.cursor()
        _use_log(cursor)
        cursor.execute("PRAGMA synchronous = FULL")  # a promise that was answered survives a power cut
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA cache_size = -65536")
        cursor.execute("PRAGMA journal_size_limit = 67108864")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("pilotage_read")
        _execute(connection, "BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _use_log(cursor: Any) -> None:
    """Switch to the write-ahead log. The busy timeout does not cover the switch, so two first openers may collide."""
    give_up = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up:
                raise
        time.sleep(0.01)


def check_reachable(engine: Engine) -> None:
    """Connect once; raises `InvalidInput` naming ``database`` and what the server said."""
    try:
        with reading(engine) as connection:
            connection.execute(text("SELECT 1"))
    except DBAPIError as error:
        told = " ".join(str(error.orig).split())
        raise InvalidInput("database", f"{engine.url.render_as_string()} can not be opened: {told}") from None
