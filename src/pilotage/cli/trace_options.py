"""Options that say which trace is played, and how; several commands share them."""

from typing import Annotated, NamedTuple

import typer

Form = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="openb|pilotage|azure-vm|swf|gavel",
        help="Format of a file (simulate: also azure-llm); else its name or its header tells.",
    ),
]
Nodes = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|NxSHAPE",
        help="Nodes for a file of tasks: their file, 'openb' for the bundled ones, or 40xcpu=64,memory_gib=448,gpus=8.",
    ),
]
FillRatio = Annotated[
    float | None,
    typer.Option(metavar="R", help="Draw tasks until they ask for R times the cluster's GPUs (traces without times)."),
]
SpeedUp = Annotated[
    float, typer.Option(metavar="R", help="Let tasks arrive R times as fast; durations stay (traces with times).")
]
Repeat = Annotated[int, typer.Option(metavar="N", help="Play the tasks N times, one round after the other.")]
Drop = Annotated[bool, typer.Option("--drop", help="Drop what fits nowhere, do not let it wait (traces with times).")]


class Played(NamedTuple):
    """What was said about how a trace is played."""

    form: str | None
    nodes: str | None
    fill_ratio: float | None = None
    speed_up: float = 1.0
    repeat: int = 1
    drop: bool = False
