"""The openb format: pods and nodes as Weng et al. published them (USENIX ATC'23).

Pods: ``name,cpu_milli,memory_mib,num_gpu,gpu_milli[,gpu_spec]`` and columns that are passed over; ``gpu_milli`` is per
GPU, ``gpu_spec`` names the models a pod accepts, joined by ``|`` (empty: any). ``creation_time``, ``scheduled_time``
and ``deletion_time`` (seconds) are read where they are asked for: the published experiments ignore them.

Nodes: ``sn,cpu_milli,memory_mib,gpu,model``.
"""

from typing import Annotated

from msgspec import Meta, Struct

from pilotage.model.amounts import MAX_AMOUNT, MAX_GPUS, WHOLE_GPU
from pilotage.model.errors import InvalidInput
from pilotage.model.node import Node
from pilotage.model.task import Task, TaskSpec
from pilotage.model.workload import Workload
from pilotage.sim.traces.census import Census
from pilotage.sim.traces.table import Table
from pilotage.sim.traces.trace import FOREVER_S, TaskList

PODS_PER_NODE = 1001
"""Most pods on one node in the published experiments."""

HEAD = 0.95
"""Part of the pods that the target workload of the published experiments covers."""

Name = Annotated[str, Meta(min_length=1, max_length=500)]
Milli = Annotated[int, Meta(ge=0, le=MAX_AMOUNT)]
Mib = Annotated[int, Meta(ge=0, le=MAX_AMOUNT >> 20)]
Gpus = Annotated[int, Meta(ge=0, le=MAX_GPUS)]


class PodRow(Struct):
    """One line of a pod list."""

    name: Name
    cpu_milli: Milli
    memory_mib: Mib
    num_gpu: Gpus
    gpu_milli: Annotated[int, Meta(ge=0, le=WHOLE_GPU)]
    gpu_spec: str = ""
    creation_time: str = ""
    scheduled_time: str = ""
    deletion_time: str = ""


class NodeRow(Struct):
    """One line of a node list."""

    sn: Name
    cpu_milli: Milli
    memory_mib: Mib
    gpu: Gpus
    model: str = ""


_POD_COLUMNS = {"id": "name", "gpus": "num_gpu", "gpu_share": "gpu_milli", "gpu_models": "gpu_spec"}
_NODE_COLUMNS = {"name": "sn", "gpus": "gpu", "gpu_model": "model"}


def read_nodes(table: Table) -> list[Node]:
    """Return the nodes of a node list, in the order of the file."""
    nodes, census = [], Census(table, "sn")
    for row in table.rows(NodeRow, extra=True):
        census.enter(row.sn)
        with table.blaming(_NODE_COLUMNS):
            capacity = {"cpu": row.cpu_milli, "memory": row.memory_mib << 20, "tasks": PODS_PER_NODE}
            nodes.append(Node(name=row.sn, capacity=capacity, gpus=row.gpu, gpu_model=row.model))
    census.close("nodes")
    return nodes


def read_tasks(table: Table, models: frozenset[str], *, times: bool = False) -> TaskList:
    """Return the pods of a pod list as tasks, in the order of the file.

    ``models`` are the GPU models that nodes have; a pod that names another one is bad input. None leaves, unless the
    list's own ``times`` are asked for: a pod then arrives at its creation, and runs as long as it did there (from when
    it was scheduled, or created where that is not known, to its deletion).
    """
    tasks: list[Task] = []
    durations: list[float] = []
    census = Census(table, "name")
    specs: dict[tuple[int, int, int, int, str], TaskSpec] = {}
    groups: dict[tuple[int, int, int, str], int] = {}
    for row in table.rows(PodRow, extra=True):
        census.enter(row.name)
        key = (row.cpu_milli, row.memory_mib, row.num_gpu, row.gpu_milli, row.gpu_spec)
        spec = specs.get(key)
        if spec is None:
            spec = specs[key] = _spec(table, row)
            census.check_models("gpu_spec", spec.gpu_models, models)
        arrival_s, duration_s = _times(table, row) if times else (0.0, FOREVER_S)
        with table.blaming(_POD_COLUMNS):
            tasks.append(Task(id=row.name, spec=spec, arrival_s=arrival_s))
        durations.append(duration_s)
        group = (row.cpu_milli, row.num_gpu, row.gpu_milli, row.gpu_spec)
        groups[group] = groups.get(group, 0) + 1
    census.close("pods")
    return TaskList(tasks, durations, _target(groups, len(tasks)))


def _times(table: Table, row: PodRow) -> tuple[float, float]:
    for column in ("creation_time", "deletion_time"):
        if not getattr(row, column):
            raise InvalidInput(table.where(column), "is missing, and the list's own times are asked for")
    created_s = table.number(row.creation_time, "creation_time", most=1e12)
    deleted_s = table.number(row.deletion_time, "deletion_time", most=1e12)
    started_s = table.number(row.scheduled_time or row.creation_time, "scheduled_time", most=1e12)
    return created_s, max(0.0, deleted_s - started_s)


def _target(groups: dict[tuple[int, int, int, str], int], tasks: int) -> Workload:
    """Return the target workload of the published experiments: the commonest groups, up to 95 % of the pods.

    They group by the text of ``gpu_spec``, so two spellings of one set of models (some lists name a model twice) are
    two groups, and a rare spelling is cut off. `head_workload` would count them as one.
    """
    head, covered = [], 0
    for (cpu, gpus, share, models), count in sorted(groups.items(), key=lambda item: -item[1]):
        if covered >= HEAD * tasks:
            break
        spec = TaskSpec(demand={"cpu": cpu}, gpus=gpus, gpu_share=share, gpu_models=_models(models))
        head.append((spec, count))
        covered += count
    return Workload(tuple(head))


def _models(text: str) -> tuple[str, ...]:
    return tuple(model for model in text.split("|") if model)


def _spec(table: Table, row: PodRow) -> TaskSpec:
    if row.gpu_milli and not row.num_gpu:
        raise InvalidInput(table.where("gpu_milli"), f"must be 0 when num_gpu is 0, got {row.gpu_milli}")
    with table.blaming(_POD_COLUMNS):
        return TaskSpec(
            demand={"cpu": row.cpu_milli, "memory": row.memory_mib << 20},
            gpus=row.num_gpu,
            gpu_share=row.gpu_milli,
            gpu_models=_models(row.gpu_spec),
        )
