"""``pilotage serve``: the global task queue as a service."""

from typing import Annotated

import typer

EPILOG = """
[bold]Examples[/]

[cyan]pilotage serve[/]
On this machine, port 8102, state in a file here; the page is at http://127.0.0.1:8102/

[cyan]pilotage serve --strategy shortest_queue --config examples/config_example.yaml[/]
With the instances of a file.

[cyan]pilotage serve --database postgresql://pilotage@db/pilotage[/]
One of several on one database: one leads, the others take over when it falls silent.

[cyan]PILOTAGE_SERVE_ADMIN_TOKENS=secret pilotage serve --host 0.0.0.0[/]
For other machines: then every request needs a token.

All settings, and their environment variables: [cyan]pilotage config[/], section serve. An instance to try it with:
[cyan]pilotage instance --help[/]
"""


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port to listen on; 0: a free one.")] = None,
    database: Annotated[
        str | None, typer.Option(metavar="URL", help="sqlite:///FILE or postgresql://USER@HOST/DATABASE.")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE[:OBJECT]", help="How an instance is chosen (see /api/v1/strategies)."),
    ] = None,
    prediction_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="Lookup table of run times (JSON).")
    ] = None,
    predict_mode: Annotated[
        str | None, typer.Option(metavar="default|lookup_table", help="Where predicted run times come from.")
    ] = None,
    log_level: Annotated[str | None, typer.Option(metavar="debug|info|warning|error", help="What is logged.")] = None,
    config: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Settings and instances (TOML or YAML) instead of pilotage.toml here."),
    ] = None,
) -> None:
    """Keep one queue of tasks for many models, send each task to an instance, follow it to its end.

    Accepted tasks are stored before they are answered: a crash, or a kill, loses nothing.

    Stops on Ctrl-C or SIGTERM. Tasks that run go on; their results are taken at the next start.
    """
    import os

    from pilotage.app.allocator import spare_the_collector
    from pilotage.app.config import load_config
    from pilotage.app.logs import set_up_logs
    from pilotage.app.tasks.role import Serve, run_until_signal
    from pilotage.app.tasks.start import original_file, places, serve_settings

    flags = {
        "host": host,
        "port": port,
        "database": database,
        "strategy": strategy,
        "prediction_file": prediction_file,
        "predict_mode": predict_mode,
        "log_level": log_level,
    }
    found = load_config(config or original_file(os.environ))
    defaults = [each.setting.removeprefix("serve.") for each in found.values if each.source == "default"]
    settings = serve_settings(found.settings.serve, defaults, flags, os.environ)
    set_up_logs(settings.log_level)
    role = Serve(settings, places(found.instances), ready=lambda url: typer.echo(f"Pilotage serves tasks at {url}"))
    spare_the_collector()
    run_until_signal(role.run)
