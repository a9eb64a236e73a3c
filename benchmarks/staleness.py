"""How long is a dead scheduler still listed?

Real processes: a manager with its default settings, schedulers that speak every 5 s, hosts that ask this manager and a
second one on the same database. Some schedulers are killed (kill -9: their connections are cut), some are stopped
(SIGSTOP: the connection stays, nobody speaks), at last the first manager is killed together with its schedulers. The
limits beside it are the stated bounds.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count

import grpc

from benchmarks.report import publish
from pilotage.api.grpc.encode import V2

INTERVAL_S, REFRESH_S = 5.0, 0.5
KILLED, HUNG, ORPHANED = 8, 8, 4
NOTICE_S = 0.5
BOUNDS = {
    "killed, asked of its manager": NOTICE_S,
    "killed, asked of the other manager": NOTICE_S + 2 * REFRESH_S,
    "hung": 3 * INTERVAL_S + 2,
    "killed with its manager": 3 * INTERVAL_S + 2,
}
_numbers = count()


def run() -> None:
    """Measure and publish."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        database = f"sqlite:///{folder}/m.sqlite3"
        (one, first), (_, second) = manager(stack, database), manager(stack, database)
        seconds: dict[str, list[float]] = {name: [] for name in BOUNDS}
        for victim in [scheduler(stack, one.address, second) for _ in range(KILLED)]:
            seconds["killed, asked of its manager"].append(gone([victim], [first], signal.SIGKILL)[0])
        for victim in [scheduler(stack, one.address, second) for _ in range(KILLED)]:
            seconds["killed, asked of the other manager"].append(gone([victim], [second], signal.SIGKILL)[0])
        victims = [scheduler(stack, one.address, second) for _ in range(HUNG)]
        wait(lambda: len(listed(second)) == HUNG, 30)
        seconds["hung"] = gone(victims, [first, second], signal.SIGSTOP)
        victims = [scheduler(stack, one.address, second) for _ in range(ORPHANED)]
        wait(lambda: len(listed(second)) == ORPHANED, 30)
        seconds["killed with its manager"] = gone([one, *victims], [second], signal.SIGKILL)
    rows = [
        {
            "death": name,
            "deaths": len(taken),
            "median s": round(sorted(taken)[len(taken) // 2], 2),
            "longest s": round(max(taken), 2),
            "bound s": BOUNDS[name],
            "kept": "yes" if max(taken) <= BOUNDS[name] else "NO",
        }
        for name, taken in seconds.items()
    ]
    publish(
        "staleness",
        "How long a dead scheduler is still listed, default settings",
        rows,
        [f"messages every {INTERVAL_S:g} s, a look at the database every {REFRESH_S:g} s, lists asked every 10 ms"],
    )


class Process:
    """A process by name, and where it serves."""

    def __init__(self, name: str, process: "subprocess.Popen[str]", address: str = "") -> None:
        self.name = name
        self.pid = process.pid
        self.address = address


def manager(stack: ExitStack, database: str) -> tuple[Process, grpc.Channel]:
    """A manager's process and a channel to it."""
    command = [sys.executable, "-m", "pilotage", "manager", "--database", database]
    command += ["--grpc", "127.0.0.1:0", "--http", ""]
    process = started(stack, command, subprocess.DEVNULL)
    assert process.stdout is not None
    address = process.stdout.readline().split()[-1]
    return Process("", process, address), stack.enter_context(grpc.insecure_channel(address))


def scheduler(stack: ExitStack, address: str, at: grpc.Channel) -> Process:
    """A scheduler's process, registered and alive."""
    name = f"s{next(_numbers)}"
    process = started(stack, [sys.executable, "-m", "benchmarks.staleness", address, name], None)
    wait(lambda: name in listed(at), 60)
    return Process(name, process)


def started(stack: ExitStack, command: list[str], errors: int | None) -> "subprocess.Popen[str]":
    """A process that ends with the benchmark."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    stack.callback(process.wait, 30)
    stack.callback(process.kill)
    assert process.stdout is not None
    stack.callback(process.stdout.close)
    return process


def gone(victims: list[Process], channels: list[grpc.Channel], how: signal.Signals) -> list[float]:
    """End the victims, and return how long each was still listed, by the slowest channel."""
    names = {victim.name for victim in victims if victim.name}
    begun = time.monotonic()
    for victim in victims:
        os.kill(victim.pid, how)
    seen = dict.fromkeys(names, begun)
    while time.monotonic() - begun < 60:
        told = set().union(*(listed(channel) for channel in channels)) & names
        seen.update(dict.fromkeys(told, time.monotonic()))
        if not told:
            break
        time.sleep(0.01)
    return [last - begun for last in seen.values()]


def listed(channel: grpc.Channel) -> set[str]:
    """What a host is told."""
    request = V2.ListSchedulersRequest(hostname="host", ip="10.0.0.1").SerializeToString()
    body = channel.unary_unary("/manager.v2.Manager/ListSchedulers")(request, timeout=20)
    return {each.hostname for each in V2.ListSchedulersResponse.FromString(body).schedulers}


def wait(holds: Callable[[], bool], within_s: float) -> None:
    """Ask until it holds."""
    until = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {within_s} s")
        time.sleep(0.02)


def be_a_scheduler(address: str, hostname: str) -> None:
    """Register, then speak every interval until the end."""
    with grpc.insecure_channel(address) as channel:
        place = V2.UpdateSchedulerRequest(hostname=hostname, ip="10.0.0.9", port=8002, scheduler_cluster_id=1)
        channel.unary_unary("/manager.v2.Manager/UpdateScheduler")(place.SerializeToString(), timeout=20)

        def messages() -> Iterator[bytes]:
            while True:
                yield V2.KeepAliveRequest(hostname=hostname, ip="10.0.0.9", cluster_id=1).SerializeToString()
                time.sleep(INTERVAL_S)

        channel.stream_unary("/manager.v2.Manager/KeepAlive")(messages())


if __name__ == "__main__":
    be_a_scheduler(*sys.argv[1:])
