"""``pilotage bound``: how much of a cluster any policy could allocate."""

from typing import TYPE_CHECKING, Annotated

import typer

from pilotage.cli.options import Config
from pilotage.cli.trace_options import FillRatio, Form, Nodes

if TYPE_CHECKING:
    from pilotage.sim.bounds import Bound

EPILOG = """
[bold]Examples[/]

[cyan]pilotage bound openb[/]
The most that any policy could allocate when 100 % of the GPUs have been asked for.

[cyan]pilotage bound openb:gpuspec25 --at 90,100,110 --seed 43[/]
At three loads, for the arrivals of another seed.

[cyan]pilotage bound tasks.csv --nodes nodes.csv --json[/]
Your own trace (without times), for a program to read.
"""


def bound(
    trace: Annotated[
        str,
        typer.Argument(metavar="TRACE", help="As for pilotage simulate; without times.", show_default=False),
    ],
    at: Annotated[
        str, typer.Option(metavar="PCT,...", help="Loads: GPU demand arrived, % of the cluster's GPUs.")
    ] = "100",
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of the order of arrivals.")] = 42,
    fill_ratio: FillRatio = None,
    form: Form = None,
    nodes: Nodes = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the bounds as JSON, and nothing else.")] = False,
    config: Config = None,
) -> None:
    """Bound the GPU allocation of a trace: no policy can do better, not even one that knows what will arrive.

    The aggregate LP pools CPU, memory and GPUs of equal nodes. The configuration LP also keeps every GPU from being
    shared by more than fits on it, which is the sharper of the two.

    Needs the solver HiGHS: the extra [bold]optimise[/].
    """
    import msgspec

    from pilotage.app.config import load_config
    from pilotage.cli.progress import progress_of
    from pilotage.sim.bounds import bounds
    from pilotage.sim.traces.catalogue import load_trace, to_format

    loads = _loads(at)
    settings = load_config(config).settings
    loaded = load_trace(trace, form=to_format(form), nodes=nodes)
    with progress_of("bounding", "loads") as progress:
        progress(0, len(loads))
        found = bounds(
            loaded,
            loads,
            seed=seed,
            fill_ratio=settings.simulate.fill_ratio if fill_ratio is None else fill_ratio,
            progress=lambda done: progress(done, len(loads)),
        )
    if as_json:
        typer.echo(msgspec.json.encode({"bounds": found}).decode())
    else:
        _print(found)


def _loads(text: str) -> list[float]:
    from pilotage.model.errors import InvalidInput

    try:
        loads = [float(part) for part in text.split(",")]
    except ValueError:
        raise InvalidInput("--at", f"must be numbers with commas between them, got {text!r}") from None
    for load in loads:
        if not 0 < load <= 1000:
            raise InvalidInput("--at", f"must be % of the cluster's GPUs, above 0 and at most 1000, got {load:g}")
    return loads


def _print(found: list["Bound"]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    for title in ("GPUs asked for %", "aggregate LP %", "configuration LP %", "left idle at least %"):
        table.add_column(title, justify="right")
    for one in found:
        low = min(one.aggregate_pct, one.configuration_pct)
        idle = f"{max(100 - low, 0.0):.2f}"
        table.add_row(f"{one.arrived_so_far_pct:.2f}", f"{one.aggregate_pct:.2f}", f"{one.configuration_pct:.2f}", idle)
    console = Console(highlight=False)
    console.print(f"{found[0].trace}, arrivals of seed {found[0].seed}: GPUs allocated at most, % of the cluster's")
    console.print()
    console.print(table)
    console.print()
    last = found[-1]
    console.print(
        f"No policy can allocate more than {min(last.aggregate_pct, last.configuration_pct):.2f}% of the GPUs "
        f"of the first {last.arrived_so_far_pct:.4g}% asked for."
    )
