"""Load for the task service: workers on kept connections, or an even stream; as little client as possible."""

import asyncio
import json
import os
import time
from pathlib import Path

from msgspec import Struct

BODY = b'{"model_name":"m","task_input":{"prompt":"hello"}}'


class Load(Struct):
    """What one run saw. Latencies in seconds; ``accepted``: task id and when its answer was there (Unix seconds);
    ``why``: the last refusal."""

    seconds: float
    latencies: list[float]
    accepted: list[tuple[str, float]]
    refused: int = 0
    why: str = ""


class _Client:
    """One kept connection that posts the same request again and again."""

    def __init__(self, port: int) -> None:
        self._port = port
        head = "POST /queue/submit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        self._request = f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def submit(self) -> tuple[int, bytes]:
        self._writer.write(self._request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        return int(head[9:12]), await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()


async def flood(port: int, workers: int, tasks: int) -> Load:
    """``workers`` share ``tasks`` submissions, each sending the next when the last is answered."""
    clients = [_Client(port) for _ in range(workers)]
    for client in clients:
        await client.open()
    load = Load(0.0, [], [])
    left = tasks

    async def work(client: _Client) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            started = time.perf_counter()
            await _one(client, load)
            load.latencies.append(time.perf_counter() - started)

    started = time.perf_counter()
    await asyncio.gather(*map(work, clients))
    load.seconds = time.perf_counter() - started
    for client in clients:
        client.close()
    return load


async def stream(port: int, rate: float, seconds: float, connections: int = 64) -> Load:
    """Submissions at an even rate, whatever the answers take (as long as a connection is free)."""
    free: asyncio.Queue[_Client] = asyncio.Queue()
    for _ in range(connections):
        client = _Client(port)
        await client.open()
        free.put_nowait(client)
    load = Load(0.0, [], [])

    async def send(client: _Client, due: float) -> None:
        await _one(client, load)
        load.latencies.append(time.perf_counter() - due)
        free.put_nowait(client)

    tasks = []
    started = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = started + number / rate
        if due > time.perf_counter():
            await asyncio.sleep(due - time.perf_counter())
        tasks.append(asyncio.create_task(send(await free.get(), due)))
    await asyncio.gather(*tasks)
    load.seconds = time.perf_counter() - started
    while not free.empty():
        free.get_nowait().close()
    return load


async def _one(client: _Client, load: Load) -> None:
    status, body = await client.submit()
    if status == 200:
        load.accepted.append((json.loads(body)["task_id"], time.time()))
    else:
        load.refused += 1
        load.why = f"{status} {body[:200].decode()}"


def cpu_s(pid: int) -> float:
    """CPU seconds (user and system) of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Memory of a process that is in RAM, in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
