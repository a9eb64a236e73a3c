"""``pilotage policy``: what can be done with a policy file besides running it."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from pilotage.app.policy_check import Report

app = typer.Typer(help="Check policies.", no_args_is_help=True)

_MARKS = {"error": "[red]✗[/]", "warning": "[yellow]![/]", "hint": "[cyan]→[/]"}


@app.callback()
def _policy() -> None:
    pass


@app.command()
def check(
    policy: Annotated[str, typer.Argument(metavar="FILE[:object]", help="A policy file, or the name of a policy.")],
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the sample cluster and of every random choice.")] = 0,
    nodes: Annotated[
        int, typer.Option(min=20, max=20_000, help="Nodes of the sample that answers are checked on.")
    ] = 200,
) -> None:
    """Load a policy, prove what it declares on a sample cluster, and time it.

    Exit code 0: sound; 1: a check failed; 2: it can not be loaded.
    """
    from contextlib import redirect_stdout

    from pilotage.app.policy_check import check_policy
    from pilotage.app.policy_files import load_policy

    # What the policy's own code prints must not end up in the report.
    with redirect_stdout(sys.stderr):
        report = check_policy(load_policy(policy), seed=seed, nodes=nodes)
    if json:
        _print_json(report)
    else:
        _print_report(report)
    raise typer.Exit(0 if report.sound else 1)


def _print_json(report: "Report") -> None:
    import json

    told: dict[str, Any] = {
        "policy": report.policy,
        "sound": report.sound,
        "seed": report.seed,
        "nodes": report.nodes,
        "plugins": [plugin._asdict() for plugin in report.plugins],
        "decisions": {str(size): time._asdict() for size, time in report.decisions.items()},
        "findings": [finding._asdict() for finding in report.findings],
    }
    typer.echo(json.dumps(told, indent=2))


def _print_report(report: "Report") -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        # Cut off nothing where no window sets a width.
        console.width = 400
    console.print(_table(report))
    for size, time in report.decisions.items():
        console.print(
            f"A decision at {size:,} nodes: {time.warm_us:,.0f} us, "
            f"of a kind of task not seen before {time.cold_us:,.0f} us",
            markup=False,
        )
    _print_findings(console, report)
    if not report.decisions:
        console.print("The whole policy was not timed: mend what failed first.")
    wrong = sum(finding.level == "error" for finding in report.findings)
    verdict = (
        f"[red]✗ {report.policy}: {wrong} of the checks failed[/]" if wrong else f"[green]✓ {report.policy}: sound[/]"
    )
    console.print(f"{verdict} (sample of {report.nodes:,} nodes, seed {report.seed})")


def _table(report: "Report") -> Any:
    """One line per plugin, narrow enough for 80 columns: findings and JSON tell the whole path of a file.

    Times are microseconds for asking the plugin about every node.
    """
    from pathlib import Path

    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("", "plugin", "weight", "vectorised", "cacheable"):
        table.add_column(heading, no_wrap=heading != "plugin", overflow="fold")
    sizes = list(report.decisions)
    for size in sizes:
        table.add_column(f"us at\n{size:,}", justify="right", no_wrap=True)
    table.add_column("defined at", overflow="fold")
    for plugin in report.plugins:
        table.add_row(
            "[green]✓[/]" if plugin.sound else "[red]✗[/]",
            escape(plugin.name),
            plugin.kind if plugin.weight is None else str(plugin.weight),
            "yes" if plugin.vectorised else "no",
            "yes" if plugin.cacheable else f"no: {plugin.why_not}",
            *(f"{plugin.times_us[size]:,.0f}" for size in sizes),
            "built in" if plugin.where.startswith("pilotage/") else escape(Path(plugin.where).name),
        )
    return table


def _print_findings(console: "Console", report: "Report") -> None:
    from rich.markup import escape

    for finding in report.findings:
        console.print()
        console.print(
            f"{_MARKS[finding.level]} {escape(finding.where)}: {escape(finding.plugin)}: {escape(finding.text)}",
            soft_wrap=True,
        )
        if finding.advice:
            console.print(f"  {escape(finding.advice)}", soft_wrap=True)
    if report.findings:
        console.print()
