"""``pilotage replay``: a record again, under the policy that made it or under another one."""

from typing import TYPE_CHECKING, Annotated

import typer

from pilotage.cli.options import AsJson, Config, Log, Partial

if TYPE_CHECKING:
    from pilotage.engine.replay import Difference, Replayed
    from pilotage.engine.rerun import Rerun
    from pilotage.model.effects import Decision, Effect

EPILOG = """
[bold]Examples[/]

[cyan]pilotage simulate openb --policy fgd --record run.log[/]
A record to play with.

[cyan]pilotage replay run.log[/]
Does it still decide the same? Exit code 1 if not.

[cyan]pilotage replay run.log --policy mine.py[/]
What would your policy have done?
"""


def replay(
    log: Log,
    policy: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE[:OBJECT]", help="Another policy; else the one that decided then."),
    ] = None,
    partial: Partial = False,
    as_json: AsJson = False,
    config: Config = None,
) -> None:
    """Feed a record to the engine again.

    Under the policy that decided then, every effect is held against the one on record, byte for byte; the first that
    differs is shown, and the exit code is 1. Under another policy you see what would have come out otherwise: nodes
    and tasks come as recorded, but binds are confirmed at once and tasks run as long as they ran then, from their new
    start.
    """
    from pilotage.app.allocator import keep_freed_memory
    from pilotage.app.config import load_config
    from pilotage.app.policy_files import load_policy
    from pilotage.app.records import open_record, policy_on_record
    from pilotage.engine.replay import replay as replay_items
    from pilotage.engine.rerun import rerun

    keep_freed_memory()
    cache_bytes = load_config(config).settings.engine.cache_mib * 2**20
    record = open_record(log, partial=partial)
    wanted = policy_on_record(record.header) if policy is None else load_policy(policy)
    if wanted.digest == record.header.policy_digest:
        outcome = replay_items(record.items, wanted, cache_bytes=cache_bytes)
        _print_same(outcome, record.header.about, record.header.policy, as_json)
        raise typer.Exit(0 if outcome.difference is None else 1)
    found = rerun(lambda: open_record(log, partial=partial).items, wanted, cache_bytes=cache_bytes)
    _print_other(found, record.header.about, record.header.policy, policy or "", as_json)


def _print_same(outcome: "Replayed", about: str, policy: str, as_json: bool) -> None:
    if as_json:
        _print_json(outcome)
    elif outcome.difference is None:
        typer.echo(f"{about}, policy {policy}: the same {outcome.effects:,} effects from {outcome.events:,} events")
        typer.echo(f"digest {outcome.digest}")
    else:
        typer.echo(f"{about}, policy {policy}: {outcome.effects:,} effects are the same, then one differs")
        for line in _told(outcome.difference):
            typer.echo(line)


def _told(difference: "Difference") -> list[str]:
    lines = [f"effect {difference.effect:,} at {difference.now:g} s: {difference.what} differs"]
    if difference.recorded or difference.made:
        lines += [f"  recorded: {_effect(difference.recorded)}", f"  now:      {_effect(difference.made)}"]
    return lines


def _effect(effect: "Effect | None") -> str:
    import msgspec

    return "none" if effect is None else msgspec.json.encode(effect).decode()


def _print_json(outcome: "Replayed | Rerun") -> None:
    import msgspec

    typer.echo(msgspec.json.encode(outcome).decode())


def _print_other(found: "Rerun", about: str, policy: str, other: str, as_json: bool) -> None:
    if as_json:
        _print_json(found)
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(f"{about}: {found.tasks:,} tasks, {policy} on record, {other} now", markup=False)
    console.print("Binds follow the simulated world: confirmed at once, and tasks run as long as they ran then.")
    if found.skipped:
        console.print(f"{found.skipped:,} of {found.events:,} recorded events made no sense any more.")
    console.print()
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    table.add_column("tasks")
    table.add_column("", justify="right")
    for title, count in (
        ("on the same node", found.same_node),
        ("on another node", found.elsewhere),
        (f"placed by {policy} only", found.only_recorded),
        (f"placed by {other} only", found.only_other),
        ("placed by neither", found.neither),
    ):
        table.add_row(title, f"{count:,}")
    console.print(table)
    console.print()
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    for title in ("", policy, other):
        table.add_column(title, justify="right" if title else "left", overflow="fold")
    table.add_row("refusals", f"{found.refusals_recorded:,}", f"{found.refusals_other:,}")
    for amount in found.amounts:
        parts = (f"{100 * part / amount.capacity:.2f} %" for part in (amount.recorded, amount.other))
        table.add_row(f"{amount.resource} allocated at the end", *parts)
    console.print(table)
    if found.first:
        console.print()
        console.print("First differences:")
        for task in found.first:
            line = f"  {task.task_id}: {_place(task.recorded)} on record, {_place(task.other)} now"
            console.print(line, markup=False, soft_wrap=True)


def _place(decision: "Decision | None") -> str:
    if decision is None:
        return "undecided"
    return decision.node or "refused"
