"""``pilotage simulate``: a trace, several policies and seeds, and how they compare."""

from typing import TYPE_CHECKING, Annotated

import typer

from pilotage.cli import routing, scenario
from pilotage.cli.options import Config
from pilotage.cli.trace_options import Drop, FillRatio, Form, Nodes, Played, Repeat, SpeedUp

if TYPE_CHECKING:
    from rich.table import Table

    from pilotage.app.comparison import Comparison, Metric
    from pilotage.app.config import Settings
    from pilotage.app.sweep import Plan
    from pilotage.sim.result import Run

EPILOG = """
[bold]Examples[/]

[cyan]pilotage simulate openb[/]
A production GPU trace under four policies.

[cyan]pilotage simulate openb --policy fgd,pilotage --seeds 10 --report openb.html[/]
Means over ten seeds, and a page with figures, bounds and who was refused.

[cyan]pilotage simulate openb:cpu200 --policy my_policy.py,fgd[/]
Your policy against a published one, on a trace with more CPU-only tasks.

[cyan]pilotage simulate tasks.csv --nodes nodes.csv --json[/]
Your own trace, for a program to read.

[cyan]pilotage simulate openb:times --speed-up 1000 --repeat 4 --drop --policy fgd,pilotage[/]
Tasks that come and go on a full cluster.

[cyan]pilotage simulate log.swf --policy bestfit[/]
A log of the Parallel Workloads Archive on its own machine: waiting times and slowdown.

[cyan]pilotage simulate faults.toml --seeds 20[/]
A scenario: a workload, and nodes, binds and labels that fail it.

[cyan]pilotage simulate azure-llm:conv --load 0.9 --seeds 5[/]
Requests of a production trace, routed to eight unequal model instances.

[bold]Columns of your own trace[/] (only id, name and cpu_milli are required)

Tasks: id, cpu_milli, arrival_s, duration_s, memory_mib, gpus, gpu_milli,
gpu_models (A|B), priority, node_selector (key=value;...), user, queue

Nodes: name, cpu_milli, memory_mib, gpus, gpu_model, max_tasks,
labels (key=value;...), taints (key=value:NoSchedule;...)
"""


Plot = Annotated[str | None, typer.Option(metavar="FILE", help="Draw the runs into a .png, .svg or .pdf file.")]
Report = Annotated[
    str | None, typer.Option(metavar="FILE", help="Write a page with figures and tables into an .html file.")
]
Record = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Write down every event and decision of the one run, to replay and explain."),
]
Preempt = Annotated[
    bool,
    typer.Option("--preempt", help="Let tasks drive out less important ones; for one policy of several: NAME+preempt."),
]
Workers = Annotated[int | None, typer.Option(metavar="N", help="Processes to use; one per CPU unless configured.")]


def simulate(
    trace: Annotated[
        str,
        typer.Argument(
            metavar="TRACE",
            help="openb, openb:cpu200, openb:gpushare40, openb:gpuspec25, openb:multigpu20, openb:times, azure-vm, "
            "gavel:0e4a51, azure-llm:conv, a file: .csv, .swf, .trace, .txt, each also as .gz; or a scenario: .toml.",
            show_default=False,
        ),
    ],
    policy: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE[:OBJECT],...",
            help="Policies: random, dotprod, gpu-clustering, gpu-packing, bestfit, fgd, pilotage, pilotage-learned, "
            "kubernetes, or files. Of requests: least-outstanding, pilotage, oracle, ... (a wrong name lists all).",
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(metavar="N", help="Runs per policy, with seeds 42, 43, ... (requests: 0, 1, ...)")
    ] = None,
    fill_ratio: FillRatio = None,
    form: Form = None,
    nodes: Nodes = None,
    speed_up: SpeedUp = 1.0,
    repeat: Repeat = 1,
    drop: Drop = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the runs as JSON, and nothing else.")] = False,
    plot: Plot = None,
    report: Report = None,
    record: Record = None,
    preempt: Preempt = False,
    workers: Workers = None,
    config: Config = None,
    instances: routing.Instances = None,
    load: routing.Load = None,
    arrival_process: routing.ArrivalProcess = None,
    predictor: routing.Predictor = None,
    fault: routing.Fault = None,
    handover: routing.HandOver = None,
) -> None:
    """Schedule a trace under several policies, on a virtual clock, and compare what they achieve.

    The engine that decides here is the one that runs in production. A trace of requests (format azure-llm) is routed to
    model instances instead of placed on nodes.

    What no flag says is taken from the configuration: see [bold]pilotage config[/].
    """
    from pilotage.app.allocator import keep_freed_memory
    from pilotage.app.config import load_config

    keep_freed_memory()
    settings = load_config(config).settings
    chosen = routing.Chosen(instances, load, arrival_process, predictor, fault, handover)
    shape = {"--fill-ratio": fill_ratio, "--nodes": nodes, "--repeat": repeat != 1, "--drop": drop, "--report": report}
    shape["--speed-up"] = speed_up != 1
    if routing.is_routing(trace, form):
        routing.refuse_placement({**shape, "--record": record, "--preempt": preempt})
        routing.simulate(settings, trace, policy, seeds, workers, chosen, as_json=as_json, plot=plot)
        return
    chosen.refuse()
    if scenario.is_scenario(trace):
        scenario.refuse({**shape, "--format": form, "--plot": plot})
        named = _named(policy or "kubernetes", preempt)
        scenario.simulate(settings, trace, named, seeds, workers, record, as_json=as_json)
        return
    played = Played(form, nodes, fill_ratio, speed_up, repeat, drop)
    texts = settings.simulate.policies if policy is None else policy
    plan = _plan(settings, trace, played, _named(texts, preempt), seeds, workers, record, detail=report is not None)
    _place(plan, plot, report, as_json=as_json)


