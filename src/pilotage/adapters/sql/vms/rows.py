"""Many rows in one statement: a batch travels as one JSON document, which both databases read as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, CursorResult, text

from pilotage.adapters.sql.engine import is_sqlite

Rows = Sequence[Any] | str
"""Structs or dicts that have the columns asked for (null where one is missing), or the `document` of such."""


def document(rows: Sequence[Any]) -> str:
    """What statements read rows from; worth keeping where several read the same ones."""
    return msgspec.json.encode(rows).decode()


def table_of(connection: Connection, columns: Mapping[str, str]) -> str:
    """The FROM clause that reads the parameter ``rows`` as a table ``r`` with ``columns`` (name: SQL type)."""
    if is_sqlite(connection):
        parts = (f"json_extract(value, '$.{name}') AS {name}" for name in columns)
        return f"(SELECT key + 1 AS at, {', '.join(parts)} FROM json_each(:rows)) AS r"
    return f"json_to_recordset(CAST(:rows AS json)) AS r({', '.join(f'{n} {kind}' for n, kind in columns.items())})"


def run_rows(
    connection: Connection, statement: str, columns: Mapping[str, str], rows: Rows, **parameters: Any
) -> CursorResult[Any]:
    """Run ``statement``, in which ``{rows}`` stands for the table of ``rows``."""
    sql = statement.replace("{rows}", table_of(connection, columns))
    told = rows if isinstance(rows, str) else document(rows)
    return connection.execute(text(sql), {"rows": told, **parameters})


def insert_all(
    connection: Connection, inserts: Sequence[str], columns: Mapping[str, str], rows: Rows, **parameters: Any
) -> None:
    """Insert ``rows`` into several tables; PostgreSQL reads them once, SQLite has no insert within a statement.

    The rows have a column ``at`` besides: 1, 2, 3 ... in their order.
    """
    if is_sqlite(connection):
        for insert in inserts:
            run_rows(connection, insert, columns, rows, **parameters)
        return
    *first, last = (insert.replace("{rows}", "told AS r") for insert in inserts)
    parts = ["told AS MATERIALIZED (SELECT *, row_number() OVER () AS at FROM {rows})"]
    parts += [f"part{i} AS ({insert})" for i, insert in enumerate(first)]
    run_rows(connection, f"WITH {', '.join(parts)} {last}", columns, rows, **parameters)


def left_out(
    connection: Connection,
    statement: str,
    key: tuple[str, str],
    columns: Mapping[str, str],
    rows: Sequence[Struct],
    told: str | None = None,
    **parameters: Any,
) -> set[str]:
    """Run an INSERT or UPDATE from ``rows`` and return the keys of those that it passed over.

    ``key``: the table and the column, which ``rows`` have too; ``told``: their `document`, if there is one already.
    Those passed over are few where the others are many, so on PostgreSQL only they travel back.
    """
    name, told = key[1], told or document(rows)
    statement = f"{statement} RETURNING {'.'.join(key)}"
    if is_sqlite(connection):
        return {getattr(each, name) for each in rows} - set(
            run_rows(connection, statement, columns, told, **parameters).scalars()
        )
    whole = (
        "WITH told AS MATERIALIZED (SELECT * FROM {rows}),"
        f" done AS ({statement.replace('{rows}', 'told AS r')})"
        f" SELECT {name} FROM told EXCEPT SELECT {name} FROM done"
    )
    return set(run_rows(connection, whole, columns, told, **parameters).scalars())


def locking(connection: Connection, clause: str = "FOR UPDATE") -> str:
    """The clause that locks rows read; SQLite has one writer at a time and needs none."""
    return "" if is_sqlite(connection) else clause
