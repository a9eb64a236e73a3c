"""``pilotage explain``: why a task of a record went where it went, why not elsewhere, what would have to change."""

from typing import TYPE_CHECKING, Annotated

import typer

from pilotage.cli.options import AsJson, Config, Log, Partial

if TYPE_CHECKING:
    from rich.console import Console

    from pilotage.app.explanations import Explained
    from pilotage.engine.explain import Candidate, Explanation, Refused
    from pilotage.model.effects import Decision

EPILOG = """
[bold]Examples[/]

[cyan]pilotage simulate openb --policy fgd --record run.log[/]
A record to ask about.

[cyan]pilotage explain run.log openb-pod-0281[/]
Why there? The best nodes with every part of their scores.

[cyan]pilotage explain run.log openb-pod-0281 --node openb-node-0100[/]
Why not there? What refuses it, and the smallest change that would make it fit.
"""


def explain(
    log: Log,
    task: Annotated[str, typer.Argument(metavar="TASK", help="The task's id.", show_default=False)],
    node: Annotated[str | None, typer.Option(metavar="N", help="Look at this node, too.")] = None,
    decision: Annotated[
        int | None, typer.Option(metavar="NUMBER", help="Which decision about the task; the last one.")
    ] = None,
    partial: Partial = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Explain a decision of a record: why here, why not there, and what would have to change.

    The record is replayed to the decision, from the nearest checkpoint, and the policy's plugins are asked anew.
    """
    import msgspec

    from pilotage.app.allocator import keep_freed_memory
    from pilotage.app.config import load_config
    from pilotage.app.explanations import explain_record

    keep_freed_memory()
    cache_bytes = load_config(config).settings.engine.cache_mib * 2**20
    found = explain_record(log, task, node=node or "", number=decision, partial=partial, cache_bytes=cache_bytes)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        _print(found)


def _print(found: "Explained") -> None:
    from rich.console import Console

    console = Console(highlight=False)
    decision, why = found.decision, found.explanation
    where = f"goes to {decision.node}" if decision.node else "finds no node"
    console.print(f"Decision {decision.seq:,} at {decision.now:g} s: {decision.task_id} {where}", markup=False)
    if len(found.decisions) > 1:
        others = ", ".join(_short(other) for other in found.decisions[-8:] if other.seq != decision.seq)
        console.print(f"Other decisions about it (--decision): {others}", markup=False)
    if why.held_back is not None:
        console.print("Queue {} would pass its limit of {}: no node was asked.".format(*why.held_back), markup=False)
    console.print(f"{why.feasible:,} of {why.nodes:,} nodes were compared.")
    if why.top:
        console.print()
        _print_top(console, why)
    if why.rejections:
        console.print()
        console.print("Refused by, each node under the first filter that says no:")
        for name, reason, count in why.rejections:
            console.print(f"  {count:>8,}  {name}: {reason}", markup=False)
    if why.nearest:
        console.print()
        console.print("Nearest to fitting:")
        for refused in why.nearest:
            _print_refused(console, refused)
    if why.asked is not None:
        console.print()
        _print_asked(console, why.asked, why)


def _short(decision: "Decision") -> str:
    return f"{decision.seq} ({decision.node or 'none'} at {decision.now:g} s)"


def _print_top(console: "Console", why: "Explanation") -> None:
    if why.tied > 1 and why.tied == why.feasible:
        console.print(f"All of them score the same; {why.tie} wins:")
    elif why.tied > 1:
        console.print(f"{why.tied:,} nodes have the best score; {why.tie} wins:")
    elif why.margin is not None:
        console.print(f"The runner-up is {_number(why.margin)} behind:")
    console.print("[dim]score: the sum of weight × normalised score; raw scores in brackets[/]")
    _print_candidates(console, list(why.top))


def _print_candidates(console: "Console", candidates: "list[Candidate]") -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    table.add_column("", justify="right")
    table.add_column("node", overflow="fold", style="bold")
    table.add_column("score", justify="right")
    for part in candidates[0].parts:
        table.add_column(part.scorer, justify="right")
    for candidate in candidates:
        cells = (f"{part.weight} × {_number(part.normalised)} ({_number(part.raw)})" for part in candidate.parts)
        table.add_row(f"{candidate.rank:,}", candidate.node, _number(candidate.score), *cells)
    console.print(table)


def _print_refused(console: "Console", refused: "Refused") -> None:
    console.print(f"  {refused.node}", markup=False)
    for refusal in refused.refusals:
        console.print(f"    {refusal.filter}: {', '.join(refusal.reasons)}", markup=False)
        for change in refusal.changes:
            console.print(f"      would do: {change}", markup=False)


def _print_asked(console: "Console", asked: "Candidate | Refused", why: "Explanation") -> None:
    from pilotage.engine.explain import Refused

    if isinstance(asked, Refused):
        if asked.refusals:
            console.print(f"{asked.node} is refused:", markup=False)
            _print_refused(console, asked)
        else:
            console.print(f"{asked.node} would do, but is not in the sample that the policy compares.", markup=False)
    elif asked.node == why.node:
        console.print(f"{asked.node} is the choice.", markup=False)
    else:
        behind = why.top[0].score - asked.score
        how = f"{_number(behind)} behind the best" if behind else "tied with the best, and does not win by the tie rule"
        console.print(f"{asked.node} would do; it is {how}:", markup=False)
        _print_candidates(console, [why.top[0], asked])


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"
