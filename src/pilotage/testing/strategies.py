"""Strategies for everything that a scheduler is told. Values are few and small, so that they meet."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from pilotage.model.events import (
    Event,
    NodeAdded,
    NodeRemoved,
    NodeUpdated,
    TaskFinished,
    TaskSubmitted,
    TaskUngated,
    WorkloadExpected,
)
from pilotage.model.expression import Expression, Operator
from pilotage.model.node import ZONE_LABEL, Node, Taint, TaintEffect
from pilotage.model.task import HostPort, Preference, Task, TaskSpec, Term, Toleration
from pilotage.model.workload import Workload

T = TypeVar("T")

NODE_NAMES = tuple(f"n{i}" for i in range(12))
TASK_IDS = tuple(f"t{i}" for i in range(40))
GPU_MODELS = ("A10", "T4", "V100")
LABELS = {
    ZONE_LABEL: ("a", "b", "c"),
    "disk": ("ssd", "hdd", ""),
    "size": ("3", "7", "+7", "-2", "many", "9223372036854775808"),
}

_CPU = (0, 1, 500, 1000, 1500, 4000, 7777, 16_000, 128_000)
_MEMORY = (0, 1, 2**20, 3 * 2**20, 2**30, 10**9 + 7, 2**34)
_CPU_ASKED = (0, 1, 100, 333, 500, 1000, 2000, 4000)
_MEMORY_ASKED = (0, 1, 2**20, 2**20 + 1, 2**29, 2**30)
_SHARES = (100, 250, 333, 500, 501, 810, 999, 1000, 1000)
_TAINTS = tuple(Taint(key, value, effect) for key in ("team", "spot") for value in ("", "x") for effect in TaintEffect)
_TOLERATIONS = tuple(
    Toleration(key, value, exists, effect)
    for key in ("", "team", "spot", "node.kubernetes.io/unschedulable")
    for value in ("", "x")
    for exists in (False, True)
    for effect in (None, *TaintEffect)
)
_PORTS = tuple(
    HostPort(port, protocol, address)
    for port in (80, 443)
    for protocol in ("TCP", "UDP")
    for address in ("0.0.0.0", "10.0.0.1", "10.0.0.2")
)

_IMAGES = {"small": 2**20, "base:1": 300 * 2**20, "app:2": 999 * 2**20, "model": 5 * 2**30}
"""Names and sizes: an image is of one size wherever it lies."""


def _few(values: Sequence[T], most: int) -> SearchStrategy[tuple[T, ...]]:
    return st.lists(st.sampled_from(values), max_size=most, unique=True).map(tuple)


def _seldom(strategy: SearchStrategy[tuple[T, ...]]) -> SearchStrategy[tuple[T, ...]]:
    return st.one_of(st.just(()), st.just(()), strategy)


def _amounts(cpu: tuple[int, ...], memory: tuple[int, ...], most: int) -> SearchStrategy[dict[str, int]]:
    sure = {"cpu": st.sampled_from(cpu), "memory": st.sampled_from(memory)}
    return st.fixed_dictionaries(sure, optional={"fpga": st.integers(0, most)})


_LABELS = st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in LABELS.items()})
_CAPACITY = _amounts(_CPU, _MEMORY, 3)
_DEMAND = _amounts(_CPU_ASKED, _MEMORY_ASKED, 2)
_NAMES = st.sampled_from(NODE_NAMES)
_IDS = st.sampled_from(TASK_IDS)


@st.composite
def nodes(draw: DrawFn, names: SearchStrategy[str] = _NAMES, max_gpus: int = 4) -> Node:
    """Nodes with zero to ``max_gpus`` GPUs, few tasks allowed at times, labels, taints, seldom cordoned."""
    capacity = draw(_CAPACITY)
    limit = draw(st.integers(0, 15))
    if limit <= 4:
        capacity["tasks"] = limit
    gpus = draw(st.integers(0, max_gpus))
    return Node(
        name=draw(names),
        capacity=capacity,
        gpus=gpus,
        gpu_model=draw(st.sampled_from(GPU_MODELS)) if gpus else "",
        labels=draw(_LABELS),
        taints=draw(_seldom(_few(_TAINTS, 3))),
        cordoned=draw(st.integers(0, 9)) == 0,
        images={name: _IMAGES[name] for name in draw(_seldom(_few(tuple(_IMAGES), 3)))},
    )


def _expressions() -> Iterator[Expression]:
    for key in (*LABELS, "nowhere"):
        values = (*LABELS.get(key, ()), "5")
        yield Expression(key, Operator.EXISTS)
        yield Expression(key, Operator.DOES_NOT_EXIST)
        for i, value in enumerate(values):
            yield Expression(key, Operator.GT, (value,))
            yield Expression(key, Operator.LT, (value,))
            yield Expression(key, Operator.IN, values[i : i + 2])
            yield Expression(key, Operator.NOT_IN, values[i : i + 2])


_NAMES_SEVERAL = _few(NODE_NAMES[:6], 3)
_TERMS = st.builds(
    Term,
    _few(tuple(_expressions()), 3),
    st.one_of(st.none(), st.none(), st.none(), _NAMES_SEVERAL),
    _seldom(_NAMES_SEVERAL),
)
_PREFERENCES = st.lists(st.builds(Preference, st.sampled_from((0, 1, 7, 100)), _TERMS), max_size=3).map(tuple)
_AFFINITY = st.lists(_TERMS, max_size=2).map(tuple)


@st.composite
def specs(draw: DrawFn, max_gpus: int = 3) -> TaskSpec:
    """Specs that often fit `nodes`: small amounts, shares of a GPU or whole ones, now and then a constraint."""
    gpus = draw(st.integers(0, max_gpus))
    constraint = draw(st.sampled_from(("", "", "", "name", "selector", "affinity")))
    return TaskSpec(
        demand=draw(_DEMAND),
        gpus=gpus,
        gpu_share=draw(st.sampled_from(_SHARES)) if gpus == 1 else 1000,
        gpu_models=draw(_seldom(_few((*GPU_MODELS, "unknown"), 2))) if gpus else (),
        node_name=draw(_NAMES) if constraint == "name" else "",
        node_selector=draw(_LABELS) if constraint == "selector" else {},
        node_affinity=draw(_AFFINITY) if constraint == "affinity" else None,
        preferences=draw(_seldom(_PREFERENCES)),
        tolerations=draw(_seldom(_few(_TOLERATIONS, 3))),
        ports=draw(_seldom(_few(_PORTS, 2))),
        uncapped=draw(_seldom(st.just(("fpga",)))),
        scored=draw(st.sampled_from(({}, {}, {}, {"cpu": 250, "fpga": 1}))),
        images=draw(_seldom(st.lists(st.sampled_from((*_IMAGES, "unknown")), max_size=3).map(tuple))),
    )


_SPECS = specs()


@st.composite
def tasks(draw: DrawFn, ids: SearchStrategy[str] = _IDS, spec: SearchStrategy[TaskSpec] = _SPECS) -> Task:
    """Tasks of a few priorities and arrivals, seldom gated."""
    return Task(
        id=draw(ids),
        spec=draw(spec),
        priority=draw(st.integers(-1, 2)),
        arrival_s=draw(st.sampled_from((0.0, 0.5, 1.0, 60.0))),
        gates=("wait",) if draw(st.integers(0, 9)) == 0 else (),
    )


_PARTS = st.lists(st.tuples(_SPECS, st.integers(1, 50)), min_size=1, max_size=5)
_WORKLOADS = st.builds(Workload, _PARTS.map(tuple), st.booleans())


def workloads() -> SearchStrategy[Workload]:
    """Mixes of one to five specs, CPU-only ones included, with small weights."""
    return _WORKLOADS


@st.composite
def events(draw: DrawFn, max_size: int = 30) -> list[Event]:
    """A history in which every event is allowed whatever was decided before it, if rejected tasks wait."""
    present: dict[str, None] = {}
    known: dict[str, Task] = {}
    history: list[Event] = [WorkloadExpected(draw(workloads()))]
    fresh = iter(TASK_IDS)
    for _ in range(draw(st.integers(0, max_size))):
        what = draw(st.sampled_from(("node", "node", "task", "task", "task", "update", "remove", "finish", "ungate")))
        if what == "node" and len(present) < len(NODE_NAMES):
            node = draw(nodes(names=st.sampled_from([name for name in NODE_NAMES if name not in present])))
            present[node.name] = None
            history.append(NodeAdded(node))
        elif what == "task" and len(known) < len(TASK_IDS):
            task = draw(tasks(ids=st.just(next(fresh))))
            known[task.id] = task
            history.append(TaskSubmitted(task))
        elif what == "update" and present:
            history.append(NodeUpdated(draw(nodes(names=st.sampled_from(list(present))))))
        elif what == "remove" and present:
            name = draw(st.sampled_from(list(present)))
            del present[name]
            history.append(NodeRemoved(name))
        elif what == "finish" and known:
            history.append(TaskFinished(_drop(known, draw(st.sampled_from(list(known))))))
        elif what == "ungate":
            gated = [task.id for task in known.values() if task.gates]
            if gated:
                task_id = _drop(known, draw(st.sampled_from(gated)))
                history.append(TaskUngated(task_id))
    return history


def _drop(known: dict[str, Task], task_id: str) -> str:
    del known[task_id]
    return task_id
