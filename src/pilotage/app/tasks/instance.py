"""The role ``instance``: a reference task instance that registers itself, runs tasks and delivers results."""

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from pilotage.adapters.instances.scheduler import SchedulerLink
from pilotage.api.http.instance_app import InstanceApp
from pilotage.api.http.server import HttpServer, Listen
from pilotage.app.policy_files import run_file, split_object
from pilotage.model.errors import InvalidInput
from pilotage.service.worker import Function, Job, Worker, WorkerSettings

log = structlog.get_logger()


def load_function(text: str) -> Function:
    """The function of ``FILE[:object]`` (object: ``run``). Raises `InvalidInput`."""
    path, wanted = split_object(text)
    found: Function | None = getattr(run_file(path), wanted or "run", None)
    if not callable(found):
        raise InvalidInput(str(path), f"has no function {wanted or 'run'!r}: write def run(input, metadata): ...")
    return found


async def serve_instance(
    settings: WorkerSettings,
    listen: Listen,
    stop: asyncio.Event,
    *,
    schedulers: tuple[str, ...] = (),
    token: str = "",
    function: Function | None = None,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until ``stop``; then what runs may end, results are delivered, and the schedulers are told."""
    links: list[SchedulerLink] = []

    def ended(job: Job) -> None:
        for link in links:
            link.deliver(job)

    worker = Worker(settings, ended, function)
    app = InstanceApp(worker, "")
    server = HttpServer(app.app(), listen)
    url = await server.start()
    name = app.name = f"{listen.host}:{server.port}"
    links += [SchedulerLink(each, name, listen.host, server.port, settings.model, token) for each in schedulers]
    work = [asyncio.create_task(each) for link in links for each in (link.greet(), link.send())]
    ready(url)
    log.info("instance", url=url, model=settings.model, slots=settings.slots, speed=settings.speed)
    await stop.wait()
    await worker.drain(within_s=10)
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5):
            await asyncio.gather(*(link.leave() for link in links))
    await server.stop()
