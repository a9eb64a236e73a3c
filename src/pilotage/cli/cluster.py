"""``pilotage cluster``: the clusters that a manager knows, and which hosts they are for."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pilotage.cli.options import AsJson, Config

if TYPE_CHECKING:
    from pilotage.app.manager.client import ManagerClient

app = typer.Typer(
    help="The scheduler clusters of a running manager, and which hosts they are for.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    epilog="""
[bold]Examples[/]

[cyan]pilotage cluster create hz --idc "hz-1|hz-2" --location "cn|zj|hz" --cidr 10.1.0.0/16[/]

[cyan]pilotage cluster create lab --hostname "^lab-"[/]

[cyan]pilotage cluster update hz --cidr 10.1.0.0/16 --cidr 10.2.0.0/16[/]

[cyan]pilotage cluster list[/]
""",
)

Manager = Annotated[
    str | None, typer.Option("--manager", metavar="URL", help="The manager's HTTP address, if not the configured one.")
]
Which = Annotated[str, typer.Argument(metavar="NAME|ID", show_default=False)]
Idc = Annotated[str | None, typer.Option(metavar="A|B|...", help="Hosts whose idc is one of these.")]
Location = Annotated[str | None, typer.Option(metavar="A|B|...", help="Hosts whose path begins alike.")]
Cidr = Annotated[list[str] | None, typer.Option(metavar="NET", help="Hosts with an address in it; may be repeated.")]
Hostname = Annotated[
    list[str] | None, typer.Option(metavar="RE2", help="Hosts in whose name it is found; may be repeated.")
]
Default = Annotated[bool | None, typer.Option("--default/--no-default", help="First when nothing matches.")]
Bio = Annotated[str | None, typer.Option(metavar="TEXT", help="A word for people.")]
Settings = Annotated[
    str | None, typer.Option("--settings", metavar="JSON", help='What its schedulers are told: {"job_rate_limit": 20}.')
]


def connect(url: str | None, config: str | None) -> "ManagerClient":
    """Return a client of the manager that flags or settings name."""
    from pilotage.app.config import load_config
    from pilotage.app.manager.client import ManagerClient

    return ManagerClient(url, load_config(config).settings.manager)


@app.command("list")
def list_(manager: Manager = None, config: Config = None, as_json: AsJson = False) -> None:
    """Show all clusters, whom they are for, and how many of their schedulers live."""
    client = connect(manager, config)
    clusters = client.rows("/clusters")
    alive: dict[int, int] = {}
    for scheduler in client.rows("/schedulers", state="active"):
        alive[scheduler["cluster_id"]] = alive.get(scheduler["cluster_id"], 0) + 1
    if as_json:
        for cluster in clusters:
            cluster["active_schedulers"] = alive.get(cluster["id"], 0)
        typer.echo(json.dumps(clusters, indent=2))
        return

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("id", "name", "active", "for hosts with"):
        table.add_column(title, justify="right" if title in ("id", "active") else "left", overflow="fold")
    for cluster in clusters:
        name = escape(cluster["name"]) + (" [dim](default)[/]" if cluster["is_default"] else "")
        table.add_row(
            str(cluster["id"]), name, str(alive.get(cluster["id"], 0)), escape(_scopes_in_words(cluster["scopes"]))
        )
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 400
    console.print(table)


@app.command()
def create(
    name: Annotated[str, typer.Argument(show_default=False)],
    idc: Idc = None,
    location: Location = None,
    cidr: Cidr = None,
    hostname: Hostname = None,
    default: Default = None,
    bio: Bio = None,
    settings: Settings = None,
    manager: Manager = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make a cluster; its schedulers join it by its id."""
    body = {"name": name, **_said(default, bio, settings), "scopes": _scopes({}, idc, location, cidr, hostname)}
    _show(connect(manager, config).call("POST", "/clusters", body), as_json, "created")


@app.command()
def update(
    which: Which,
    name: Annotated[str | None, typer.Option(help="A new name.")] = None,
    idc: Idc = None,
    location: Location = None,
    cidr: Cidr = None,
    hostname: Hostname = None,
    default: Default = None,
    bio: Bio = None,
    settings: Settings = None,
    manager: Manager = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Change what is said, leave the rest; an empty value ('') takes a scope away."""
    client = connect(manager, config)
    cluster = client.cluster(which)
    body: dict[str, Any] = _said(default, bio, settings)
    if name is not None:
        body["name"] = name
    scopes = _scopes(cluster["scopes"], idc, location, cidr, hostname)
    if scopes != cluster["scopes"]:
        body["scopes"] = scopes
    _show(client.call("PATCH", f"/clusters/{cluster['id']}", body), as_json, "changed")


@app.command()
def delete(which: Which, manager: Manager = None, config: Config = None) -> None:
    """Delete a cluster without members."""
    client = connect(manager, config)
    cluster = client.cluster(which)
    client.call("DELETE", f"/clusters/{cluster['id']}")
    typer.echo(f"deleted cluster {cluster['id']} ({cluster['name']})")


def _said(default: bool | None, bio: str | None, settings: str | None) -> dict[str, Any]:
    from pilotage.model.errors import InvalidInput

    body: dict[str, Any] = {}
    if default is not None:
        body["is_default"] = default
    if bio is not None:
        body["bio"] = bio
    if settings is not None:
        try:
            body["config"] = json.loads(settings)
        except ValueError as error:
            raise InvalidInput("--settings", f"is no JSON: {error}") from None
    return body


def _scopes(
    known: dict[str, Any], idc: str | None, location: str | None, cidr: list[str] | None, hostname: list[str] | None
) -> dict[str, Any]:
    said = {
        "idc": idc,
        "location": location,
        "cidrs": None if cidr is None else [each for each in cidr if each],
        "hostnames": None if hostname is None else [each for each in hostname if each],
    }
    scopes = {**known, **{name: value for name, value in said.items() if value is not None}}
    return {name: value for name, value in scopes.items() if value}


def _scopes_in_words(scopes: Any) -> str:
    if not isinstance(scopes, dict):
        return f"(can not be read: {scopes!r:.40})"
    words = [f"{name} {' '.join(value) if isinstance(value, list) else value}" for name, value in scopes.items()]
    return "; ".join(words) or "anything"


def _show(cluster: Any, as_json: bool, done: str) -> None:
    if as_json:
        typer.echo(json.dumps(cluster, indent=2))
    else:
        typer.echo(f"{done} cluster {cluster['id']} ({cluster['name']}): {_scopes_in_words(cluster['scopes'])}")
