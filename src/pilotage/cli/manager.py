"""``pilotage manager``: tells every host its best schedulers."""

from typing import Annotated

import typer

from pilotage.cli.options import Config

EPILOG = """
[bold]Examples[/]

[cyan]pilotage manager[/]
On this machine only: gRPC on 65003, HTTP on 8080, state in a file here.

[cyan]pilotage manager --database postgresql://pilotage@db/pilotage --grpc 0.0.0.0:65003[/]
One of several managers on one database.

[cyan]pilotage cluster create hz --idc hz-1 --cidr 10.1.0.0/16[/]
A cluster for the hosts of a site.

[cyan]pilotage schedulers --for host-7 --ip 10.1.2.3[/]
What a host would be told, and why.

All settings, and their environment variables: [cyan]pilotage config[/], section manager.
"""


def manager(
    database: Annotated[
        str | None, typer.Option(metavar="URL", help="sqlite:///FILE or postgresql://USER@HOST/DATABASE.")
    ] = None,
    grpc: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where hosts and schedulers call (port 0: any).")
    ] = None,
    http: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="API for people, and metrics; '' for none.")
    ] = None,
    config: Config = None,
) -> None:
    """Serve the registry of scheduler clusters: which exist, which members live, which suit a host best.

    Speaks the gRPC of Dragonfly's manager, both versions: point its schedulers, seed peers and hosts here.

    Stops on Ctrl-C or SIGTERM; schedulers stay listed for their lease, in which they find another manager (or this one
    again).
    """
    import asyncio

    from pilotage.app.config import load_config
    from pilotage.app.logs import set_up_logs
    from pilotage.model.errors import InvalidInput

    said = {"database": database, "grpc": grpc, "http": http}
    settings = load_config(config).settings.manager
    settings = settings.model_copy(update={name: value for name, value in said.items() if value is not None})
    set_up_logs(settings.log_level)
    try:
        from pilotage.app.manager.role import serve
    except ModuleNotFoundError as missing:
        told = f"needs {missing.name}, which the extra grpc brings: pip install 'pilotage[grpc]'"
        raise InvalidInput("manager", told) from None
    asyncio.run(serve(settings, _say_addresses))


def _say_addresses(grpc_address: str, http_url: str) -> None:
    typer.echo(f"gRPC on {grpc_address}" + (f", HTTP on {http_url}" if http_url else ""))
