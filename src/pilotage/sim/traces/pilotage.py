"""Our own trace format: two CSV files, one of tasks and one of nodes, that anybody can write with a spreadsheet.

Tasks: ``id,cpu_milli`` and, where wanted, ``arrival_s,duration_s,memory_mib,gpus,gpu_milli,gpu_models,priority,
node_selector,user,queue``. Nodes: ``name,cpu_milli`` and ``memory_mib,gpus,gpu_model,max_tasks,labels,taints``. An
empty cell means the default; ``user`` says whose task it is, ``queue`` where it waits. A file with ``arrival_s`` or
``duration_s`` among its columns is timed. ``gpu_milli`` is per GPU (default 1000, a whole one); an empty ``duration_s``
means that the task never leaves; models are joined by ``|``, labels and selectors are ``key=value;key=value``, taints
``key=value:NoSchedule;key:NoExecute``.
"""

from typing import Annotated

from immutabledict import immutabledict
from msgspec import Meta, Struct

from pilotage.model.amounts import WHOLE_GPU
from pilotage.model.errors import InvalidInput
from pilotage.model.node import Node, Taint, TaintEffect
from pilotage.model.task import Task, TaskSpec
from pilotage.model.workload import head_workload
from pilotage.sim.traces.census import Census
from pilotage.sim.traces.openb import Gpus, Mib, Milli, Name
from pilotage.sim.traces.table import Table
from pilotage.sim.traces.trace import FOREVER_S, TaskList

Seconds = Annotated[float, Meta(ge=0, le=1e12)]


class TaskRow(Struct):
    """One line of a task list."""

    id: Name
    cpu_milli: Milli
    arrival_s: Seconds = 0.0
    duration_s: Seconds | None = None
    memory_mib: Mib = 0
    gpus: Gpus = 0
    gpu_milli: Annotated[int, Meta(ge=1, le=WHOLE_GPU)] = WHOLE_GPU
    gpu_models: str = ""
    priority: Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)] = 0
    node_selector: str = ""
    user: Annotated[str, Meta(max_length=500)] = ""
    queue: Annotated[str, Meta(max_length=512)] = ""


class NodeRow(Struct):
    """One line of a node list."""

    name: Name
    cpu_milli: Milli
    memory_mib: Mib = 0
    gpus: Gpus = 0
    gpu_model: str = ""
    max_tasks: Milli | None = None
    labels: str = ""
    taints: str = ""


_TASK_COLUMNS = {"gpu_share": "gpu_milli"}
_NODE_COLUMNS = {"capacity.tasks": "max_tasks"}


def read_nodes(table: Table) -> list[Node]:
    """Return the nodes of a node list, in the order of the file."""
    nodes, census = [], Census(table, "name")
    for row in table.rows(NodeRow, extra=False):
        census.enter(row.name)
        capacity = {"cpu": row.cpu_milli, "memory": row.memory_mib << 20}
        if row.max_tasks is not None:
            capacity["tasks"] = row.max_tasks
        labels = _pairs(table, "labels", row.labels)
        taints = tuple(_taint(table, text) for text in row.taints.split(";") if text)
        with table.blaming(_NODE_COLUMNS):
            nodes.append(
                Node(
                    name=row.name,
                    capacity=capacity,
                    gpus=row.gpus,
                    gpu_model=row.gpu_model,
                    labels=labels,
                    taints=taints,
                )
            )
    census.close("nodes")
    return nodes


def read_tasks(table: Table, models: frozenset[str]) -> TaskList:
    """Return the tasks of a task list and how long each runs, in the order of the file.

    ``models`` are the GPU models that nodes have; a task that names another one is bad input.
    """
    tasks, durations, census = [], [], Census(table, "id")
    specs: dict[tuple[int, int, int, int, str, str], TaskSpec] = {}
    users: dict[str, immutabledict[str, str]] = {}
    for row in table.rows(TaskRow, extra=False):
        census.enter(row.id)
        key = (row.cpu_milli, row.memory_mib, row.gpus, row.gpu_milli, row.gpu_models, row.node_selector)
        spec = specs.get(key)
        if spec is None:
            spec = specs[key] = _spec(table, row)
            census.check_models("gpu_models", spec.gpu_models, models)
        labels = users.setdefault(row.user, immutabledict(user=row.user)) if row.user else immutabledict()
        with table.blaming(_TASK_COLUMNS):
            tasks.append(
                Task(
                    id=row.id, spec=spec, priority=row.priority, arrival_s=row.arrival_s, labels=labels, queue=row.queue
                )
            )
        durations.append(FOREVER_S if row.duration_s is None else row.duration_s)
    census.close("tasks")
    return TaskList(tasks, durations, head_workload(task.spec for task in tasks))


def has_times(table: Table) -> bool:
    """Whether a task list says when tasks come or how long they stay."""
    return "arrival_s" in table.columns or "duration_s" in table.columns


def _spec(table: Table, row: TaskRow) -> TaskSpec:
    selector = _pairs(table, "node_selector", row.node_selector)
    with table.blaming(_TASK_COLUMNS):
        return TaskSpec(
            demand={"cpu": row.cpu_milli, "memory": row.memory_mib << 20},
            gpus=row.gpus,
            gpu_share=row.gpu_milli,
            gpu_models=tuple(model for model in row.gpu_models.split("|") if model),
            node_selector=selector,
        )


def _pairs(table: Table, column: str, text: str) -> dict[str, str]:
    pairs = {}
    for part in text.split(";"):
        key, equals, value = part.partition("=")
        if part and not (key and equals):
            raise InvalidInput(table.where(column), f"must be key=value;key=value, got {part[:80]!r}")
        if part:
            pairs[key.strip()] = value.strip()
    return pairs


def _taint(table: Table, text: str) -> Taint:
    what, _, effect = text.strip().partition(":")
    key, _, value = what.partition("=")
    if not key or effect not in tuple(TaintEffect):
        raise InvalidInput(
            table.where("taints"), f"must be key=value:EFFECT with {', '.join(TaintEffect)}, got {text[:80]!r}"
        )
    return Taint(key, value, TaintEffect(effect))
