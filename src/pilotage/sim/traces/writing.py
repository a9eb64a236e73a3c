"""A trace written in our own form: two CSV files that a spreadsheet can read."""

import csv
import gzip
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from pilotage.model.amounts import MAX_AMOUNT, WHOLE_GPU
from pilotage.model.errors import InvalidInput
from pilotage.model.node import Node, Taint
from pilotage.model.task import Task
from pilotage.sim.traces.trace import FOREVER_S, Trace

TASKS = ("id", "arrival_s", "duration_s", "cpu_milli", "memory_mib", "gpus", "gpu_milli", "gpu_models", "priority",
         "node_selector", "user", "queue")  # fmt: skip
NODES = ("name", "cpu_milli", "memory_mib", "gpus", "gpu_model", "max_tasks", "labels", "taints")
_TIMES = ("arrival_s", "duration_s")
_MIB = 2**20


def write_trace(trace: Trace, tasks_file: str, nodes_file: str) -> None:
    """Write the tasks and the nodes of a trace (``.gz``: compressed); columns that say nothing are left out.

    Memory is rounded up to whole MiB. Raises `InvalidInput` where a file can not be written.
    """
    tasks = [_task(task, duration) for task, duration in zip(trace.tasks, trace.durations_s, strict=True)]
    always = ("id", "cpu_milli", *(_TIMES if trace.timed else ()))
    never = () if trace.timed else _TIMES
    _write(tasks_file, TASKS, tasks, always, never)
    _write(nodes_file, NODES, [_node(node) for node in trace.nodes], ("name", "cpu_milli"), ())


def _task(task: Task, duration_s: float) -> dict[str, str]:
    spec = task.spec
    return {
        "id": task.id,
        "arrival_s": _seconds(task.arrival_s),
        "duration_s": "" if duration_s == FOREVER_S else _seconds(duration_s),
        "cpu_milli": str(spec.demand.get("cpu", 0)),
        "memory_mib": _some(-(-spec.demand.get("memory", 0) // _MIB)),
        "gpus": _some(spec.gpus),
        "gpu_milli": "" if spec.gpu_share == WHOLE_GPU else str(spec.gpu_share),
        "gpu_models": "|".join(spec.gpu_models),
        "priority": _some(task.priority),
        "node_selector": _pairs(spec.node_selector.items()),
        "user": task.labels.get("user", ""),
        "queue": task.queue,
    }


def _node(node: Node) -> dict[str, str]:
    most = node.capacity.get("tasks", MAX_AMOUNT)
    return {
        "name": node.name,
        "cpu_milli": str(node.capacity.get("cpu", 0)),
        "memory_mib": _some(node.capacity.get("memory", 0) // _MIB),
        "gpus": _some(node.gpus),
        "gpu_model": node.gpu_model,
        "max_tasks": "" if most == MAX_AMOUNT else str(most),
        "labels": _pairs(node.labels.items()),
        "taints": ";".join(map(_taint, node.taints)),
    }


def _seconds(seconds: float) -> str:
    """As short as it reads back exactly."""
    short = f"{seconds:.15g}"
    return short if float(short) == seconds else repr(seconds)


def _some(number: int) -> str:
    return str(number) if number else ""


def _pairs(items: Iterable[tuple[str, str]]) -> str:
    return ";".join(f"{key}={value}" for key, value in items)


def _taint(taint: Taint) -> str:
    return f"{taint.key}={taint.value}:{taint.effect}" if taint.value else f"{taint.key}:{taint.effect}"


def _write(
    file: str, columns: Sequence[str], rows: Sequence[dict[str, str]], always: Sequence[str], never: Sequence[str]
) -> None:
    used = [c for c in columns if c in always or (c not in never and any(row[c] for row in rows))]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(used)
    writer.writerows([row[column] for column in used] for row in rows)
    data = text.getvalue().encode()
    try:
        # No time in the compressed file: equal traces give equal bytes.
        Path(file).write_bytes(gzip.compress(data, mtime=0) if file.endswith(".gz") else data)
    except OSError as error:
        raise InvalidInput(file, f"can not be written: {error.strerror or error}") from None
