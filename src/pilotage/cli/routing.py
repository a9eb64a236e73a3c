"""``pilotage simulate`` for traces of requests: what its flags say, and how the runs are shown."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from pilotage.model.errors import InvalidInput

if TYPE_CHECKING:
    from pilotage.app.config import Settings
    from pilotage.app.routing_sweep import Plan
    from pilotage.sim.routing.experiment import RoutingRun

FORMAT = "azure-llm"
POLICIES = "least-outstanding,power-of-two,pilotage,oracle"

_PANEL = "Requests routed to model instances (format azure-llm)"

Instances = Annotated[
    str | None,
    typer.Option(
        "--instances",
        metavar="POOL",
        help="het8 (the default: 3 fast, 3 medium, 2 slow), equal8, or fast=2,slow=4; :N behind it for N slots each.",
        rich_help_panel=_PANEL,
    ),
]
Load = Annotated[
    float | None,
    typer.Option(
        "--load", metavar="R", help="Arrival rate as a part of the pool's capacity; 0.8.", rich_help_panel=_PANEL
    ),
]
ArrivalProcess = Annotated[
    str | None,
    typer.Option(
        "--arrival-process",
        metavar="poisson|trace",
        help="40,000 requests drawn at random (the default), or the trace's own order and gaps.",
        rich_help_panel=_PANEL,
    ),
]
Predictor = Annotated[
    str | None,
    typer.Option(
        "--predictor",
        metavar="bins|permuted|online|oracle",
        help="What policies know of run times: trained bins (the default), useless ones, learned meanwhile, the truth.",
        rich_help_panel=_PANEL,
    ),
]
Fault = Annotated[
    str | None,
    typer.Option(
        "--fault",
        metavar="FAULT",
        help="slow:fast0:4x:30% (an instance 4 times slower for 30 % of the time), or stale:5s (news only so often).",
        rich_help_panel=_PANEL,
    ),
]
HandOver = Annotated[
    float | None,
    typer.Option(
        "--handover",
        metavar="SECONDS",
        help="What a task costs beside its run: half on its way to the instance, half on the way back; 0.",
        rich_help_panel=_PANEL,
    ),
]


class Chosen(NamedTuple):
    """The flags that only routing has."""

    instances: str | None
    load: float | None
    arrival_process: str | None
    predictor: str | None
    fault: str | None
    handover: float | None

    def refuse(self) -> None:
        """Raise `InvalidInput` for a flag that has no meaning for a trace that is placed on nodes."""
        for name, value in self._asdict().items():
            if value is not None:
                flag = "--" + name.replace("_", "-")
                raise InvalidInput(flag, f"is for traces of requests (--format {FORMAT}); this one is placed on nodes")


def refuse_placement(flags: dict[str, object]) -> None:
    """Raise `InvalidInput` for a flag that has no meaning for a trace of requests (and has a value)."""
    for flag, value in flags.items():
        if value not in (None, False):
            raise InvalidInput(flag, "is for traces that are placed on nodes; requests have --instances and --load")


def is_routing(trace: str, form: str | None) -> bool:
    """Whether the trace is one of requests: it is said to be, it is bundled as one, or its header tells."""
    if form is not None:
        return form == FORMAT
    if trace.startswith(FORMAT + ":"):
        return True
    if not trace.endswith((".csv", ".gz")) or not Path(trace).is_file():
        return False
    from pilotage.sim.traces.azure_llm import MARK
    from pilotage.sim.traces.table import Table

    with Table(Path(trace)) as table:
        return MARK in table.columns


def simulate(
    settings: "Settings",
    trace: str,
    policy: str | None,
    seeds: int | None,
    workers: int | None,
    chosen: Chosen,
    *,
    as_json: bool,
    plot: str | None,
) -> None:
    """Carry out the runs, and print or draw them."""
    import msgspec

    from pilotage.app.routing_sweep import sweep
    from pilotage.cli.progress import progress_of

    plan = _plan(settings, trace, policy, seeds, workers, chosen)
    if plot is not None:
        from pilotage.app.plot import check_plottable

        check_plottable(plot)
    with progress_of("simulating", "runs") as progress:
        runs = sweep(plan, progress)
    if plot is not None:
        from pilotage.app.routing_plot import draw

        draw(runs, plot)
    if as_json:
        typer.echo(msgspec.json.encode({"runs": runs}).decode())
    else:
        _print(runs, plot)


def _plan(
    settings: "Settings", trace: str, policy: str | None, seeds: int | None, workers: int | None, chosen: Chosen
) -> "Plan":
    from pilotage.app.routing_sweep import Plan

    return Plan(
        trace=trace,
        policies=tuple(text.strip() for text in (policy or POLICIES).split(",") if text.strip()),
        seeds=settings.simulate.seeds if seeds is None else seeds,
        workers=(settings.simulate.workers or None) if workers is None else workers,
        instances=chosen.instances or "het8",
        load=0.8 if chosen.load is None else chosen.load,
        arrival_process=chosen.arrival_process or "poisson",
        predictor=chosen.predictor or "bins",
        fault=chosen.fault or "",
        handover_s=chosen.handover or 0.0,
    )


def _print(runs: list["RoutingRun"], plot: str | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from pilotage.app.routing_comparison import COLUMNS, Comparison

    comparison = Comparison(runs)
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    table.add_column("policy", overflow="fold", style="bold")
    for column in COLUMNS:
        table.add_column(column.title, justify="right")
    for name in comparison.of_policy:
        cells = [
            f"[bold green]{text}*[/]" if name in comparison.best(column) else f"{text} "
            for column in COLUMNS
            for text in (f"{comparison.mean(name, column):,.{column.digits}f}",)
        ]
        table.add_row(name, *cells)
    console.print(comparison.heading(), markup=False)
    console.print()
    console.print(table)
    console.print()
    console.print(comparison.finding(), markup=False)
    if plot is not None:
        console.print(f"Drawn into {plot}", markup=False)
