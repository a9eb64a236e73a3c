"""``pilotage instance``: a task instance to run tasks on, or to try a scheduler with."""

from typing import Annotated

import typer

EPILOG = """
[bold]Examples[/]

[cyan]pilotage instance --model llama --scheduler http://127.0.0.1:8102[/]
One slot, 100 ms a task, on a free port; it registers itself.

[cyan]pilotage instance --model llama --speed 2.5 --slots 4 --noise 0.15 --failure-rate 0.01[/]
Faster, four at once, run times that vary, one task in a hundred fails.

[cyan]pilotage instance --model upper --function my_model.py:run[/]
Your own function, [cyan]def run(input, metadata): return {...}[/], in a thread per slot.

A task says how long its simulated run takes by [cyan]run_ms[/] in its input (or [cyan]server_time_cost[/] in its
metadata), in milliseconds on an instance of speed 1.
"""


def instance(
    model: Annotated[str, typer.Option(help="The model that runs here.")] = "demo",
    scheduler: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="Scheduler to register with (may be given again).")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; schedulers must reach it.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: a free one.")] = 0,
    slots: Annotated[int, typer.Option(min=1, max=1024, help="Tasks that run at once.")] = 1,
    speed: Annotated[float, typer.Option(min=0.001, max=1000, help="Simulated runs are so many times faster.")] = 1.0,
    run_ms: Annotated[
        float, typer.Option(min=0, max=1e9, help="Simulated run of a task that does not say it itself.")
    ] = 100.0,
    noise: Annotated[
        float, typer.Option(min=0, max=3, help="Run times vary by a log-normal factor of this sigma.")
    ] = 0,
    failure_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of simulated runs that fail.")] = 0,
    queue_limit: Annotated[int, typer.Option(min=1, help="Tasks that may wait or run; more are refused.")] = 100_000,
    platform: Annotated[str, typer.Option(help="Name of its hardware: predictions are kept apart by it.")] = "",
    seed: Annotated[int, typer.Option(help="Of noise and failures.")] = 0,
    function: Annotated[
        str | None, typer.Option(metavar="FILE[:OBJECT]", help="Run this function instead of simulating.")
    ] = None,
    token: Annotated[
        str, typer.Option(envvar="PILOTAGE_INSTANCE_TOKEN", help="Token for the scheduler.", show_envvar=True)
    ] = "",
    log_level: Annotated[str, typer.Option(metavar="debug|info|warning|error", help="What is logged.")] = "info",
) -> None:
    """Run tasks of one model: simulated ones, or your own function.

    Stops on Ctrl-C or SIGTERM: what runs may end (10 s), results are delivered, the schedulers are told.
    """
    from pilotage.api.http.server import Listen
    from pilotage.app.logs import LEVELS, set_up_logs
    from pilotage.app.tasks.instance import load_function, serve_instance
    from pilotage.app.tasks.role import run_until_signal
    from pilotage.model.errors import InvalidInput
    from pilotage.service.worker import WorkerSettings

    if log_level not in LEVELS:
        raise InvalidInput("log-level", f"must be one of {', '.join(LEVELS)}")
    set_up_logs(log_level)
    settings = WorkerSettings(
        model=model,
        slots=slots,
        speed=speed,
        run_ms=run_ms,
        noise=noise,
        failure_rate=failure_rate,
        queue_limit=queue_limit,
        seed=seed,
        platform=platform,
    )
    loaded = load_function(function) if function else None

    def ready(url: str) -> None:
        typer.echo(f"Instance of {model} at {url}")

    run_until_signal(
        lambda stop: serve_instance(
            settings,
            Listen(host, port),
            stop,
            schedulers=tuple(scheduler or ()),
            token=token,
            function=loaded,
            ready=ready,
        )
    )
