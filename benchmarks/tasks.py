"""What does the task service cost: submits a second, CPU per submit, and how soon an accepted task is sent?

Peers in the same run: the same route with the same models doing nothing, once in the framework and once without it.
Every figure is with durability on (SQLite in WAL mode, synchronous FULL). ``PILOTAGE_BENCH_TASKS=1000000`` adds the
memory run over so many tasks.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import product
from statistics import median
from typing import Any

import uvloop

from benchmarks.report import Row, percentiles, publish
from benchmarks.task_load import Load, cpu_s, flood, resident_mb, stream

ROUNDS, SUBMITS, WARM_UP = 3, 2_000, 50
RATE, SECONDS = 1_000, 5


class Process:
    """A server process and the ports it said."""

    def __init__(self, process: subprocess.Popen[str], ports: list[int]) -> None:
        self.process = process
        self.ports = ports

    @property
    def pid(self) -> int:
        """Its number."""
        return self.process.pid


@contextmanager
def started(*command: str) -> Iterator[Process]:
    """A process that prints its ports, or its URL, first; ended afterwards."""
    process = subprocess.Popen([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        yield Process(process, [int(word.rpartition(":")[2]) for word in said.split() if word[-1].isdigit()])
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def service(folder: str, **settings: object) -> Iterator[Process]:
    """`pilotage serve` on a fresh database."""
    told = {f"PILOTAGE_SERVE_{name.upper()}": str(value) for name, value in settings.items()}
    before = dict(os.environ)
    os.environ.update(told)
    try:
        database = f"sqlite:///{folder}/{time.monotonic_ns()}.sqlite3"
        with started("pilotage", "serve", "--port", "0", "--database", database, "--log-level", "error") as process:
            wait_for(lambda: ask(process.ports[0], "/ready"))
            yield process
    finally:
        for name in told:
            os.environ.pop(name, None)
        os.environ.update(before)


def ask(port: int, path: str, content: object = None) -> Any:
    """One question to a server."""
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def wait_for(check: Any, seconds: float = 60) -> Any:
    """The first true answer."""
    end = time.monotonic() + seconds
    while True:
        try:
            found = check()
        except OSError:
            found = None
        if found:
            return found
        if time.monotonic() > end:
            raise TimeoutError("the service did not get there")
        time.sleep(0.02)


def run() -> None:
    """Measure and publish."""
    with tempfile.TemporaryDirectory() as folder:
        floods(folder)
        dispatch(folder)
        if os.environ.get("PILOTAGE_BENCH_TASKS"):
            memory(folder, int(os.environ["PILOTAGE_BENCH_TASKS"]))


def floods(folder: str) -> None:
    """Submits a second and CPU per submit, beside servers that do nothing."""
    with ExitStack() as stack:
        contenders: dict[str, Process] = {
            "nothing, in the framework": stack.enter_context(started("benchmarks.task_servers", "framework")),
            "nothing, plain ASGI": stack.enter_context(started("benchmarks.task_servers", "bare")),
        }
        for strategy, number in product(("pilotage", "least-outstanding"), (4, 32)):
            fakes = stack.enter_context(started("benchmarks.task_servers", "fakes", str(number)))
            ours = stack.enter_context(service(folder, strategy=strategy))
            contenders[f"{number} instances, {strategy}"] = ours
            for port in fakes.ports:
                ask(ours.ports[0], "/ti/register", {"host": "127.0.0.1", "port": port})
        whole = contenders["8 instances, each task completed"] = stack.enter_context(service(folder))
        many = contenders["the same, 1,000 clients"] = whole
        url = f"http://127.0.0.1:{whole.ports[0]}"
        stack.enter_context(started("benchmarks.task_servers", "instances", "8", url))
        wait_for(lambda: len(ask(whole.ports[0], "/api/v1/instances")["instances"]) == 8)
        measured: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
        for _ in range(ROUNDS):
            for name, process in contenders.items():
                workers = 1000 if "1,000" in name else 16
                measured[name].append(one_flood(process, workers, done="completed" in name or process is many))
    rows = [_row(name, runs, measured["nothing, in the framework"]) for name, runs in measured.items()]
    publish(
        "tasks",
        f"Submitting {SUBMITS:,} tasks, 16 at once, stored before they are answered (middle of {ROUNDS} rounds)",
        rows,
        [
            "bars: 0.50 of the framework's rate with 8 instances; 180 us of CPU with 4 and with 32.",
            "4 and 32: they never report; least-outstanding sends each task, pilotage lets most wait.",
            *(f"refused: {each}" for each in sorted({run["why"] for runs in measured.values() for run in runs} - {""})),
            "The original: 1,780 us with 4 instances, 9,100 us with 32 (another machine).",
        ],
    )


def one_flood(process: Process, workers: int, *, done: bool) -> dict[str, Any]:
    """One round on one server; with ``done`` it lasts until every task is completed."""
    port = process.ports[0]
    uvloop.run(flood(port, 16, WARM_UP))
    before = _completed(port) if done else 0
    if done:
        wait_for(lambda: _waiting(port) == 0)
        before = _completed(port)
    used, began = cpu_s(process.pid), time.perf_counter()
    load: Load = uvloop.run(flood(port, workers, SUBMITS))
    if done:
        wait_for(lambda: _completed(port) - before >= SUBMITS)
    whole_s = time.perf_counter() - began
    p50, p99 = percentiles(load.latencies)
    return {
        "rate": SUBMITS / load.seconds,
        "p50": p50 / 1000,
        "p99": p99 / 1000,
        "cpu": (cpu_s(process.pid) - used) / SUBMITS * 1e6,
        "done": SUBMITS / whole_s if done else 0.0,
        "refused": load.refused,
        "why": load.why,
    }


def _row(name: str, runs: list[dict[str, Any]], peers: list[dict[str, Any]]) -> Row:
    def middle(key: str) -> float:
        return float(median(run[key] for run in runs))

    ratios = [run["rate"] / peer["rate"] for run, peer in zip(runs, peers, strict=True)]
    return {
        "server": name,
        "submits/s": round(middle("rate")),
        "of framework": round(median(ratios), 2),
        "spread": f"{min(ratios):.2f}-{max(ratios):.2f}",
        "p50 ms": round(middle("p50"), 1),
        "p99 ms": round(middle("p99"), 1),
        "CPU us/submit": round(middle("cpu")),
        "completed/s": round(middle("done")),
        "refused": int(sum(run["refused"] for run in runs)),
    }


def _statistics(port: int) -> Any:
    return ask(port, "/api/v1/statistics")


def _completed(port: int) -> int:
    return int(_statistics(port)["ended"]["completed"])


def _waiting(port: int) -> int:
    told = _statistics(port)
    return int(told["waiting"] + told["on_instances"])


def dispatch(folder: str) -> None:
    """From the answer to the client until the instance has the task, at an even rate with free slots."""
    rows: list[Row] = []
    with service(folder) as process, started("benchmarks.task_servers", "instances", "8", _url(process)) as instances:
        port = process.ports[0]
        wait_for(lambda: len(ask(port, "/api/v1/instances")["instances"]) == 8)
        uvloop.run(flood(port, 16, WARM_UP))
        for _ in range(ROUNDS):
            used = cpu_s(process.pid)
            load: Load = uvloop.run(stream(port, RATE, SECONDS))
            cpu = (cpu_s(process.pid) - used) / len(load.accepted) * 1e6
            wait_for(lambda: _waiting(port) == 0)
            arrived = {
                job["task_id"]: job["enqueue_time"] for instance in instances.ports for job in ask(instance, "/results")
            }
            late = [max(0.0, arrived[task] - at) for task, at in load.accepted if task in arrived]
            p50, p99 = percentiles(late)
            submit50, submit99 = percentiles(load.latencies)
            rows.append(
                {
                    "rate": round(len(load.accepted) / load.seconds),
                    "tasks seen": len(late),
                    "accepted to arrived p50 ms": round(p50 / 1000, 2),
                    "p99 ms": round(p99 / 1000, 2),
                    "submit p50 ms": round(submit50 / 1000, 2),
                    "submit p99 ms": round(submit99 / 1000, 2),
                    "CPU us/task": round(cpu),
                }
            )
    publish(
        "task-dispatch",
        f"From accepted to arrived at the instance, {RATE:,} tasks/s for {SECONDS} s, 8 instances with free slots",
        rows,
        ["bar: p99 under 13 ms. It is measured outside, and so includes the way to the instance."],
    )


def _url(process: Process) -> str:
    return f"http://127.0.0.1:{process.ports[0]}"


def memory(folder: str, tasks: int) -> None:
    """Resident memory of the service while so many tasks pass through it."""
    rows: list[Row] = []
    why: set[str] = set()
    with (
        service(folder, keep_tasks=50_000) as process,
        started("benchmarks.task_servers", "instances", "8", _url(process)),
    ):
        port = process.ports[0]
        wait_for(lambda: len(ask(port, "/api/v1/instances")["instances"]) == 8)
        for part in range(10):
            load: Load = uvloop.run(flood(port, 32, tasks // 10))
            wait_for(lambda: _waiting(port) == 0)
            rows.append(
                {
                    "tasks": (part + 1) * (tasks // 10),
                    "resident MB": round(resident_mb(process.pid), 1),
                    "submits/s": round(len(load.accepted) / load.seconds),
                    "refused": load.refused,
                }
            )
            why |= {load.why} - {""}
    half = rows[len(rows) // 2 :]
    grown = half[-1]["resident MB"] - half[0]["resident MB"]
    per_task = grown * 1e6 / max(1, half[-1]["tasks"] - half[0]["tasks"])
    notes = [f"slope over the second half: {per_task:.1f} bytes a task", *(f"refused: {each}" for each in sorted(why))]
    publish("task-memory", "Memory of the service", rows, notes)
