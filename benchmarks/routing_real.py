"""What does routing by predicted run times do to the tail of a real service?

Real processes on loopback: `pilotage serve` and eight `pilotage instance` of three speeds, twice, side by side in the
same minutes: one runs least-outstanding, the other the default strategy, which knows nothing at its start. The same
2,000 requests of the conversation trace go to both over HTTP, open loop at 80 % load, their times divided by 10. The
simulator plays the very same requests and says beforehand what will be measured. It is told one thing of the real
service: what a task costs beside its run (store, send, report), as measured by tasks sent one by one before.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np

from benchmarks.report import RESULTS, publish
from pilotage.kernel.arrays import FloatArray
from pilotage.learn.tokens import INPUT, TokenSpeed
from pilotage.sim.routing.instances import FAST, Server
from pilotage.sim.routing.policies import POLICIES, Setting
from pilotage.sim.routing.router import StrategyRouter
from pilotage.sim.routing.workload import NOISE_SIGMA, Split, Workload, capacity_per_s, run_times, split
from pilotage.sim.routing.world import World
from pilotage.sim.traces.azure_llm import CONVERSATION, load_requests

TASKS = 2_000
LOAD = 0.8
FASTER = 10.0
"""Times are divided by this, so that three quarters of an hour fit into four and a half minutes."""
SEED = 7
WARM_UP = 200
"""Requests that are not counted: both begin with an empty queue, and one with empty predictions."""

CALIBRATION = 20

SLOWER = {"fast": 1.0, "medium": 1.5, "slow": 3.0}
NAMES = ("least-outstanding", "pilotage")


def pool() -> tuple[Server, ...]:
    """Three fast, three medium and two slow instances: an instance process has a speed, so all times scale alike."""
    platforms = ("fast",) * 3 + ("medium",) * 3 + ("slow",) * 2
    return tuple(Server(f"i{at}", platform, 1, _scaled(SLOWER[platform])) for at, platform in enumerate(platforms))


def _scaled(times: float) -> TokenSpeed:
    return TokenSpeed(*(each * times / FASTER for each in (FAST.start_s, FAST.input_s, FAST.output_s)))


def draw(parts: Split, servers: tuple[Server, ...]) -> Workload:
    """2,000 requests with Poisson arrivals."""
    rng = np.random.Generator(np.random.PCG64(SEED))
    served = parts.served
    rows = rng.integers(0, len(served), TASKS)
    arrival_s = rng.exponential(1 / (LOAD * capacity_per_s(served, servers)), TASKS).cumsum()
    noise = np.exp(rng.normal(-(NOISE_SIGMA**2) / 2, NOISE_SIGMA, TASKS))
    return Workload(arrival_s, served.input_tokens[rows], served.output_tokens[rows], noise, WARM_UP)


def simulate(parts: Split, servers: tuple[Server, ...], workload: Workload, name: str, overhead_s: float) -> FloatArray:
    """Return the latencies that the simulator expects, in seconds of the real run."""
    setting = Setting(parts, workload, servers, "online", None, SEED)
    world = World(workload, servers, handover_s=overhead_s)
    world.play(StrategyRouter(POLICIES[name](setting), servers, setting.metadata()))
    return world.latency_s


@contextlib.contextmanager
def processes(name: str, servers: tuple[Server, ...], folder: Path) -> Iterator[str]:
    """Start a service with its instances, yield its URL when all are registered, and end them."""
    pilotage = [sys.executable, "-m", "pilotage"]
    serve = ["serve", "--port", "0", "--strategy", name, "--log-level", "warning"]
    serve += ["--database", f"sqlite:///{folder / name}.sqlite3"]
    started: list[subprocess.Popen[str]] = []
    try:
        service = subprocess.Popen([*pilotage, *serve], cwd=folder, stdout=subprocess.PIPE, text=True)
        started.append(service)
        assert service.stdout is not None
        url = service.stdout.readline().split()[-1]
        for server in servers:
            speed = str(1 / SLOWER[server.platform])
            flags = ["--model", "m", "--scheduler", url, "--platform", server.platform, "--speed", speed]
            started.append(
                subprocess.Popen(
                    [*pilotage, "instance", *flags, "--log-level", "warning"],
                    cwd=folder,
                    stdout=subprocess.DEVNULL,
                    text=True,
                )
            )
        deadline = time.monotonic() + 120
        while len(_ready(url)) < len(servers):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(_ready(url))} of {len(servers)} instances registered")
            time.sleep(0.2)
        yield url
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _ready(url: str) -> list[Any]:
    try:
        with urllib.request.urlopen(f"{url}/api/v1/instances", timeout=10) as answer:
            return [each for each in json.load(answer)["instances"] if each["state"] == "ready"]
    except urllib.error.HTTPError:
        return []  # it does not lead yet


async def drive(urls: dict[str, str], workload: Workload, fast_s: FloatArray) -> dict[str, FloatArray]:
    """Send every request to every service when it is due; return the latencies from when it was due to its end."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        start, begun = time.time() + 1, asyncio.get_running_loop().time() + 1
        ids: dict[str, list[str]] = {name: [""] * TASKS for name in urls}

        async def send(name: str, at: int) -> None:
            metadata = {INPUT: float(workload.input_tokens[at])}
            body = {"model": "m", "input": {"run_ms": float(fast_s[at]) * 1000}, "metadata": metadata}
            async with session.post(f"{urls[name]}/api/v1/tasks", json=body) as answer:
                told = await answer.json()
                assert answer.status < 300, told
                ids[name][at] = told["id"]

        sending = []
        for at, due_s in enumerate(workload.arrival_s.tolist()):
            await asyncio.sleep(max(0.0, begun + due_s - asyncio.get_running_loop().time()))
            sending += [asyncio.create_task(send(name, at)) for name in urls]
        await asyncio.gather(*sending)
        found = {}
        for name, url in urls.items():
            ends = await _ends(session, url)
            due = start + workload.arrival_s
            found[name] = np.array([ends[task_id] for task_id in ids[name]]) - due
        return found


