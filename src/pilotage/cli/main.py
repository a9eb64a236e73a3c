"""The command ``pilotage``: its sub-commands, and what an error looks like."""

import sys
from typing import Annotated

import typer

from pilotage import __version__
from pilotage.cli import (
    bound,
    cluster,
    compare,
    config,
    deadletter,
    demo,
    explain,
    instance,
    kubernetes,
    manager,
    nodes,
    policy,
    replay,
    schedulers,
    serve,
    simulate,
    task,
    trace,
    vms,
    webhooks,
)
from pilotage.model.errors import InvalidInput

app = typer.Typer(
    name="pilotage",
    help="A scheduler that its users program in Python: write a policy, try it on a real trace, run it unchanged.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
app.command("simulate", epilog=simulate.EPILOG)(simulate.simulate)
app.command("explain", epilog=explain.EPILOG)(explain.explain)
app.command("replay", epilog=replay.EPILOG)(replay.replay)
app.command("bound", epilog=bound.EPILOG)(bound.bound)
app.command("compare", epilog=compare.EPILOG)(compare.compare)
app.command("manager", epilog=manager.EPILOG)(manager.manager)
app.add_typer(cluster.app, name="cluster")
app.command("schedulers", epilog=schedulers.EPILOG)(schedulers.schedulers)
app.command("serve", epilog=serve.EPILOG)(serve.serve)
app.command("instance", epilog=instance.EPILOG)(instance.instance)
app.command("kubernetes", epilog=kubernetes.EPILOG)(kubernetes.kubernetes)
app.add_typer(trace.app, name="trace")
app.command("worker", epilog=vms.WORKER_EPILOG)(vms.worker)
app.command("submit", epilog=vms.SUBMIT_EPILOG)(vms.submit)
app.command("verify")(vms.verify)
app.add_typer(nodes.app, name="nodes")
app.add_typer(deadletter.app, name="deadletter")
app.add_typer(webhooks.app, name="webhooks")
app.command("demo", epilog=demo.EPILOG)(demo.demo)
app.add_typer(task.app, name="task")
app.add_typer(policy.app, name="policy")
app.command("config", epilog=config.EPILOG)(config.config)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pilotage {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


def main() -> None:
    """Run the command; bad input is one short line on standard error and exit code 2, never a traceback."""
    try:
        app()
    except InvalidInput as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)
