from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection, TableClause, bindparam, column, insert, text
from sqlalchemy.exc import IntegrityError

from pilotage.adapters.sql.engine import Prepared, open_engine, reading
from pilotage.adapters.sql.lease import Lease
from pilotage.adapters.sql.migrate import migrate
from pilotage.adapters.sql.writer import Writer
from pilotage.model.errors import CommitUnknown, InvalidInput, LeaseLost, StorageDown, StorageFull
from tests.integration.postgres import running_postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Engine


@pytest.fixture
def table(engine: Engine) -> Engine:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE rows (n INTEGER PRIMARY KEY)"))
    return engine


@pytest.fixture
def writer(table: Engine) -> Iterator[Writer]:
    writer = Writer(table)
    yield writer
    writer.close()


def put(number: int) -> Callable[[Connection], int]:
    def work(connection: Connection) -> int:
        connection.execute(text("INSERT INTO rows VALUES (:n)"), {"n": number})
        return number

    return work


def rows(engine: Engine) -> list[int]:
    with reading(engine) as connection:
        return list(connection.execute(text("SELECT n FROM rows ORDER BY n")).scalars())


def test_what_is_done_is_committed(table: Engine, writer: Writer) -> None:
    assert [writer.run(put(n)).result(10) for n in range(5)] == [0, 1, 2, 3, 4]
    assert rows(table) == [0, 1, 2, 3, 4]


def test_a_prepared_statement_writes_rows_and_fails_as_any_other(table: Engine, writer: Writer) -> None:
    statement = insert(TableClause("rows", column("n"))).values(n=bindparam("number"))
    prepared = Prepared(table, statement, ("number",))
    assert writer.run(lambda connection: prepared.run(connection, [(7,)])).result(10) == 1
    assert writer.run(lambda connection: prepared.run(connection, [(8,), (9,)])).result(10) == 2
    with pytest.raises(IntegrityError) as failure:
        writer.run(lambda connection: prepared.run(connection, [(6,), (9,)])).result(10)
    assert not failure.value.connection_invalidated
    assert writer.run(put(10)).result(10) == 10, "the connection is as good as before"
    assert rows(table) == [7, 8, 9, 10]


def test_works_that_wait_share_a_transaction(table: Engine, writer: Writer) -> None:
    go, started = threading.Event(), threading.Event()
    first = writer.run(lambda _: (started.set(), go.wait(10)))
    assert started.wait(10)
    transactions: set[int] = set()

    def counting(number: int) -> Callable[[Connection], int]:
        def work(connection: Connection) -> int:
            transactions.add(id(connection.get_transaction()))
            return put(number)(connection)

        return work

    futures = [writer.run(counting(n)) for n in range(100)]
    go.set()
    first.result(10)
    assert [future.result(10) for future in futures] == list(range(100))
    assert len(transactions) == 1
    assert rows(table) == list(range(100))


def test_a_work_that_raises_fails_alone(table: Engine, writer: Writer) -> None:
    go = threading.Event()
    writer.run(lambda _: go.wait(10))

    def bad(connection: Connection) -> None:
        put(1000)(connection)
        raise ValueError("no")

    before, failing, after = writer.run(put(1)), writer.run(bad), writer.run(put(2))
    twice = writer.run(put(1))
    go.set()
    assert (before.result(10), after.result(10)) == (1, 2)
    with pytest.raises(ValueError, match="no"):
        failing.result(10)
    with pytest.raises(Exception, match=r"(?i)unique"):
        twice.result(10)
    assert rows(table) == [1, 2], "what the failed work wrote is undone"


def test_too_many_waiting_works_are_refused(table: Engine) -> None:
    writer = Writer(table, limit=2)
    go, started = threading.Event(), threading.Event()
    writer.run(lambda _: (started.set(), go.wait(10)))
    assert started.wait(10)
    writer.run(put(1))
    writer.run(put(2))
    with pytest.raises(StorageFull):
        writer.run(put(3))
    go.set()
    writer.close()
    assert rows(table) == [1, 2]


def test_closing_does_what_is_queued_and_refuses_the_rest(table: Engine) -> None:
    writer = Writer(table)
    futures = [writer.run(put(n)) for n in range(50)]
    writer.close()
    assert all(future.done() for future in futures)
    with pytest.raises(StorageDown):
        writer.run(put(99))
    assert rows(table) == list(range(50))


def test_a_replaced_leader_writes_nothing(table: Engine) -> None:
    lease = Lease(table, "tasks", holder="a", duration_s=0)
    assert lease.take()
    writer = Writer(table, fence=lease)
    writer.run(put(1)).result(10)
    times = iter([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    other = Lease(table, "tasks", holder="b", duration_s=0, monotonic=lambda: next(times))
    assert not other.take()
    assert other.take()
    with pytest.raises(LeaseLost):
        writer.run(put(2)).result(10)
    writer.close()
    assert rows(table) == [1]


def test_a_commit_that_broke_is_told_apart(table: Engine) -> None:
    lease = Lease(table, "tasks", holder="a")
    assert lease.take()
    with table.begin() as connection:
        lease.guard(connection, 7)
    with table.begin() as connection:
        assert lease.is_committed(connection, 7)
        assert not lease.is_committed(connection, 8)


@pytest.mark.parametrize("fenced", [True, False])
def test_works_wait_while_the_database_restarts(fenced: bool) -> None:
    with running_postgres() as server:
        engine = open_engine(server.database())
        migrate(engine)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE rows (n INTEGER PRIMARY KEY)"))
        lease = Lease(engine, "tasks")
        assert lease.take()
        writer = Writer(engine, fence=lease if fenced else None)
        futures = [writer.run(put(n)) for n in range(200)]
        server.stop(kill=True)
        futures += [writer.run(put(n)) for n in range(200, 400)]
        server.start()
        stored = set()
        for future in futures:
            try:
                stored.add(future.result(60))
            except CommitUnknown:
                assert not fenced, "a leader can always find out"
        if fenced:
            assert stored == set(range(400))
        assert stored <= set(rows(engine))
        writer.close()
        engine.dispose()


def test_patience_ends() -> None:
    with running_postgres() as server:
        engine = open_engine(server.database())
        writer = Writer(engine, patience_s=0.2)
        server.stop()
        with pytest.raises(StorageDown, match="away"):
            writer.run(put(1)).result(60)
        writer.close()
        engine.dispose()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://x/y", "not spoken"),
        ("rubbish", "is no URL"),
        ("sqlite://", "needs a file"),
        ("sqlite:////no/such/folder/file", "no such folder"),
    ],
)
def test_a_bad_url_is_refused(url: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        open_engine(url)


def test_a_password_is_not_shown() -> None:
    with pytest.raises(InvalidInput) as caught:
        open_engine("mysql+nothing://me:secret@host/x")
    assert "secret" not in str(caught.value)


def test_a_database_can_be_migrated_twice_and_by_two_at_once(url: str, tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def bring_up() -> None:
        engine = open_engine(url)
        try:
            migrate(engine)
            migrate(engine)
        except BaseException as error:
            failures.append(error)
        finally:
            engine.dispose()

    threads = [threading.Thread(target=bring_up) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
