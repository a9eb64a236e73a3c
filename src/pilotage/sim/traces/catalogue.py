"""Where traces come from: the bundled ones by name, any other by path."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from pilotage.model.errors import InvalidInput
from pilotage.model.node import Node
from pilotage.sim.traces import azure_vm, fleet, gavel, openb, pilotage, swf
from pilotage.sim.traces.lines import Lines
from pilotage.sim.traces.table import Table
from pilotage.sim.traces.trace import TaskList, Trace

Format = Literal["openb", "pilotage", "azure-vm", "swf", "gavel"]
FORMATS: tuple[Format, ...] = ("openb", "pilotage", "azure-vm", "swf", "gavel")

_DATA = Path(__file__).parent.parent / "data"
_OPENB = _DATA / "openb"
_PHILLY = _DATA / "gavel-philly"
OPENB_NODES = _OPENB / "openb_node_list_gpu_node.csv.gz"


class Bundle(NamedTuple):
    """A trace that comes with Pilotage. ``times``: an openb list whose own times are played."""

    path: Path
    form: Format
    times: bool = False


BUNDLED: dict[str, Bundle] = {
    "openb": Bundle(_OPENB / "openb_pod_list_default.csv.gz", "openb"),
    "openb:cpu200": Bundle(_OPENB / "openb_pod_list_cpu200.csv.gz", "openb"),
    "openb:gpushare40": Bundle(_OPENB / "openb_pod_list_gpushare40.csv.gz", "openb"),
    "openb:gpuspec25": Bundle(_OPENB / "openb_pod_list_gpuspec25.csv.gz", "openb"),
    "openb:multigpu20": Bundle(_OPENB / "openb_pod_list_multigpu20.csv.gz", "openb"),
    "openb:times": Bundle(_OPENB / "openb_pod_list_default.csv.gz", "openb", times=True),
    "azure-vm": Bundle(_DATA / "azure-vm-2017" / "v1.dev.txt.gz", "azure-vm"),
    "gavel:0e4a51": Bundle(_PHILLY / "msr-seed0-0e4a51.trace.gz", "gavel"),
    "gavel:103959": Bundle(_PHILLY / "msr-seed0-103959.trace.gz", "gavel"),
    "gavel:2869ce": Bundle(_PHILLY / "msr-seed0-2869ce.trace.gz", "gavel"),
    "gavel:e13805": Bundle(_PHILLY / "msr-seed0-e13805.trace.gz", "gavel"),
}
"""Traces that come with Pilotage, by the name they go by on the command line."""


class _TableForm(NamedTuple):
    """A format of CSV tables: which column tells a task list and a node list of it, and how each is read."""

    task_mark: str
    node_mark: str
    nodes: Callable[[Table], list[Node]]


_TABLES: dict[Format, _TableForm] = {
    "openb": _TableForm("name", "sn", openb.read_nodes),
    "pilotage": _TableForm("id", "name", pilotage.read_nodes),
}
_ENDINGS: dict[str, Format] = {".swf": "swf", ".trace": "gavel", ".txt": "azure-vm"}


def to_format(text: str | None) -> Format | None:
    """Return the format called ``text``; raises `InvalidInput` naming the known ones."""
    for form in FORMATS:
        if text == form:
            return form
    if text is None:
        return None
    raise InvalidInput("--format", f"must be one of {', '.join(FORMATS)}, got {text!r}")


def load_trace(trace: str, *, form: Format | None = None, nodes: str | None = None) -> Trace:
    """Return the trace called ``trace``: a bundled name, or the path of a task list.

    ``form`` is the format of a list given by path; None tells it by the file's name, of a ``.csv`` by the header.
    ``nodes`` is the path of a node list, ``openb`` for the bundled one, or a description (`fleet.asked_for`). Without
    it a list in the openb format gets the bundled nodes, a log in SWF the machine it names, and VMs and Gavel's jobs as
    many servers as their peak needs (`fleet.sized`). Raises `InvalidInput` naming file, line and column.
    """
    bundle = BUNDLED.get(trace)
    path = bundle.path if bundle else _path_of(trace)
    if bundle and form not in (None, bundle.form):
        raise InvalidInput("--format", f"the bundled trace {trace!r} is in the {bundle.form} format, not in {form!r}")
    form = bundle.form if bundle else form or _form_of_name(path)
    if form is None or form in _TABLES:
        return _from_table(trace, path, form, nodes, times=bundle is not None and bundle.times)
    with Lines(path) as lines:
        if form == "swf":
            listed, machine = swf.read(lines)
            given = _given(nodes, trace) if nodes is not None or not machine else machine
        else:
            listed = azure_vm.read(lines) if form == "azure-vm" else gavel.read(lines)
            shape = (64, 448, 0, "") if form == "azure-vm" else (64, 512, gavel.MOST_TOGETHER, "V100")
            given = _given(nodes, trace) if nodes is not None else fleet.sized(listed.tasks, listed.durations_s, *shape)
    return _trace(trace, given, listed, timed=True)


def _trace(name: str, nodes: list[Node], listed: TaskList, *, timed: bool) -> Trace:
    return Trace(name, tuple(nodes), tuple(listed.tasks), tuple(listed.durations_s), timed, listed.workload)


def _from_table(trace: str, path: Path, form: Format | None, nodes: str | None, *, times: bool) -> Trace:
    with Table(path) as table:
        form = form or _form_of_header(table)
        given = _given("openb" if nodes is None and form == "openb" else nodes, trace)
        models = frozenset(node.gpu_model for node in given if node.gpus and node.gpu_model)
        if form == "openb":
            return _trace(trace, given, openb.read_tasks(table, models, times=times), timed=times)
        return _trace(trace, given, pilotage.read_tasks(table, models), timed=pilotage.has_times(table))


def _path_of(trace: str) -> Path:
    path = Path(trace)
    if not trace or not (path.exists() or path.suffix in (".csv", ".gz", *_ENDINGS) or "/" in trace):
        known = ", ".join(BUNDLED)
        raise InvalidInput("TRACE", f"no trace is called {trace!r}; known: {known}, or the path of a file")
    return path


def _form_of_name(path: Path) -> Format | None:
    return _ENDINGS.get(Path(path.name.removesuffix(".gz")).suffix)


def _form_of_header(table: Table) -> Format:
    for form, reader in _TABLES.items():
        if reader.task_mark in table.columns:
            return form
    raise InvalidInput(f"{table.shown}:1", "the header has neither 'name' (openb) nor 'id' (pilotage); see --format")


def _given(nodes: str | None, trace: str) -> list[Node]:
    if nodes is None:
        raise InvalidInput(
            "--nodes", f"which nodes is {trace} to run on? Give their file, 'openb', or 40xcpu=64,memory_gib=448"
        )
    fleet_nodes = fleet.asked_for(nodes)
    if fleet_nodes is not None:
        return fleet_nodes
    with Table(OPENB_NODES if nodes == "openb" else Path(nodes)) as table:
        for reader in _TABLES.values():
            if reader.node_mark in table.columns:
                return reader.nodes(table)
        raise InvalidInput(f"{table.shown}:1", "the header has neither 'sn' (openb) nor 'name' (pilotage)")
