"""Group commit seen from the event loop: what goes into one commit, and when."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import TYPE_CHECKING

from pilotage.engine.taskqueue.machine import Dispatch, LiveTask
from pilotage.model.routing import RoutedTask
from pilotage.service.journal import LINGER, Journal
from pilotage.service.rows import Payload, to_row

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from pilotage.service.ports import Stored


class StillLoop(asyncio.SelectorEventLoop):
    """A loop whose clock stands still until the test moves it: no timer rings by itself."""

    now = 100.0

    def time(self) -> float:
        return self.now


class Desk:
    """A journal, the commits it asked for, and clients that wait for them."""

    def __init__(self) -> None:
        self.commits: list[tuple[list[str], Future[None]]] = []
        self.sent: list[str] = []
        self.failed: list[BaseException] = []
        self.answered: list[str] = []
        self.loop = asyncio.get_running_loop()
        self.late: list[str] = []
        self.journal = Journal(
            self._save, lambda live: (to_row(live), True), self._send, self.failed.append, self._prepare
        )
        self._clients: list[asyncio.Task[None]] = []

    def _save(self, fresh: list[Stored], changed: list[Stored]) -> Future[None]:
        self.commits.append(([row.id for row in fresh], Future()))
        return self.commits[-1][1]

    def _prepare(self) -> None:
        while self.late:
            self._note(self.late.pop())

    def _note(self, name: str) -> None:
        live = LiveTask(RoutedTask(id=name, model="m"), payload=Payload(1, b"{}", b"{}"))
        self.journal.note(live, Dispatch(live, "i", 1))

    def _send(self, dispatches: list[Dispatch]) -> None:
        self.sent += [each.live.id for each in dispatches]

    async def come(self, *names: str) -> None:
        """Clients change a task each and wait for it to be stored."""
        for name in names:
            self._clients.append(self.loop.create_task(self._client(name)))
        await self.turn()

    async def _client(self, name: str) -> None:
        self._note(name)
        await self.journal.stored()
        self.answered.append(name)

    async def turn(self) -> None:
        """Let everything happen that waits for no time and no commit."""
        for _ in range(10):
            await asyncio.sleep(0)

    async def commit(self, *, took_s: float) -> None:
        """The last commit succeeds after so long."""
        assert isinstance(self.loop, StillLoop)
        self.loop.now += took_s
        self.commits[-1][1].set_result(None)
        await self.turn()

    def groups(self) -> list[str]:
        return ["".join(names) for names, _ in self.commits]


def run(scene: Callable[[], Coroutine[None, None, None]]) -> None:
    with asyncio.Runner(loop_factory=StillLoop) as runner:
        runner.run(scene())


def test_nobody_is_answered_and_nothing_sent_before_the_commit() -> None:
    async def scene() -> None:
        desk = Desk()
        await desk.come("a")
        assert desk.groups() == ["a"]
        assert (desk.answered, desk.sent) == ([], [])
        await desk.commit(took_s=0.004)
        assert (desk.answered, desk.sent) == (["a"], ["a"])

    run(scene)


def test_one_client_alone_never_waits_for_others() -> None:
    async def scene() -> None:
        desk = Desk()
        for name in "abc":
            await desk.come(name)
            await desk.commit(took_s=0.004)
        assert desk.groups() == ["a", "b", "c"]

    run(scene)


def test_who_was_answered_and_comes_again_goes_with_those_who_wait() -> None:
    async def scene() -> None:
        desk = Desk()
        await desk.come("a", "b")
        await desk.come("c", "d")  # while the first two are committed
        await desk.commit(took_s=0.004)
        assert desk.groups() == ["ab"]
        await desk.come("e")
        assert desk.groups() == ["ab"]
        await desk.come("f")  # all four are there: no need to wait for the time
        assert desk.groups() == ["ab", "cdef"]
        await desk.commit(took_s=0.004)
        assert desk.answered == ["a", "b", "c", "d", "e", "f"]

    run(scene)


def test_who_does_not_come_again_is_waited_for_a_part_of_a_commit_only() -> None:
    async def scene() -> None:
        desk = Desk()
        await desk.come("a", "b")
        await desk.come("c")
        await desk.commit(took_s=0.004)
        assert isinstance(desk.loop, StillLoop)
        desk.loop.now += 0.004 * LINGER / 2
        await desk.turn()
        assert desk.groups() == ["ab"]
        desk.loop.now += 0.004 * LINGER
        await desk.turn()
        assert desk.groups() == ["ab", "c"]

    run(scene)


def test_a_failed_commit_is_told_to_all_who_wait_for_it_and_sends_nothing() -> None:
    async def scene() -> None:
        desk = Desk()
        await desk.come("a", "b")
        broken = OSError("the disk is gone")
        desk.commits[0][1].set_exception(broken)
        await desk.turn()
        assert desk.failed == [broken]
        assert (desk.answered, desk.sent) == ([], [])
        assert [type(each.exception()) for each in desk._clients] == [OSError, OSError]

    run(scene)


def test_what_is_noted_just_before_a_commit_goes_along_and_makes_no_commit_of_its_own() -> None:
    async def scene() -> None:
        desk = Desk()
        desk.late = ["z"]
        await desk.come("a")
        await desk.commit(took_s=0.004)
        assert desk.groups() == ["az"]
        assert desk.sent == ["a", "z"]

    run(scene)


def test_where_nobody_comes_back_nobody_is_waited_for() -> None:
    async def scene() -> None:
        desk = Desk()
        loop = desk.loop
        assert isinstance(loop, StillLoop)
        await desk.come("a", "b")
        await desk.commit(took_s=0.004)
        await desk.come("c")
        assert desk.groups() == ["ab"], "the other one may come"
        loop.now += 1
        await desk.turn()
        await desk.commit(took_s=0.004)
        for number in range(6):
            await desk.come(f"d{number}", f"e{number}")
            await desk.commit(took_s=0.004)
            loop.now += 1
            await desk.turn()
        await desk.come("f", "g")
        await desk.commit(took_s=0.004)
        await desk.come("h")
        assert desk.groups()[-1] == "h"

    run(scene)
