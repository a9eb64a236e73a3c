"""``pilotage schedulers``: what a host would be told, and why."""

import json
from typing import Annotated, Any

import typer

from pilotage.cli.cluster import Manager, connect
from pilotage.cli.options import AsJson, Config

EPILOG = """
[bold]Examples[/]

[cyan]pilotage schedulers --for host-7 --ip 10.1.2.3 --idc hz-1[/]
The clusters in the order that this host is told, with each term of their scores.

[cyan]pilotage schedulers --for host-7 --ip 10.1.2.3 --require cidr[/]
Only clusters with a network that holds the address.

[cyan]pilotage schedulers[/]
All schedulers, dead and alive.
"""


def schedulers(
    host: Annotated[str | None, typer.Option("--for", metavar="HOST", help="The host's name.")] = None,
    ip: Annotated[str | None, typer.Option(metavar="IP", help="The host's address.")] = None,
    idc: Annotated[str, typer.Option(help="What the host says of its idc.")] = "",
    location: Annotated[str, typer.Option(metavar="A|B|...", help="What the host says of its location.")] = "",
    require: Annotated[
        str | None, typer.Option(metavar="TERM,...", help="Leave out clusters that do not meet these terms.")
    ] = None,
    manager: Manager = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Show which schedulers a host would be told, best first, and why; without --for: all there are."""
    from pilotage.model.errors import InvalidInput

    if (host is None) != (ip is None):
        raise InvalidInput("--for" if host is None else "--ip", "a host is told by --for and --ip together")
    client = connect(manager, config)
    if host is None:
        rows = client.rows("/schedulers")
        typer.echo(json.dumps(rows, indent=2)) if as_json else _print_all(rows)
        return
    told = client.call("GET", "/discovery", hostname=host, ip=ip, idc=idc, location=location, require=require)
    typer.echo(json.dumps(told, indent=2)) if as_json else _print_ranking(host, told)


def _print_ranking(host: str, told: dict[str, Any]) -> None:
    clusters = told["clusters"]
    if not clusters:
        typer.echo(f"{host} is told of no cluster: none meets what is required, and there is no default")
        return
    terms = {name: term["weight"] for name, term in clusters[0]["why"].items()}
    rows = []
    for place, cluster in enumerate(clusters, start=1):
        parts = [f"{term['value']:g}" if term["value"] else "–" for term in cluster["why"].values()]
        names = ", ".join(f"{each['hostname']} {each['ip']}:{each['port']}" for each in cluster["schedulers"])
        rows.append([str(place), cluster["name"], f"{cluster['score']:g}", *parts, names or "none is alive"])
    headings = ["", "cluster", "score", *(f"{name}\n×{weight:g}" for name, weight in terms.items()), "schedulers"]
    _print_table(headings, rows)
    total = sum(len(cluster["schedulers"]) for cluster in clusters)
    typer.echo(f"\n{host} is told of {total} schedulers in this order (rules of {told['ranking']}).")


def _print_all(rows: list[dict[str, Any]]) -> None:
    shown = []
    for row in rows:
        address, features = f"{row['ip']}:{row['port']}", ", ".join(row["features"])
        heard_by = row["owner"] or "–"
        shown.append(
            [str(row["id"]), row["hostname"], address, str(row["cluster_id"]), row["state"], features, heard_by]
        )
    _print_table(["id", "scheduler", "address", "cluster", "state", "features", "heard by"], shown)


def _print_table(headings: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 400
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    console.print(table)
