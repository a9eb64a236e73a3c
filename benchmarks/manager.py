"""How fast does a host learn its schedulers, and what does that cost?

The peer is a method on the same server that returns the same bytes and does nothing else: what is lost against it is
ours. Rounds of both are interleaved. CPU seconds of the server are told beside the wall clock, since the client of
this benchmark is slower than the server.
"""

import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from statistics import median
from typing import Any

import grpc

from benchmarks.manager_server import cluster, filled, request
from benchmarks.report import exponent, percentiles, publish
from pilotage.api.grpc.discovery import Discovery
from pilotage.api.grpc.encode import V2
from pilotage.registry.affinity import idc_affinity, location_affinity, parse_cidr, parse_ip
from pilotage.registry.matching import Host
from pilotage.registry.scopes import scopes_or_none
from pilotage.registry.searcher import Searcher

SIZES = (10, 100, 1_000)
HOSTS = 100_000
ROUNDS, CALLS, AT_ONCE = 9, 2_000, 16
LIST, SAME = "/manager.v2.Manager/ListSchedulers", "/bench.Peer/Same"


def run() -> None:
    """Measure and publish."""
    asyncio.run(warm())
    cold()


async def warm() -> None:
    """Warm calls over the wire, against the method that only answers; then the memory of 100,000 hosts."""
    rows = []
    for clusters in SIZES:
        async with server(clusters) as channel:
            rows.append(await compared(channel, clusters))
    async with server(SIZES[-1]) as channel:
        told = json.loads(await channel.unary_unary("/bench.Peer/Fill")(str(HOSTS).encode()))
    remarks = [
        f"{HOSTS:,} distinct hosts x {SIZES[-1]:,} clusters: {told['resident_mib']:,.0f} MiB resident in all, "
        f"{told['grown_mib']:,.0f} MiB more than before they asked",
        f"of these, {told['kept_responses_mib']:.0f} MiB are responses that are kept (bound 64), "
        f"{told['bytes_a_host']:,.0f} bytes a host are requests that are remembered (bound 200,000 requests)",
        f"in the process: {told['cold_us']:.1f} us cold, {told['warm_us']:.1f} us warm a call",
    ]
    publish("manager", "ListSchedulers, warm: rate against a method that returns the same bytes", rows, remarks)


