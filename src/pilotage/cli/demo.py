"""``pilotage demo``: the task service on a real trace with real instance processes."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from pilotage.app.tasks.demo import Outcome

EPILOG = """
[bold]Examples[/]

[cyan]pilotage demo[/]
Less than a minute: two strategies on the same requests.

[cyan]pilotage demo --stay[/]
The same, then it stays up: the page is at http://127.0.0.1:8102/
"""


def demo(
    tasks: Annotated[int, typer.Option(min=20, max=15_000, help="Requests of the trace to serve.")] = 400,
    stay: Annotated[bool, typer.Option("--stay", help="Stay up afterwards, until Ctrl-C.")] = False,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port of the service; with --stay 8102.")] = None,
) -> None:
    """Start the task service and four unequal instance processes, route a slice of a production trace, compare.

    The slice is of Azure's conversation trace (2023), run times compressed, arriving at random at 80 % of what the
    instances can do. Other requests of the trace are served before, so that there are run times to predict from.
    """
    from functools import partial

    from rich.console import Console
    from rich.progress import Progress

    from pilotage.app.logs import set_up_logs
    from pilotage.app.tasks import demo as story

    set_up_logs("error")
    console = Console(highlight=False)
    wanted = port if port is not None else (8102 if stay else 0)
    with story.scratch() as database, story.set_up(wanted, database, console.print) as scheduler:
        before, requests = story.slice_of_trace(tasks)
        outcomes = []
        with Progress(console=console, transient=True) as progress:
            bar = progress.add_task(f"{len(before)} other requests, to learn run times from", total=len(before))
            story.play(scheduler, story.STRATEGIES[0], before, partial(progress.advance, bar))
            for name in story.STRATEGIES:
                bar = progress.add_task(f"{name}: {tasks} requests of {requests[-1].at_s:.0f} s", total=tasks)
                outcomes.append(story.play(scheduler, name, requests, partial(progress.advance, bar)))
        _print(console, outcomes)
        if stay:
            console.print(f"\nIt stays up: the page is at {scheduler.url}/ (Ctrl-C ends it)")
            _wait()


def _print(console: "Console", outcomes: "list[Outcome]") -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("strategy")
    for title in ("completed", "failed", "mean ms", "p50 ms", "p99 ms"):
        table.add_column(title, justify="right")
    for each in outcomes:
        figures = (each.mean_ms, each.p50_ms, each.p99_ms)
        table.add_row(each.strategy, str(each.completed), str(each.failed), *(f"{figure:,.0f}" for figure in figures))
    console.print(table)
    first, last = outcomes[0], outcomes[-1]
    share, tail = last.mean_ms / first.mean_ms, last.p99_ms / first.p99_ms
    console.print(
        f"\n{last.strategy} against {first.strategy}: mean x {share:.2f}, p99 x {tail:.2f} on these requests.\n"
        "Run times were predicted from the requests before. This is one short run: for 40,000 requests, simulated,\n"
        "pilotage simulate azure-llm:conv",
        soft_wrap=True,
    )


def _wait() -> None:
    import signal

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    while True:
        signal.pause()
