"""The server of the manager's benchmark: the product's server and registry, and beside it a method that only answers.

``python -m benchmarks.manager_server CLUSTERS`` prints its port. ``/bench.Peer/Same`` returns, to the bytes, what
ListSchedulers returned last; ``/bench.Peer/Fill`` has the given number of distinct hosts ask (in this process: the
memory is what matters) and tells memory and times; ``/bench.Peer/Cpu`` tells this process's CPU seconds.
"""

import asyncio
import gc
import json
import resource
import sys
import time
from typing import Any

import grpc

from pilotage.api.grpc.discovery import Discovery
from pilotage.api.grpc.encode import V2
from pilotage.api.grpc.gate import Gate
from pilotage.api.grpc.keepalive import KeepAlive
from pilotage.api.grpc.server import Server
from pilotage.app.manager.pulse import Pulse, Times
from pilotage.app.manager.service import Registry
from pilotage.registry.entities import ACTIVE, Scheduler, SchedulerCluster

SITES_PER_REGION = 20
SCHEDULERS = 3


def cluster(number: int) -> SchedulerCluster:
    """One site: a network, an expression, an idc and a path of its own; the first is the default."""
    region = number // SITES_PER_REGION
    scopes = {
        "idc": f"idc-{number}|dc{number}",
        "location": f"country-{region % 7}|region-{region}|site-{number}",
        "cidrs": [f"10.{number // 256}.{number % 256}.0/24"],
        "hostnames": [f"^site{number}-"],
    }
    config = '{"candidate_parent_limit":4,"filter_parent_limit":15,"job_rate_limit":10}'
    return SchedulerCluster(
        id=number + 1,
        name=f"site-{number}",
        config=config,
        client_config='{"load_limit":200}',
        scopes=json.dumps(scopes),
        is_default=number == 0,
    )


def members(number: int) -> list[Scheduler]:
    """The schedulers of one site."""
    return [
        Scheduler(
            id=number * SCHEDULERS + at + 1,
            hostname=f"site{number}-scheduler-{at}",
            ip=f"10.{number // 256}.{number % 256}.{at + 2}",
            port=8002,
            cluster_id=number + 1,
            state=ACTIVE,
        )
        for at in range(SCHEDULERS)
    ]


def request(host: int, clusters: int) -> bytes:
    """What host number ``host`` asks: it runs at one of the sites, and says so."""
    site = host % clusters
    region = site // SITES_PER_REGION
    return bytes(
        V2.ListSchedulersRequest(
            source_type=V2.PEER_SOURCE,
            hostname=f"site{site}-host-{host}",
            ip=f"10.{site // 256}.{site % 256}.{20 + host // clusters % 200}",
            idc=f"idc-{site}",
            location=f"country-{region % 7}|region-{region}|site-{site}|rack-{host % 40}",
            version="2.4.2",
            commit="c0ffee",
        ).SerializeToString()
    )


def filled(clusters: int) -> Registry:
    """A registry with that many sites. It has no store: nothing is written here."""
    registry = Registry(None)  # type: ignore[arg-type]
    for number in range(clusters):
        registry.catalogue.put([cluster(number), *members(number)])
    return registry


async def serve(clusters: int) -> None:
    """Serve until standard input ends."""
    registry = filled(clusters)
    discovery = Discovery(registry)
    pulse = Pulse(registry, None, "bench", Times())  # type: ignore[arg-type]
    gate = Gate(rate=1e9, burst=1e9)
    server = Server(registry, discovery, KeepAlive(pulse, gate), gate)
    same = await discovery.search(V2, request(0, clusters))

    async def answer(_: bytes, __: Any) -> bytes:
        return same

    async def fill(raw: bytes, _: Any) -> bytes:
        return json.dumps(await filling(discovery, int(raw), clusters)).encode()

    async def cpu(_: bytes, __: Any) -> bytes:
        return str(time.process_time()).encode()

    handlers = {
        name: grpc.unary_unary_rpc_method_handler(method)
        for name, method in (("Same", answer), ("Fill", fill), ("Cpu", cpu))
    }
    server.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Peer", handlers),))
    port = server.listen("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(0)


async def filling(discovery: Discovery, hosts: int, clusters: int) -> dict[str, float]:
    """Let ``hosts`` distinct hosts ask twice; seconds per call, and what they cost in memory."""
    before = resident_bytes()
    seconds = []
    for _ in range(2):
        look_up, started = discovery.known(V2), time.perf_counter()
        for host in range(hosts):
            raw = request(host, clusters)
            if look_up(raw) is None:
                await discovery.search(V2, raw)
        seconds.append((time.perf_counter() - started) / hosts)
    return {
        "resident_mib": resident_bytes() / 2**20,
        "grown_mib": (resident_bytes() - before) / 2**20,
        "bytes_a_host": (resident_bytes() - before - discovery.kept_bytes) / hosts,
        "kept_responses_mib": discovery.kept_bytes / 2**20,
        "requests_kept": discovery.kept_requests,
        "cold_us": seconds[0] * 1e6,
        "warm_us": seconds[1] * 1e6,
    }


def resident_bytes() -> int:
    """Return the memory of this process that is in use now."""
    gc.collect()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
