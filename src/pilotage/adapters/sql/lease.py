"""Who leads: one row per role, with an epoch that fences every write of a leader that has been replaced.

No clock of another machine is trusted. A holder is taken for dead when its row did not change for as long as it said,
by *our* monotonic clock, or at once when it is a process of this machine that no longer exists.
"""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine, bindparam, insert, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from pilotage.adapters.sql.engine import Prepared, reading
from pilotage.adapters.sql.tables import lease as table
from pilotage.model.errors import LeaseLost

RENEWALS = 4
"""Renewals in the duration of a lease."""


def this_process() -> str:
    """A name for this process that no other has: machine start, process space, number, start time."""
    pid = os.getpid()
    return f"{_machine()}/{pid}/{_started(pid)}"


_GUARD = (
    update(table)
    .where(table.c.name == bindparam("role"), table.c.epoch == bindparam("of_epoch"))
    .values(serial=bindparam("new"))
)


class Lease:
    """One candidate for one role. Also the `Fence` of its writer: see `guard`."""

    def __init__(
        self,
        engine: Engine,
        role: str,
        *,
        holder: str | None = None,
        duration_s: float = 10,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._guard = Prepared(engine, _GUARD, ("new", "role", "of_epoch"))
        self._role = role
        self._holder = holder or this_process()
        self._duration_s = duration_s
        self._monotonic = monotonic
        self._seen: tuple[int, int, float] | None = None  # epoch, beat, when first seen so
        self.epoch = 0
        """The epoch we lead in; 0: we do not."""
        self.held_until = 0.0
        """Monotonic time up to which nobody else can have taken over (from the start of the last renewal)."""

    def take(self, *, at_once: bool = False) -> bool:
        """Try once to lead. True: we do, in a new epoch. Call it again until it is.

        ``at_once``: somebody else decided that we lead, so a holder is not waited for; its writes fail from now on.
        """
        started = self._monotonic()
        with self._engine.connect() as connection, connection.begin():
            row = connection.execute(select(table).where(table.c.name == self._role)).one_or_none()
            if row is None:
                epoch = self._create(connection)
            elif at_once or row.holder == "" or self._is_dead(row.holder, row.epoch, row.beat, row.duration_s):
                epoch = self._replace(connection, row.epoch, row.beat)
            else:
                return False
        if epoch:
            self.epoch, self.held_until = epoch, started + self._duration_s
        return bool(epoch)

    def renew(self) -> bool:
        """Say that we are alive. False: somebody else leads."""
        started = self._monotonic()
        change = update(table).where(table.c.name == self._role, table.c.epoch == self.epoch)
        with self._engine.connect() as connection, connection.begin():
            held = connection.execute(change.values(beat=table.c.beat + 1)).rowcount == 1
        if held:
            self.held_until = started + self._duration_s
        return held

    def release(self) -> None:
        """Give the role up, so that the next candidate need not wait. Does nothing if we do not lead."""
        change = update(table).where(table.c.name == self._role, table.c.epoch == self.epoch)
        if self.epoch:
            with self._engine.connect() as connection, connection.begin():
                connection.execute(change.values(holder=""))
        self.epoch = 0

    def guard(self, connection: Connection, serial: int) -> None:
        """Refuse the transaction of a leader that has been replaced; note its serial number otherwise.

        The row stays locked until the commit, so a new leader's first read sees all that its predecessor wrote.
        """
        if self._guard.run(connection, [(serial, self._role, self.epoch)]) != 1:
            raise LeaseLost(f"another process took the role {self._role!r} over")

    def is_committed(self, connection: Connection, serial: int) -> bool:
        """Whether our transaction ``serial`` was committed. Raises `LeaseLost`."""
        row = connection.execute(select(table.c.epoch, table.c.serial).where(table.c.name == self._role)).one()
        if row.epoch != self.epoch:
            raise LeaseLost(f"another process took the role {self._role!r} over")
        return bool(row.serial == serial)

    def holder(self) -> str:
        """Who leads by the row; empty: nobody."""
        with reading(self._engine) as connection:
            return connection.execute(select(table.c.holder).where(table.c.name == self._role)).scalar() or ""

    def _create(self, connection: Connection) -> int:
        row = {"name": self._role, "holder": self._holder, "epoch": 1, "beat": 0, "serial": 0}
        try:
            with connection.begin_nested():
                connection.execute(insert(table).values(**row, duration_s=self._duration_s))
        except IntegrityError:  # another candidate was first
            return 0
        return 1

    def _replace(self, connection: Connection, epoch: int, beat: int) -> int:
        change = update(table).where(table.c.name == self._role, table.c.epoch == epoch, table.c.beat == beat)
        fresh = {"holder": self._holder, "epoch": epoch + 1, "beat": 0, "serial": 0, "duration_s": self._duration_s}
        return epoch + 1 if connection.execute(change.values(**fresh)).rowcount == 1 else 0

    def _is_dead(self, holder: str, epoch: int, beat: int, duration_s: float) -> bool:
        if is_gone(holder):
            return True
        now = self._monotonic()
        if self._seen is None or self._seen[:2] != (epoch, beat):
            self._seen = (epoch, beat, now)
        return now - self._seen[2] > duration_s


class Keeper:
    """Renews a lease on a thread of its own, so that no long decision can starve it.

    ``on_lost`` is called once, from that thread, when the lease is lost or could not be renewed in time.
    """

    def __init__(self, lease: Lease, duration_s: float, on_lost: Callable[[], None]) -> None:
        self._lease = lease
        self._every_s = duration_s / RENEWALS
        self._on_lost = on_lost
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="lease-keeper", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the renewals; the lease is not released."""
        self._stop.set()
        self._thread.join(5)

    def _loop(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                held = self._lease.renew()
            except DBAPIError:
                held = time.monotonic() < self._lease.held_until
            if not held:
                self._on_lost()
                return


def is_gone(holder: str) -> bool:
    """Whether ``holder`` is a process of this machine that no longer exists. False when that can not be told."""
    machine, _, rest = holder.partition("/")
    number, _, started = rest.partition("/")
    return bool(machine) and machine == _machine() and number.isdigit() and _started(int(number)) != started


def _machine() -> str:
    """This start of this machine and this process space; empty where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}-{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process started, in ticks of the machine; empty: there is none, or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
