"""``pilotage simulate FILE.toml``: a workload and its faults."""

from typing import TYPE_CHECKING

import typer

from pilotage.model.errors import InvalidInput

if TYPE_CHECKING:
    from pilotage.app.config import Settings
    from pilotage.sim.scenario_run import ScenarioRun

_COLUMNS = (
    ("seed", "seed"),
    ("arrived", "tasks"),
    ("placed", "placed"),
    ("rejections", "refusals"),
    ("displaced", "displa-\nced"),
    ("evicted", "evicted"),
    ("bind_failures", "failed\nbinds"),
    ("unplaced", "never\nplaced"),
)


def is_scenario(trace: str) -> bool:
    """Whether the argument names a scenario file."""
    return trace.endswith(".toml")


def refuse(flags: dict[str, object]) -> None:
    """Raise `InvalidInput` for a flag that has no meaning for a scenario."""
    for flag, value in flags.items():
        if value:
            raise InvalidInput(flag, "is for traces; a scenario file says all that is played")


def simulate(
    settings: "Settings",
    path: str,
    policies: tuple[str, ...],
    seeds: int | None,
    workers: int | None,
    record: str | None,
    *,
    as_json: bool,
) -> None:
    """Run a scenario and print what came of it, with seeds and commit."""
    import msgspec

    from pilotage.app.records import record_plan
    from pilotage.app.scenarios import ScenarioPlan, commit, run_scenario
    from pilotage.cli.progress import progress_of
    from pilotage.engine.waiting import Backoff

    plan = ScenarioPlan(
        path=path,
        policies=policies,
        seeds=settings.simulate.seeds if seeds is None else seeds,
        workers=(settings.simulate.workers or None) if workers is None else workers,
        cache_bytes=settings.engine.cache_mib * 2**20,
        backoff=Backoff(settings.engine.backoff_initial_s, settings.engine.backoff_longest_s),
        record=None if record is None else record_plan(record, settings.record),
    )
    with progress_of("simulating", "runs") as progress:
        runs = run_scenario(plan, progress)
    if as_json:
        typer.echo(msgspec.json.encode({"commit": commit(), "runs": runs}).decode())
    else:
        _print(runs, commit())


def _print(runs: "list[ScenarioRun]", commit: str) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    seeds = sorted({run.seed for run in runs})
    console.print(f"{runs[0].scenario}", markup=False)
    span = f"seeds {seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"seed {seeds[0]}"
    console.print(f"{span}, pilotage {commit}", markup=False)
    console.print()
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    table.add_column("policy", overflow="fold", style="bold", min_width=10)
    for _, title in _COLUMNS:
        table.add_column(title, justify="right")
    table.add_column("mean\nwait", justify="right")
    for run in runs:
        cells = [f"{getattr(run, field):,}" for field, _ in _COLUMNS]
        table.add_row(run.policy, *cells, f"{run.waiting_mean_s:,.1f} s")
    console.print(table)
