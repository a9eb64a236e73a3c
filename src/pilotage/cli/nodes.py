"""``pilotage nodes``: the hosts that VMs are placed on."""

from typing import Annotated, Any

import typer

from pilotage.cli.desk import visit
from pilotage.cli.options import Config

app = typer.Typer(help="Bring in, look at and take out the hosts that VMs are placed on.", no_args_is_help=True)

Names = Annotated[list[str], typer.Argument(metavar="HOST...", help="Names of hosts.")]
Database = Annotated[str | None, typer.Option(metavar="URL", help="Database [POSTGRES_CONN].")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("import")
def import_(
    source: Annotated[
        str, typer.Argument(metavar="FILE|URL", help=".json, .jsonl, .csv or .yaml; http(s) URL; URL of a database.")
    ],
    complete: Annotated[
        bool, typer.Option("--complete", help="Whoever of this source is not in it is missing, and gets no more VMs.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also if more than a fifth of the hosts would be missing.")
    ] = False,
    as_json: Json = False,
    database: Database = None,
    config: Config = None,
) -> None:
    """Bring hosts in, or up to date. Claims stay; where they hold more than the capacity is now, that is told."""
    import asyncio

    import msgspec

    from pilotage.app.vms.inventory import read_inventory

    hosts = asyncio.run(read_inventory(source))
    report = visit(
        config, database, lambda service: service.import_hosts(hosts, source, complete=complete, force=force)
    )
    if as_json:
        typer.echo(msgspec.json.encode(report).decode())
        return
    counts = {"added": report.added, "changed": report.changed, "missing": report.missing, "back": report.back}
    told = [f"{len(names):,} {what}" for what, names in counts.items() if names]
    typer.echo(", ".join([*told, f"{report.same:,} as before"] if report.same or not told else told))
    for claim in report.disowned:
        typer.echo(f"released {claim}: it was overdue, and the inventory does not see its VM")
    for name, short in report.short.items():
        for what, (used, capacity) in short.items():
            typer.echo(f"! {name}: {what} is {capacity:,}, claims hold {used:,}; nothing more goes there")


@app.command("list")
def list_(
    pool: Annotated[str, typer.Option(help="Only this pool.")] = "",
    as_json: Json = False,
    database: Database = None,
    config: Config = None,
) -> None:
    """Show hosts with what VMs took and may take."""
    import msgspec

    hosts = visit(config, database, lambda service: service.hosts())
    hosts = [host for host in hosts if not pool or host["pool"] == pool]
    if as_json:
        for host in hosts:
            typer.echo(msgspec.json.encode(host).decode())
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("host", "pool", "state"):
        table.add_column(title, overflow="fold")
    for title in ("VMs", "CPUs", "memory GiB", "storage GiB", "GPUs"):
        table.add_column(title, justify="right", no_wrap=True)
    for host in hosts:
        state = host["state"] if not host["dedicated"] else f"{host['state']}, dedicated"
        if host["state"] == "draining" and not host["used"]["vms"]:
            state = "drained"
        table.add_row(host["name"], host["pool"], state, *_amounts(host))
    Console().print(table if hosts else "No hosts: pilotage nodes import FILE")


def _amounts(host: dict[str, Any]) -> list[str]:
    used, capacity = host["used"], host["capacity"]
    unlimited = capacity["vms"] >= 1_000_000
    return [
        f"{used['vms']:,}" if unlimited else f"{used['vms']:,} / {capacity['vms']:,}",
        f"{used['cpu']:,} / {capacity['cpu']:,}",
        f"{used['memory'] / 1024:,.0f} / {capacity['memory'] / 1024:,.0f}",
        f"{used['storage']:,} / {capacity['storage']:,}",
        f"{used['gpu']:,} / {capacity['gpu']:,}",
    ]


@app.command()
def cordon(names: Names, database: Database = None, config: Config = None) -> None:
    """Give hosts no new VMs; those that are there stay."""
    _set(config, database, names, "cordoned")


@app.command()
def uncordon(names: Names, database: Database = None, config: Config = None) -> None:
    """Give hosts new VMs again."""
    _set(config, database, names, "active")


@app.command()
def drain(names: Names, database: Database = None, config: Config = None) -> None:
    """Take hosts out of service: no new VMs, and `nodes list` says when the last one is released."""
    _set(config, database, names, "draining")


@app.command()
def remove(names: Names, database: Database = None, config: Config = None) -> None:
    """Forget hosts. One that holds claims is refused."""
    _set(config, database, names, "removed")


def _set(config: str | None, database: str | None, names: list[str], state: str) -> None:
    visit(config, database, lambda service: service.set_hosts(names, state))
    typer.echo("\n".join(f"{name}  {state}" for name in names))
