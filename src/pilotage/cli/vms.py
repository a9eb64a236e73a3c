"""``pilotage worker``, ``submit`` and ``verify``: VMs on bare-metal hosts."""

import sys
from typing import Annotated, Any

import typer

WORKER_EPILOG = """
[bold]Examples[/]

[cyan]pilotage nodes import hosts.yaml && pilotage worker[/]
One worker on embedded SQLite; its queue is a table there. API on http://127.0.0.1:8080 (try /docs).

[cyan]RABBITMQ_URL=amqp://... POSTGRES_CONN=postgresql://... pilotage worker --listen ''[/]
One of any number of workers on one broker and one database.

[cyan]pilotage worker --single-active[/]
Stands by while another leads.

[cyan]pilotage worker --strategy hybrid,gpu=spread,big=./mine.py[/]
A strategy per pool. In a file (--strategy-file) it can be changed while workers run.

All settings, and their environment variables: [cyan]pilotage config[/], section vms.
"""

SUBMIT_EPILOG = """
[bold]Examples[/]

[cyan]pilotage submit --cpu 4 --memory 8192 --pool default --wait[/]
One VM: 4 CPUs, 8,192 MiB; wait for its host.

[cyan]pilotage submit requests.jsonl[/]
Many: .json (one or a list), .jsonl or .csv; - reads JSON lines from standard input.
"""

Database = Annotated[
    str | None, typer.Option(metavar="URL", help="sqlite:///FILE or postgresql://USER@HOST/DATABASE [POSTGRES_CONN].")
]
Broker = Annotated[
    str | None,
    typer.Option(metavar="URL", help="amqp://USER:PASSWORD@HOST:5672/, '' for a queue in the database [RABBITMQ_URL]."),
]
Config = Annotated[
    str | None, typer.Option(metavar="FILE", help="Settings (TOML, YAML) instead of pilotage.toml here.")
]


def worker(
    database: Database = None,
    rabbitmq: Broker = None,
    strategy: Annotated[
        str | None, typer.Option(metavar="NAME[,POOL=NAME]", help="Name or file of a strategy [SCHEDULING_STRATEGY].")
    ] = None,
    strategy_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Watched: its text is the strategy (a mounted ConfigMap).")
    ] = None,
    inventory: Annotated[
        str | None, typer.Option(metavar="FILE|URL", help="Bring hosts in from here, now and then.")
    ] = None,
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="HTTP API, health and metrics; '' for none.")
    ] = None,
    single_active: Annotated[
        bool | None, typer.Option("--single-active", help="Consume only while leading; others stand by.")
    ] = None,
    consume: Annotated[
        bool, typer.Option(help="Take requests; without, only serve the API and deliver webhooks.")
    ] = True,
    name: Annotated[str, typer.Option(help="Name of this worker in history and logs.")] = "",
    config: Config = None,
) -> None:
    """Place VMs: take requests from the queue, choose hosts, reserve, answer, tell.

    Any number of workers may share a queue and a database. Ctrl-C or SIGTERM finishes what was taken; a second one
    ends at once, and loses nothing either.
    """
    import uvloop

    from pilotage.app.allocator import keep_freed_memory, spare_the_collector
    from pilotage.app.logs import set_up_logs
    from pilotage.app.vms_config import load_vms_settings
    from pilotage.model.errors import InvalidInput

    flags = {
        "database": database,
        "rabbitmq": rabbitmq,
        "strategy": strategy,
        "strategy_file": strategy_file,
        "inventory": inventory,
        "listen": listen,
        "single_active": single_active,
    }
    settings = load_vms_settings(config, flags)
    set_up_logs(settings.log_level)
    keep_freed_memory()
    try:
        from pilotage.app.vms.role import Role, serve
    except ModuleNotFoundError as missing:
        raise InvalidInput("worker", f"needs {missing.name}: pip install 'pilotage[rabbitmq]'") from None

    spare_the_collector()

    async def run() -> None:
        role = Role(settings, name=name, consume=consume)
        await serve(
            role, lambda role: typer.echo(f"worker {role.name}" + (f", HTTP on {role.url}" if role.url else ""))
        )

    uvloop.run(run())


