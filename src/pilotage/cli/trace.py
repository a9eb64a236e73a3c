"""``pilotage trace``: what to do with a trace but play it."""

from typing import Annotated

import typer

from pilotage.cli.trace_options import Form, Nodes, Repeat, SpeedUp

EPILOG = """
[bold]Examples[/]

[cyan]pilotage trace convert log.swf tasks.csv nodes.csv[/]
A log of the Parallel Workloads Archive in our own form.

[cyan]pilotage trace convert azure-vm tasks.csv.gz nodes.csv --nodes 900xcpu=64,memory_gib=448[/]
Azure's VMs of 2017, on servers of your choice.

[cyan]pilotage simulate tasks.csv.gz --nodes nodes.csv --policy bestfit[/]
And play what was written.
"""

app = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help="Convert traces.")


@app.command("convert", epilog=EPILOG)
def convert(
    trace: Annotated[str, typer.Argument(metavar="TRACE", help="As for pilotage simulate.")],
    tasks: Annotated[str, typer.Argument(metavar="TASKS.csv", help="Where the tasks go (.gz: compressed).")],
    nodes_to: Annotated[str, typer.Argument(metavar="NODES.csv", help="Where the nodes go (.gz: compressed).")],
    form: Form = None,
    nodes: Nodes = None,
    speed_up: SpeedUp = 1.0,
    repeat: Repeat = 1,
) -> None:
    """Write any trace that Pilotage reads in its own form: two CSV files, to look at, change and play again."""
    from pilotage.sim.traces.catalogue import load_trace, to_format
    from pilotage.sim.traces.reshape import reshaped
    from pilotage.sim.traces.writing import write_trace

    loaded = reshaped(load_trace(trace, form=to_format(form), nodes=nodes), speed_up, repeat)
    write_trace(loaded, tasks, nodes_to)
    times = "with times" if loaded.timed else "without times"
    typer.echo(f"{len(loaded.tasks):,} tasks {times} in {tasks}, {len(loaded.nodes):,} nodes in {nodes_to}")


@app.callback()
def _group() -> None:
    """Keep `convert` a command of its own, though it is the only one."""
