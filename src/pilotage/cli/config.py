"""``pilotage config``: which settings are in effect, and where each came from."""

from typing import Annotated

import typer

EPILOG = """[bold]Examples[/]

[cyan]pilotage config[/]  everything in effect here

[cyan]PILOTAGE_SIMULATE_SEEDS=10 pilotage config[/]  one setting from the environment

[cyan]pilotage config --config lab.toml --json[/]  another file, for a program to read
"""


def config(
    file: Annotated[
        str | None,
        typer.Option("--config", metavar="FILE", help="TOML file to read instead of pilotage.toml in this folder."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every setting, its value, and where it came from.

    Later sources win: the default, then pilotage.toml in this folder (or --config FILE, or the file that
    PILOTAGE_CONFIG names), then an environment variable such as PILOTAGE_SIMULATE_SEEDS, then a command's flag.
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
