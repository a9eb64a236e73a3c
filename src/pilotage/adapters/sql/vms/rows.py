"""Many rows in one statement: a batch travels as one JSON document, which both databases read as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, CursorResult, text

from pilotage.adapters.sql.engine import is_sqlite

_SQLITE_TYPES = {"text": "TEXT", "bigint": "INTEGER", "double precision": "REAL", "boolean": "INTEGER"}


def table_of(connection: Connection, columns: Mapping[str, str]) -> str:
    """The FROM clause that reads the parameter ``rows`` as a table ``r`` with ``columns`` (name: SQL type)."""
    if is_sqlite(connection):
        parts = (f"json_extract(value, '$.{name}') AS {name}" for name in columns)
        return f"(SELECT {', '.join(parts)} FROM json_each(:rows)) AS r"
    return f"json_to_recordset(CAST(:rows AS json)) AS r({', '.join(f'{n} {kind}' for n, kind in columns.items())})"


def run_rows(
    connection: Connection, statement: str, columns: Mapping[str, str], rows: Sequence[Any], **parameters: Any
) -> CursorResult[Any]:
    """Run ``statement``, in which ``{rows}`` stands for the table of ``rows`` (structs or dicts with ``columns``)."""
    sql = statement.replace("{rows}", table_of(connection, columns))
    return connection.execute(text(sql), {"rows": msgspec.json.encode(rows).decode(), **parameters})


def insert_both(
    connection: Connection,
    one: str,
    other: str,
    columns: Mapping[str, str],
    rows: Sequence[Any],
    **parameters: Any,
) -> None:
    """Insert ``rows`` into two tables; PostgreSQL reads them once, SQLite has no insert within a statement."""
    if is_sqlite(connection):
        run_rows(connection, one, columns, rows, **parameters)
        run_rows(connection, other, columns, rows, **parameters)
        return
    one, other = one.replace("{rows}", "told"), other.replace("{rows}", "told")
    whole = f"WITH told AS MATERIALIZED (SELECT * FROM {{rows}}), one AS ({one}) {other}"
    run_rows(connection, whole, columns, rows, **parameters)


def left_out(
    connection: Connection,
    statement: str,
    key: tuple[str, str],
    columns: Mapping[str, str],
    rows: Sequence[Struct],
    **parameters: Any,
) -> set[str]:
    """Run an INSERT or UPDATE from ``rows`` and return the keys of those that it passed over.

    ``key``: the table and the column, which ``rows`` have too. Those passed over are few where the others are many,
    so on PostgreSQL only they travel back.
    """
    name = key[1]
    statement = f"{statement} RETURNING {'.'.join(key)}"
    if is_sqlite(connection):
        return {getattr(each, name) for each in rows} - set(
            run_rows(connection, statement, columns, rows, **parameters).scalars()
        )
    whole = (
        "WITH told AS MATERIALIZED (SELECT * FROM {rows}),"
        f" done AS ({statement.replace('{rows}', 'told AS r')})"
        f" SELECT {name} FROM told EXCEPT SELECT {name} FROM done"
    )
    return set(run_rows(connection, whole, columns, rows, **parameters).scalars())


def locking(connection: Connection, clause: str = "FOR UPDATE") -> str:
    """The clause that locks rows read; SQLite has one writer at a time and needs none."""
    return "" if is_sqlite(connection) else clause
