"""Options that mean the same in several commands."""

from typing import Annotated

import typer

Config = Annotated[
    str | None, typer.Option(metavar="FILE", help="Settings to use instead of pilotage.toml in this folder.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else.")]
Log = Annotated[str, typer.Argument(metavar="LOG", help="A file that --record wrote.", show_default=False)]
Partial = Annotated[bool, typer.Option("--partial", help="Take a record that is cut off as far as it goes.")]