@asynccontextmanager
async def server(clusters: int) -> AsyncIterator[grpc.aio.Channel]:
    """A server with that many clusters, and a channel to it."""
    command = [sys.executable, "-m", "benchmarks.manager_server", str(clusters)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    options = [("grpc.max_receive_message_length", -1)]
    try:
        port = process.stdout.readline().strip()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            yield channel
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


async def compared(channel: grpc.aio.Channel, clusters: int) -> dict[str, Any]:
    """Interleaved rounds of both methods."""
    calls = max(200, CALLS * 100 // max(100, clusters))
    requests, size = [request(host, clusters) for host in range(min(HOSTS, calls))], 0
    for raw in requests:  # every host has asked before: that is what warm means
        size = len(await channel.unary_unary(LIST)(raw))
    rates: dict[str, list[float]] = {LIST: [], SAME: []}
    cpu: dict[str, list[float]] = {LIST: [], SAME: []}
    seconds: dict[str, list[float]] = {LIST: [], SAME: []}
    for turn in range(ROUNDS):
        for method in (LIST, SAME) if turn % 2 else (SAME, LIST):
            before = await cpu_seconds(channel)
            started = time.perf_counter()
            taken = await calling(channel, method, requests)
            rates[method].append(len(requests) / (time.perf_counter() - started))
            cpu[method].append((await cpu_seconds(channel) - before) / len(requests))
            seconds[method] += taken
    p50, p99 = percentiles(seconds[LIST])
    same50, same99 = percentiles(seconds[SAME])
    ratios = sorted(ours / same for ours, same in zip(rates[LIST], rates[SAME], strict=True))
    return {
        "clusters": clusters,
        "bytes": size,
        "calls/s": round(median(rates[LIST])),
        "same bytes": round(median(rates[SAME])),
        "ratio % (bar 80)": round(100 * median(ratios), 1),
        "quartiles": f"{100 * ratios[len(ratios) // 4]:.0f}..{100 * ratios[-1 - len(ratios) // 4]:.0f}",
        "CPU us": round(1e6 * median(cpu[LIST])),
        "CPU same": round(1e6 * median(cpu[SAME])),
        "p50 us": p50,
        "p99 us": p99,
        "same p50": same50,
        "same p99": same99,
    }


async def cpu_seconds(channel: grpc.aio.Channel) -> float:
    """CPU seconds that the server has used."""
    return float(await channel.unary_unary("/bench.Peer/Cpu")(b""))


async def calling(channel: grpc.aio.Channel, method: str, requests: list[bytes]) -> list[float]:
    """Make every request, so many at once; the seconds of each."""
    call, waiting, seconds = channel.unary_unary(method), iter(requests), []

    async def caller(mine: Iterator[bytes]) -> None:
        for raw in mine:
            started = time.perf_counter()
            await call(raw)
            seconds.append(time.perf_counter() - started)

    await asyncio.gather(*(caller(waiting) for _ in range(AT_ONCE)))
    return seconds


def cold() -> None:
    """The first call of a host: parse, search, put the response together. The peer looks at every cluster."""
    rows = []
    for clusters in (*SIZES, 10_000):
        registry = filled(clusters)
        discovery = Discovery(registry)
        searcher = Searcher(registry.catalogue.clusters.values())
        scopes = [scopes_or_none(cluster(number).scopes) for number in range(clusters)]
        hosts = itertools.count()

        def first_call(
            discovery: Discovery = discovery, hosts: Iterator[int] = hosts, clusters: int = clusters
        ) -> None:
            asyncio_free(discovery.search(V2, request(next(hosts), clusters)))

        first_call()
        whole = [timed_us(first_call) for _ in range(400)]
        someone = _host(clusters // 2, clusters)
        search = [timed_us(lambda searcher=searcher, host=someone: searcher.order(host)) for _ in range(400)]
        scan = [timed_us(lambda scopes=scopes, host=someone: scanned(scopes, host)) for _ in range(5)]
        rows.append(
            {
                "clusters": clusters,
                "first call us": round(median(whole), 1),
                "of it search us": round(median(search), 1),
                "scan of all us": round(median(scan), 1),
            }
        )
    sizes = [row["clusters"] for row in rows]
    growth = {name: exponent(sizes, [row[name] for row in rows]) for name in list(rows[0])[1:]}
    publish(
        "manager-cold",
        "ListSchedulers, first call of a host, in the process",
        rows,
        [f"cost = a x clusters^b: {', '.join(f'{name} b = {b}' for name, b in growth.items())} (bar: 1)"],
    )


def asyncio_free(call: Any) -> bytes:
    """Run a coroutine that waits for nothing."""
    try:
        call.send(None)
    except StopIteration as done:
        return bytes(done.value)
    raise AssertionError("the search waited for something")


def timed_us(action: Any) -> float:
    """Microseconds of a call."""
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1e6


def _host(number: int, clusters: int) -> Host:
    message = V2.ListSchedulersRequest.FromString(request(number, clusters))
    return Host(message.hostname, message.ip, message.idc, message.location)


def scanned(scopes: list[Any], host: Host) -> list[int]:
    """Rank as the original does: score every cluster, then sort."""
    import re2

    address = parse_ip(host.ip)
    scores = []
    for at, scope in enumerate(scopes):
        networks = [network for cidr in scope.cidrs if (network := parse_cidr(cidr)) is not None]
        score = 0.3 * any(address in network for network in networks)
        score += 0.3 * any(re2.search(expression, host.hostname) is not None for expression in scope.hostnames)
        score += 0.25 * idc_affinity(host.idc, scope.idc) + 0.14 * location_affinity(host.location, scope.location)
        scores.append((-score, at))
    return [at for _, at in sorted(scores)]