async def overhead(url: str, workload: Workload, fast_s: FloatArray) -> float:
    """Return the median of what a task takes beside its run, in seconds: 20 of them, each when the one before ended."""
    beside = []
    async with aiohttp.ClientSession() as session:
        for at in range(CALIBRATION):
            metadata = {INPUT: float(workload.input_tokens[at])}
            body = {"model": "m", "input": {"run_ms": float(fast_s[at]) * 1000}, "metadata": metadata}
            async with session.post(f"{url}/api/v1/tasks", json=body) as answer:
                task_id = (await answer.json())["id"]
            row: dict[str, Any] = {"finished": None}
            while row["finished"] is None:
                await asyncio.sleep(0.05)
                async with session.get(f"{url}/api/v1/tasks/{task_id}") as answer:
                    row = await answer.json()
            beside.append(row["finished"] - row["submitted"] - row["run_ms"] / 1000)
    return float(np.median(beside))


async def _ends(session: aiohttp.ClientSession, url: str) -> dict[str, float]:
    """Wait until every task ended well, and return when each did."""
    for _ in range(600):
        rows: list[dict[str, Any]] = []
        cursor = ""
        while True:
            async with session.get(f"{url}/api/v1/tasks?limit=500{cursor}") as answer:
                page = await answer.json()
            rows += page["tasks"]
            if not page.get("next"):
                break
            cursor = f"&cursor={page['next']}"
        if all(row["status"] == "completed" for row in rows):
            return {row["id"]: row["finished"] for row in rows}
        failed = [row for row in rows if row["status"] in ("failed", "cancelled", "expired")]
        assert not failed, failed[:3]
        await asyncio.sleep(0.5)
    raise TimeoutError("some tasks did not end within five minutes")


def draw_picture(measured: dict[str, FloatArray], expected: dict[str, FloatArray]) -> None:
    """Draw measured and simulated tails into one picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained", dpi=150)
    axes = figure.subplots()
    for name, colour in zip(NAMES, ("#0072B2", "#009E73"), strict=True):
        for values, style, what in ((measured[name], "-", "measured"), (expected[name], (0, (2, 2)), "simulated")):
            ranked = np.sort(values) * FASTER
            part = 100 * (1 - np.arange(len(ranked)) / len(ranked))
            axes.plot(ranked, part, color=colour, linestyle=style, lw=1.8, label=f"{name}, {what}")
    ratio = np.quantile(measured["pilotage"], 0.99) / np.quantile(measured["least-outstanding"], 0.99)
    axes.set(xscale="log", yscale="log", ylim=(0.1, 100))
    axes.set_xlabel(f"time from arrival to completion (s of the trace; measured {FASTER:g} times faster)")
    axes.set_ylabel("requests that take longer (%)")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.axhline(1, color="#6E6E6E", lw=1, linestyle=(0, (1, 2)))
    axes.grid(color="#E3E3E3", lw=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    title = f"Over HTTP, the default strategy's p99 is {ratio:.2f} times that of least-outstanding"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / "routing_real.png")


def run() -> None:
    """Measure, compare with the simulator, draw and publish."""
    parts = split(load_requests(CONVERSATION))
    servers = pool()
    workload = draw(parts, servers)
    fast_s = run_times(workload, servers)["fast"]
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        urls = {name: stack.enter_context(processes(name, servers, Path(folder))) for name in NAMES}
        overheads = {name: asyncio.run(overhead(urls[name], workload, fast_s)) for name in NAMES}
        expected = {name: simulate(parts, servers, workload, name, overheads[name])[WARM_UP:] for name in NAMES}
        measured = {name: each[WARM_UP:] for name, each in asyncio.run(drive(urls, workload, fast_s)).items()}
    rows = []
    for name in NAMES:
        p99, foretold = (float(np.quantile(each[name], 0.99)) for each in (measured, expected))
        rows.append(
            {
                "strategy": name,
                "mean ms": round(float(measured[name].mean()) * 1000),
                "p50 ms": round(float(np.median(measured[name])) * 1000),
                "p99 ms": round(p99 * 1000),
                "beside ms": round(overheads[name] * 1000, 1),
                "simulated mean ms": round(float(expected[name].mean()) * 1000),
                "simulated p99 ms": round(foretold * 1000),
                "p99 / simulated": round(p99 / foretold, 3),
            }
        )
    draw_picture(measured, expected)
    ratio = rows[1]["p99 ms"] / rows[0]["p99 ms"]  # type: ignore[operator]
    publish(
        "routing_real",
        f"{TASKS:,} requests over HTTP to 8 instance processes of three speeds, load {LOAD:g}",
        rows,
        [f"p99 of pilotage / least-outstanding: {ratio:.2f}", f"{TASKS - WARM_UP:,} requests counted; picture beside"],
    )
