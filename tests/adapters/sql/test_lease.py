from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from pilotage.adapters.sql.lease import Keeper, Lease, is_gone, this_process

if TYPE_CHECKING:
    from sqlalchemy import Engine


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_one_leads_and_the_other_waits_for_its_silence(engine: Engine) -> None:
    clock = Clock()
    first = Lease(engine, "tasks", holder="a", duration_s=10, monotonic=clock)
    second = Lease(engine, "tasks", holder="b", duration_s=10, monotonic=clock)
    assert first.take()
    assert first.epoch == 1
    for _ in range(5):
        clock.now += 4
        assert not second.take()
        assert first.renew()
    clock.now += 4
    assert not second.take(), "a renewal was seen 4 s ago"
    clock.now += 10.1
    assert second.take()
    assert second.epoch == 2
    assert not first.renew()
    assert second.renew()


def test_a_released_role_is_free_at_once(engine: Engine) -> None:
    first, second = Lease(engine, "tasks", holder="a"), Lease(engine, "tasks", holder="b")
    assert first.take()
    assert not second.take()
    first.release()
    assert second.take()
    assert (second.epoch, second.holder()) == (2, "b")
    first.release()
    assert second.holder() == "b", "who does not lead releases nothing"


def test_roles_are_apart(engine: Engine) -> None:
    assert Lease(engine, "tasks", holder="a").take()
    assert Lease(engine, "vms", holder="b").take()


def test_of_many_candidates_one_leads(engine: Engine) -> None:
    candidates = [Lease(engine, "tasks", holder=f"c{n}") for n in range(8)]
    taken: list[bool] = []
    start = threading.Barrier(len(candidates))

    def race(candidate: Lease) -> None:
        start.wait()
        taken.append(candidate.take())

    threads = [threading.Thread(target=race, args=(each,)) for each in candidates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [False] * 7 + [True]


def test_a_process_that_was_killed_is_replaced_at_once(engine: Engine) -> None:
    code = "from pilotage.adapters.sql.lease import this_process; print(this_process(), flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    holder = process.stdout.readline().strip()
    dead = Lease(engine, "tasks", holder=holder)
    assert dead.take()
    mine = Lease(engine, "tasks")
    assert not mine.take()
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    assert mine.take()


def test_who_is_gone() -> None:
    me = this_process()
    machine, number, started = me.split("/")
    assert number == str(os.getpid())
    assert not is_gone(me)
    assert is_gone(f"{machine}/{number}/{int(started) - 1}"), "the number was given to another process since"
    assert not is_gone(f"another-machine/{number}/1")
    assert not is_gone("")


def test_the_keeper_renews_and_tells_of_a_loss(engine: Engine) -> None:
    lease = Lease(engine, "tasks", holder="a", duration_s=0.1)
    assert lease.take()
    until = lease.held_until
    lost = threading.Event()
    keeper = Keeper(lease, 0.1, lost.set)
    while lease.held_until == until:
        assert not lost.wait(0.01)
    lease.epoch += 1  # as if another had taken over
    assert lost.wait(10)
    keeper.stop()
