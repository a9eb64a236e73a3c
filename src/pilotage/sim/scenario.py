"""Scenario files: a workload and the faults that meet it, in TOML; a seed makes a script of them.

::

    scenario.toml ─▶ Scenario ──seed──▶ Script: nodes, queues, what comes and what goes wrong, each with its time
"""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta, Struct

from pilotage.model.company import Company, Selector, Spread
from pilotage.model.errors import InvalidInput
from pilotage.model.events import GangDeclared, QueueDeclared
from pilotage.model.expression import Expression, Operator
from pilotage.model.gang import Gang
from pilotage.model.node import Node
from pilotage.model.queue import Queue
from pilotage.model.task import Task, TaskSpec
from pilotage.sim.traces.trace import FOREVER_S

Count = Annotated[int, Meta(ge=1, le=200_000)]
Amount = Annotated[int, Meta(ge=0, le=2**40)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Gap = Annotated[float, Meta(gt=0, le=1e9)]
Part = Annotated[float, Meta(ge=0, le=1)]
FaultKind = Literal["node-loss", "cordon", "relabel", "cancel"]


class NodeGroup(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``count`` equal nodes; a label with several values takes them in turn."""

    name: str
    count: Count
    cpu_milli: Amount
    memory_mib: Amount = 0
    gpus: Annotated[int, Meta(ge=0, le=1024)] = 0
    gpu_model: str = ""
    labels: dict[str, list[str]] = {}


class GangShape(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How large a gang is, and how many of it must be placed at once."""

    members: Count
    min_members: Count


class TaskGroup(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``count`` tasks (or gangs) of one kind, ``every_s`` apart on average; they run ``duration_s`` on average.

    ``every_s`` 0: all come at the start; no ``duration_s``: they stay. ``spread_over``: at most ``max_skew`` more in a
    domain of that label than in the emptiest; ``apart_over``: never two in one domain. Each carries label ``app`` with
    the group's name.
    """

    name: str
    count: Count
    cpu_milli: Amount
    every_s: Seconds = 0.0
    duration_s: Gap | None = None
    memory_mib: Amount = 0
    gpus: Annotated[int, Meta(ge=0, le=1024)] = 0
    gpu_milli: Annotated[int, Meta(ge=1, le=1000)] = 1000
    priority: int = 0
    queue: str = ""
    node_selector: dict[str, str] = {}
    spread_over: str = ""
    max_skew: Count = 1
    apart_over: str = ""
    gang: GangShape | None = None


class Fault(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something that goes wrong every ``every_s`` on average, with a node or (``cancel``) a task drawn at random.

    ``node-loss``: the node is gone; ``cordon``: it takes no more tasks; both end after ``back_after_s``. ``relabel``:
    its ``label`` takes another one of ``values``. ``cancel``: a task that waits or runs ends early.
    """

    kind: FaultKind
    every_s: Gap
    back_after_s: Gap = 60.0
    label: str = ""
    values: list[str] = []


class Binds(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The outside: how long a bind takes, and what part of them fails."""

    takes_s: Seconds = 0.0
    fail: Part = 0.0


class Scenario(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A workload and its faults. Faults stop after ``faults_until_s``, so that everything can come to rest.

    ``unplaced`` is how many tasks are expected never to get a place.
    """

    about: str
    nodes: Annotated[list[NodeGroup], Meta(min_length=1)]
    tasks: Annotated[list[TaskGroup], Meta(min_length=1)]
    faults: list[Fault] = []
    queues: list[Queue] = []
    binds: Binds = Binds()
    faults_until_s: Gap = 3600.0
    preempt: bool = False
    unplaced: Annotated[int, Meta(ge=0)] = 0


class Arrival(NamedTuple):
    """A task that comes, and how long it runs once placed."""

    now: float
    task: Task
    duration_s: float


class Mishap(NamedTuple):
    """A fault and the number in [0, 1) that draws its victim."""

    now: float
    fault: Fault
    draw: float


class Script(NamedTuple):
    """What a seed makes of a scenario: all that comes from outside, in the order of time."""

    nodes: list[Node]
    declared: list[QueueDeclared | GangDeclared]
    arrivals: list[Arrival]
    mishaps: list[Mishap]


def load_scenario(path: Path) -> Scenario:
    """Read a scenario file; raises `InvalidInput` naming file and field."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Scenario)
    except OSError as error:
        raise InvalidInput(str(path), f"can not be read: {error.strerror or error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(str(path), " ".join(str(error).split())) from None


def script_of(scenario: Scenario, seed: int) -> Script:
    """Draw times, durations and faults; equal arguments give equal scripts. Raises `InvalidInput` for bad amounts."""
    rng = np.random.Generator(np.random.PCG64(seed))
    declared: list[QueueDeclared | GangDeclared] = [QueueDeclared(queue) for queue in scenario.queues]
    arrivals: list[Arrival] = []
    for group in scenario.tasks:
        spec = _spec(group)
        size = group.gang.members if group.gang else 1
        now = 0.0
        for i in range(group.count):
            now += float(rng.exponential(group.every_s)) if group.every_s else 0.0
            gang = f"{group.name}-{i}" if group.gang else ""
            if group.gang:
                declared.append(GangDeclared(Gang(name=gang, min_members=group.gang.min_members)))
            # Of a gang all run equally long: one that loses its place after others ended would never be whole again.
            duration_s = FOREVER_S if group.duration_s is None else float(rng.exponential(group.duration_s))
            for j in range(size):
                name = f"{group.name}-{i}" if size == 1 else f"{group.name}-{i}-{j}"
                facts: dict[str, Any] = {"priority": group.priority, "queue": group.queue, "gang": gang}
                task = Task(id=name, spec=spec, arrival_s=now, labels={"app": group.name}, **facts)
                arrivals.append(Arrival(now, task, duration_s))
    mishaps = [mishap for fault in scenario.faults for mishap in _mishaps(fault, scenario.faults_until_s, rng)]
    return Script(
        _nodes(scenario), declared, sorted(arrivals, key=lambda a: a.now), sorted(mishaps, key=lambda m: m.now)
    )


def _mishaps(fault: Fault, until_s: float, rng: np.random.Generator) -> list[Mishap]:
    found, now = [], float(rng.exponential(fault.every_s))
    while now < until_s:
        found.append(Mishap(now, fault, float(rng.random())))
        now += float(rng.exponential(fault.every_s))
    return found


def _nodes(scenario: Scenario) -> list[Node]:
    return [
        Node(
            name=f"{group.name}-{i}",
            capacity={"cpu": group.cpu_milli, "memory": group.memory_mib << 20},
            gpus=group.gpus,
            gpu_model=group.gpu_model,
            labels={key: values[i % len(values)] for key, values in group.labels.items() if values},
        )
        for group in scenario.nodes
        for i in range(group.count)
    ]


def _spec(group: TaskGroup) -> TaskSpec:
    alike = Selector((Expression("app", Operator.IN, (group.name,)),))
    return TaskSpec(
        demand={"cpu": group.cpu_milli, "memory": group.memory_mib << 20},
        gpus=group.gpus,
        gpu_share=group.gpu_milli if group.gpus else 1000,
        node_selector=group.node_selector,
        spread=(Spread(key=group.spread_over, selector=alike, max_skew=group.max_skew),) if group.spread_over else (),
        no_company=(Company(group.apart_over, alike),) if group.apart_over else (),
    )
