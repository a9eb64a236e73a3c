"""``pilotage config``: which settings are in effect, and where each came from."""

from typing import Annotated

import typer

EPILOG = """
[bold]Examples[/]

[cyan]pilotage config[/]
Everything that is in effect here.

[cyan]PILOTAGE_SIMULATE_SEEDS=10 pilotage config[/]
One setting from the environment.

[cyan]pilotage config --config lab.toml --json[/]
Another file, for a program to read.

[bold]pilotage.toml[/]

\\[simulate]
policies = \\["fgd", "bestfit"]
seeds = 10
"""


def config(
    file: Annotated[
        str | None,
        typer.Option("--config", metavar="FILE", help="TOML file to read instead of pilotage.toml in this folder."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every setting, its value, and where it came from.

    Later sources win: defaults, a file, environment variables, flags of a command.

    The file is the one of --config, else the one PILOTAGE_CONFIG names, else pilotage.toml in this folder.

    Environment variables are called PILOTAGE_SECTION_SETTING, as in PILOTAGE_SIMULATE_SEEDS.
    """
    import msgspec

    from pilotage.app.config import load_config

    values = load_config(file).values
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode({"settings": values}), indent=2).decode())
        return

    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("setting", "value", "from"):
        table.add_column(title, overflow="fold")
    for value in values:
        style = "dim" if value.source == "default" else None
        table.add_row(value.setting, str(value.value), value.source, style=style)
        table.add_row("", f"[dim]{value.meaning}[/]", "")
    Console().print(table)
