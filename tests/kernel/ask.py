"""Ask one plugin about one node, by arrays and by row: the two must agree, and the answer is returned."""

import numpy as np

from pilotage.kernel.nodes import Nodes
from pilotage.kernel.plugin import Filter, Scorer
from pilotage.model.node import Node
from pilotage.model.task import Task, TaskSpec
from pilotage.model.workload import Workload
from tests.kernel.clusters import Twin

Placed = tuple[TaskSpec, tuple[int, ...]]


def twin_of(node: Node, placed: list[Placed] | None = None, workload: Workload | None = None) -> Twin:
    """A cluster of one node with tasks on it."""
    twin = Twin()
    twin.add(node)
    for spec, gpus in placed or []:
        twin.place(node.name, spec, gpus)
    twin.columns.workload = twin.cluster.workload = workload
    return twin


def admits(plugin: Filter, spec: TaskSpec, node: Node, placed: list[Placed] | None = None) -> bool:
    """Whether ``node`` passes the filter."""
    columns, fragment = twin_of(node, placed).columns, plugin.fragment(Task(id="t", spec=spec))
    if fragment is None:
        return True
    by_array, by_row = plugin.mask(fragment, Nodes.all(columns)), plugin.mask_row(fragment, columns, 0)
    assert by_array.dtype == np.bool_
    assert by_array.tolist() == [by_row]
    return bool(by_row)


def reasons(plugin: Filter, spec: TaskSpec, node: Node, placed: list[Placed] | None = None) -> dict[str, int]:
    """Why ``node`` is refused."""
    assert not admits(plugin, spec, node, placed)
    return plugin.why(plugin.fragment(Task(id="t", spec=spec)), Nodes.all(twin_of(node, placed).columns))


def score(
    plugin: Scorer,
    spec: TaskSpec,
    node: Node,
    placed: list[Placed] | None = None,
    workload: Workload | None = None,
) -> float | None:
    """Raw score of ``node``, None if the task is not scored."""
    columns, fragment = twin_of(node, placed, workload).columns, plugin.fragment(Task(id="t", spec=spec))
    if fragment is None:
        return None
    by_array, by_row = plugin.score(fragment, Nodes.all(columns)), plugin.score_row(fragment, columns, 0)
    assert by_array.dtype == np.int64
    assert by_array.tolist() == [by_row]
    return by_row
