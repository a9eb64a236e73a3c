"""Where traces come from: the bundled ones by name, any other by path."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from pilotage.model.errors import InvalidInput
from pilotage.model.node import Node
from pilotage.sim.traces import openb, pilotage
from pilotage.sim.traces.table import Table
from pilotage.sim.traces.trace import TaskList, Trace

Format = Literal["openb", "pilotage"]
FORMATS: tuple[Format, ...] = ("openb", "pilotage")

_OPENB = Path(__file__).parent.parent / "data" / "openb"
OPENB_NODES = _OPENB / "openb_node_list_gpu_node.csv.gz"

BUNDLED: dict[str, Path] = {
    "openb": _OPENB / "openb_pod_list_default.csv.gz",
    "openb:cpu200": _OPENB / "openb_pod_list_cpu200.csv.gz",
    "openb:gpushare40": _OPENB / "openb_pod_list_gpushare40.csv.gz",
    "openb:gpuspec25": _OPENB / "openb_pod_list_gpuspec25.csv.gz",
    "openb:multigpu20": _OPENB / "openb_pod_list_multigpu20.csv.gz",
}
"""Pod lists that come with Pilotage, by the name they go by on the command line."""


class _Reader(NamedTuple):
    """A format: which column tells a task list and a node list of it, and how each is read."""

    task_mark: str
    node_mark: str
    tasks: Callable[[Table, frozenset[str]], TaskList]
    nodes: Callable[[Table], list[Node]]


_READERS: dict[Format, _Reader] = {
    "openb": _Reader("name", "sn", openb.read_tasks, openb.read_nodes),
    "pilotage": _Reader("id", "name", pilotage.read_tasks, pilotage.read_nodes),
}


def to_format(text: str | None) -> Format | None:
    """Return the format called ``text``; raises `InvalidInput` naming the known ones."""
    for form in FORMATS:
        if text == form:
            return form
    if text is None:
        return None
    raise InvalidInput("--format", f"must be one of {', '.join(FORMATS)}, got {text!r}")


def load_trace(trace: str, *, form: Format | None = None, nodes: str | None = None) -> Trace:
    """Return the trace called ``trace``: a bundled name, or the path of a task list (``.csv``, ``.csv.gz``).

    ``form`` is the format of a task list given by path; None tells it by the header. ``nodes`` is the path of a node
    list of either format, or ``openb`` for the bundled one, which is also what a task list in the openb format gets
    by default. Raises `InvalidInput` naming file, line and column.
    """
    path = _path_of(trace)
    if trace in BUNDLED and form not in (None, "openb"):
        raise InvalidInput("--format", f"the bundled trace {trace!r} is in the openb format, not in {form!r}")
    with Table(path) as table:
        form = "openb" if trace in BUNDLED else form or _form_of(table)
        if nodes is None and form != "openb":
            raise InvalidInput("--nodes", f"which nodes is {trace} to run on? Give their file, or 'openb'")
        node_list = _read_nodes(OPENB_NODES if nodes in (None, "openb") else Path(nodes))
        models = frozenset(node.gpu_model for node in node_list if node.gpus and node.gpu_model)
        tasks, durations, workload = _READERS[form].tasks(table, models)
        timed = form == "pilotage" and pilotage.has_times(table)
    return Trace(trace, tuple(node_list), tuple(tasks), tuple(durations), timed, workload)


def _path_of(trace: str) -> Path:
    if trace in BUNDLED:
        return BUNDLED[trace]
    path = Path(trace)
    if not trace or not (path.exists() or trace.endswith((".csv", ".gz")) or "/" in trace):
        known = ", ".join(BUNDLED)
        raise InvalidInput("TRACE", f"no trace is called {trace!r}; known: {known}, or the path of a .csv or .csv.gz")
    return path


def _form_of(table: Table) -> Format:
    for form, reader in _READERS.items():
        if reader.task_mark in table.columns:
            return form
    raise InvalidInput(f"{table.shown}:1", "the header has neither 'name' (openb) nor 'id' (pilotage); see --format")


def _read_nodes(path: Path) -> list[Node]:
    with Table(path) as table:
        for reader in _READERS.values():
            if reader.node_mark in table.columns:
                return reader.nodes(table)
        raise InvalidInput(f"{table.shown}:1", "the header has neither 'sn' (openb) nor 'name' (pilotage)")
