"""``pilotage compare``: two results side by side."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from pilotage.app.difference import Pair

EPILOG = """
[bold]Examples[/]

[cyan]pilotage simulate openb --policy mine.py --seeds 10 --json > before.json[/]
Keep a result, then change the policy...

[cyan]pilotage simulate openb --policy mine.py --seeds 10 --json > after.json[/]
...keep another one...

[cyan]pilotage compare before.json after.json[/]
...and see what changed, seed by seed.
"""


def compare(
    a: Annotated[str, typer.Argument(metavar="A.json", help="Runs as pilotage simulate --json prints them.")],
    b: Annotated[str, typer.Argument(metavar="B.json", help="Others, of the same trace.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the differences as JSON, and nothing else.")] = False,
) -> None:
    """Compare two results: each policy that both have with itself or, if there is one in each, those two.

    Differences are taken seed by seed, so that luck of a seed falls out; ± is their standard error.
    """
    import msgspec

    from pilotage.app.difference import finding, pairs_of, read_runs

    pairs = pairs_of(read_runs(a), read_runs(b), (a, b))
    if as_json:
        typer.echo(msgspec.json.encode({"pairs": pairs}).decode())
        return

    from rich.console import Console

    console = Console(highlight=False)
    for pair in pairs:
        console.print(_table(pair))
        console.print()
        console.print(finding(pair), markup=False)
        console.print()


def _table(pair: "Pair") -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    table.add_column("", style="dim")
    for title in (f"A: {pair.a}", f"B: {pair.b}", "B − A", "±"):
        table.add_column(title, justify="right", overflow="fold")
    table.add_column("")
    for each in pair.differences:
        verdict = {True: "[green]better[/]", False: "[red]worse[/]", None: ""}[each.better]
        error = "" if each.error is None else f"{each.error:,.{each.digits}f}"
        numbers = (
            f"{each.a:,.{each.digits}f}",
            f"{each.b:,.{each.digits}f}",
            f"{each.difference:+,.{each.digits}f}",
        )
        table.add_row(each.metric, *numbers, error, verdict)
    return table
