"""How a benchmark reports: a table for people, JSON for machines, and where and when it was measured."""

import json
import platform
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"

Row = dict[str, Any]


def percentiles(seconds: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile in microseconds."""
    p50, p99 = np.percentile(np.array(seconds) * 1e6, [50, 99])
    return round(float(p50), 1), round(float(p99), 1)


def timed(action: Callable[[], object]) -> float:
    """Return the seconds that ``action`` takes on the wall clock; medians of many calls are what is reported."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return b of the least-squares fit cost = a x size^b."""
    return round(float(np.polyfit(np.log(sizes), np.log(costs), 1)[0]), 2)


def publish(name: str, title: str, rows: Sequence[Row], remarks: Sequence[str] = ()) -> None:
    """Print ``rows`` as a table with ``remarks`` below it, and write them as JSON."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    table = Table(title=title, title_justify="left")
    for column in rows[0]:
        table.add_column(column, justify="left" if isinstance(rows[0][column], str) else "right")
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int | float) else str(value) for value in row.values()))
    console.print(table)
    for remark in remarks:
        console.print(f"  {remark}", highlight=False)
    machine = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "processor": platform.processor() or platform.machine(),
    }
    RESULTS.mkdir(exist_ok=True)
    result = {"benchmark": name, "title": title, "machine": machine, "rows": list(rows), "remarks": list(remarks)}
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