def _place(plan: "Plan", plot: str | None, report: str | None, *, as_json: bool) -> None:
    import msgspec

    from pilotage.app.sweep import sweep
    from pilotage.cli.progress import progress_of

    if plot is not None:
        from pilotage.app.plot import check_plottable

        check_plottable(plot)
    if report is not None:
        from pilotage.app.report import check_writable

        check_writable(report)
    with progress_of("simulating", "runs") as progress:
        runs = sweep(plan, progress)
    if plot is not None:
        from pilotage.app.plot import draw

        draw(runs, plot)
    if report is not None:
        from pilotage.app.report import write_report

        write_report(runs, plan, report)
    if as_json:
        typer.echo(msgspec.json.encode({"runs": runs}).decode())
    else:
        _print(runs, [file for file in (plot, report, plan.record.path if plan.record else None) if file is not None])


def _named(texts: str, preempt: bool) -> tuple[str, ...]:
    """Split what names policies; with ``preempt`` all of them let tasks drive out less important ones."""
    from pilotage.app.policy_files import PREEMPT

    names = [text.strip() for text in texts.split(",") if text.strip()]
    return tuple(f"{name.removesuffix(PREEMPT)}{PREEMPT}" if preempt else name for name in names)


def _plan(
    settings: "Settings",
    trace: str,
    played: Played,
    policies: tuple[str, ...],
    seeds: int | None,
    workers: int | None,
    record: str | None,
    *,
    detail: bool,
) -> "Plan":
    from pilotage.app.records import record_plan
    from pilotage.app.sweep import Plan
    from pilotage.engine.waiting import Backoff
    from pilotage.sim.traces.catalogue import to_format

    return Plan(
        trace=trace,
        policies=policies,
        seeds=settings.simulate.seeds if seeds is None else seeds,
        fill_ratio=played.fill_ratio,
        usual_fill_ratio=settings.simulate.fill_ratio,
        form=to_format(played.form),
        nodes=played.nodes,
        speed_up=played.speed_up,
        repeat=played.repeat,
        wait=not played.drop,
        detail=detail,
        workers=(settings.simulate.workers or None) if workers is None else workers,
        cache_bytes=settings.engine.cache_mib * 2**20,
        backoff=Backoff(settings.engine.backoff_initial_s, settings.engine.backoff_longest_s),
        record=None if record is None else record_plan(record, settings.record),
    )


def _print(runs: list["Run"], files: list[str]) -> None:
    from rich.console import Console

    from pilotage.app.comparison import Comparison

    comparison = Comparison(runs)
    console = Console(highlight=False)
    console.print(_heading(runs, comparison), markup=False)
    console.print()
    console.print(_table(comparison))
    console.print()
    if any(one.refused for run in runs for one in run.classes):
        console.print(
            "Tasks that got no place" + ("" if comparison.timed else " until 100 % had arrived") + ", by class:"
        )
        console.print()
        console.print(_refused(comparison))
        console.print()
    console.print(comparison.finding(), markup=False)
    if not comparison.timed and comparison.price():
        console.print(comparison.price(), markup=False)
    for file in files:
        console.print(f"Written: {file}", markup=False, soft_wrap=True)


def _heading(runs: list["Run"], comparison: "Comparison") -> str:
    seeds = comparison.seeds
    arrivals = round(sum(run.arrivals for run in runs) / len(runs))
    many = f"mean of {seeds} seeds, ± standard deviation" if seeds > 1 else "one seed"
    best = ", * best" if len(comparison.of_policy) > 1 else ""
    return f"{runs[0].trace}: {arrivals:,} arrivals a run; {many}{best}"


def _table(comparison: "Comparison") -> "Table":
    """A line per policy; of a timed trace, which has more numbers than policies, a line per number."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    policies = list(comparison.of_policy)
    shown = [metric for metric in comparison.metrics if any(comparison.spread(p, metric) for p in policies)]
    if comparison.timed:
        table.add_column("", style="dim")
        for policy in policies:
            table.add_column(policy, justify="right", overflow="fold")
        for metric in shown:
            table.add_row(metric.title, *(_cell(comparison, policy, metric, " ") for policy in policies))
        return table
    table.add_column("policy", overflow="fold", style="bold")
    for metric in shown:
        table.add_column(metric.title, justify="right")
    for policy in policies:
        table.add_row(policy, *(_cell(comparison, policy, metric, "\n") for metric in shown))
    return table


def _refused(comparison: "Comparison") -> "Table":
    from rich.table import Table

    refused = comparison.refused()
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    table.add_column("", overflow="fold", style="bold")
    for name in refused:
        table.add_column(name, justify="right")
    table.add_column("all", justify="right")
    for policy in comparison.of_policy:
        counts = [of[policy][1] for of in refused.values()]
        table.add_row(policy, *(f"{count:,.4g}" for count in counts), f"{sum(counts):,.5g}")
    arrived = [next(iter(of.values()))[0] for of in refused.values()]
    table.add_row("arrived", *(f"{count:,.5g}" for count in arrived), f"{sum(arrived):,.6g}", style="dim")
    return table


def _cell(comparison: "Comparison", policy: str, metric: "Metric", between: str) -> str:
    spread = comparison.spread(policy, metric)
    if spread is None:
        return "–"
    mean = f"{spread.mean:,.{metric.digits}f}"
    mean = f"[bold green]{mean}*[/]" if policy in comparison.best(metric) else f"{mean} "
    return mean if spread.sd is None else f"{mean}{between}[dim]±{spread.sd:,.{metric.digits}f}[/] "