def submit(
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="Requests: .json, .jsonl or .csv; - for JSON lines.")
    ] = None,
    cpu: Annotated[int | None, typer.Option(help="CPUs.")] = None,
    memory: Annotated[int | None, typer.Option(help="MiB of memory.")] = None,
    storage: Annotated[int | None, typer.Option(help="GiB of storage.")] = None,
    gpu: Annotated[int | None, typer.Option(help="Whole GPUs.")] = None,
    pool: Annotated[str, typer.Option(help="Pool of hosts.")] = "default",
    dedicated: Annotated[bool, typer.Option("--dedicated", help="On a dedicated host.")] = False,
    trait: Annotated[list[str] | None, typer.Option(help="A trait the host must have (again for more).")] = None,
    not_trait: Annotated[list[str] | None, typer.Option(help="A trait it must not have.")] = None,
    group: Annotated[
        str, typer.Option(metavar="NAME:RULE[:SCOPE]", help="affinity or anti-affinity over host, rack or zone.")
    ] = "",
    callback: Annotated[str, typer.Option(metavar="URL", help="Gets the result.")] = "",
    task_id: Annotated[str, typer.Option(help="Your own id: the same request again is the same task.")] = "",
    count: Annotated[int, typer.Option(min=1, max=100_000, help="So many of it (without an id of your own).")] = 1,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the results; exit code 1 if any failed.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait at most.")] = 300,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
    database: Database = None,
    rabbitmq: Broker = None,
    config: Config = None,
) -> None:
    """Ask for VMs: one by flags, or many from a file. Accepted means written down: nothing gets lost from then on."""
    import asyncio

    import msgspec

    from pilotage.app.logs import set_up_logs
    from pilotage.app.vms import desk
    from pilotage.app.vms_config import load_vms_settings
    from pilotage.cli.progress import progress_of
    from pilotage.model.errors import InvalidInput

    settings = load_vms_settings(config, {"database": database, "rabbitmq": rabbitmq})
    set_up_logs("error")
    if file is not None:
        wanted = (
            desk.read_requests(sys.stdin.read(), "jsonl", "standard input")
            if file == "-"
            else desk.read_request_file(file)
        )
    else:
        fields = _fields(cpu, memory, storage, gpu, pool, dedicated, trait, not_trait, group, callback, task_id)
        if count > 1 and task_id:
            raise InvalidInput("--count", "needs an id for each: leave --task-id out")
        wanted = [desk.request_of(fields)] * count
    if not wanted:
        raise InvalidInput(file or "requests", "holds no request")
    with progress_of("Submitting", "requests") as advance:
        ids = asyncio.run(desk.submit_all(settings, wanted, lambda done: advance(done, len(wanted))))
    results: list[dict[str, Any]] = [{"task_id": task_id, "status": "queued"} for task_id in ids]
    if wait:
        with progress_of("Waiting", "results") as advance:
            results = asyncio.run(desk.wait_for_all(settings, ids, timeout, lambda done: advance(done, len(ids))))
    for result in results:
        if as_json:
            typer.echo(msgspec.json.encode(result).decode())
        else:
            told = result.get("selected_node") or result.get("error") or ""
            typer.echo(f"{result['task_id']}  {result['status']}  {told}".rstrip())
    if wait and any(result["status"] != "success" for result in results):
        raise typer.Exit(1)


def _fields(
    cpu: int | None,
    memory: int | None,
    storage: int | None,
    gpu: int | None,
    pool: str,
    dedicated: bool,
    trait: list[str] | None,
    not_trait: list[str] | None,
    group: str,
    callback: str,
    task_id: str,
) -> dict[str, Any]:
    from pilotage.model.errors import InvalidInput

    if cpu is None or memory is None:
        raise InvalidInput("submit", "give --cpu and --memory, or a file of requests")
    fields: dict[str, Any] = {
        "requested_cpu": cpu,
        "requested_memory": memory,
        "requested_storage": storage,
        "requested_gpu": gpu,
        "requested_pool": pool,
        "dedicated": dedicated,
        "traits_required": trait,
        "traits_forbidden": not_trait,
        "callback_url": callback,
        "task_id": task_id,
    }
    if group:
        parts = group.split(":")
        if len(parts) not in (2, 3):
            raise InvalidInput("--group", "must be NAME:RULE or NAME:RULE:SCOPE, as in db:anti-affinity:rack")
        fields["group"] = dict(zip(("name", "rule", "scope"), parts, strict=False))
    return {name: value for name, value in fields.items() if value not in (None, "", [])}


def verify(
    database: Database = None,
    expect: Annotated[
        str | None, typer.Option(metavar="FILE", help="Ids that must have an end, one a line: nothing was lost.")
    ] = None,
    settled: Annotated[bool, typer.Option("--settled", help="No task may be open any more.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    config: Config = None,
) -> None:
    """Play a database's history again and prove it sound.

    No host was ever given away beyond its capacity; every task has exactly one end; every end has exactly one signed
    event; groups kept their rules; what hosts say is used is what claims add up to. Exit code 1 if not.
    """
    from pathlib import Path

    import msgspec

    from pilotage.adapters.sql.engine import check_reachable, open_engine, reading
    from pilotage.adapters.sql.vms.verify import verify as prove
    from pilotage.app.vms_config import load_vms_settings
    from pilotage.model.errors import InvalidInput

    settings = load_vms_settings(config, {"database": database})
    engine = open_engine(settings.database)
    check_reachable(engine)
    try:
        ids = Path(expect).read_text(encoding="utf-8").split() if expect else []
    except OSError as error:
        raise InvalidInput("--expect", f"{expect} can not be read: {error.strerror or error}") from None
    with reading(engine) as connection:
        verdict = prove(connection, expected=ids, settled=settled)
    if as_json:
        typer.echo(msgspec.json.encode(verdict).decode())
    else:
        states = ", ".join(f"{count:,} {status}" for status, count in verdict.by_status.items())
        typer.echo(f"{verdict.events:,} lines of history, {verdict.hosts:,} hosts, {verdict.claims:,} claims")
        typer.echo(f"{verdict.tasks:,} tasks ({states or 'none'}), {verdict.webhooks:,} webhook messages")
        for problem in verdict.problems:
            typer.echo(f"✗ {problem}")
        if verdict.problem_count > len(verdict.problems):
            typer.echo(f"  ... {verdict.problem_count:,} problems in all")
        typer.echo("✗ not sound" if verdict.problems else "✓ sound")
    raise typer.Exit(1 if verdict.problems else 0)
