"""Random clusters, built twice: as columns for the kernel, and as plain places for the reference."""

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from pilotage.kernel.columns import Columns
from pilotage.kernel.plugins.gpu_clustering import GpuClustering
from pilotage.model.node import Node
from pilotage.model.task import TaskSpec
from pilotage.testing.strategies import NODE_NAMES, nodes, specs, workloads
from tests.kernel.reference import Cluster, Place


class Twin:
    """The same cluster in both forms. A verb changes both."""

    def __init__(self) -> None:
        clustering = GpuClustering()
        self.columns = Columns()
        self.columns.count_tasks(clustering.counter, clustering.count_key)
        self.cluster = Cluster()
        self._blank: list[int] = []
        self._placed = 0
        self._joined = 0

    def add(self, node: Node) -> None:
        row = self._blank.pop() if self._blank else self.columns.add_row()
        self.columns.write_node(row, node, self._joined)
        self._joined += 1
        self.cluster.places[node.name] = Place(node)

    def update(self, node: Node) -> None:
        row = self.columns.row_of[node.name]
        self.columns.write_node(row, node, int(self.columns.order[row]))
        self.cluster.places[node.name].node = node

    def remove(self, name: str) -> None:
        row = self.columns.row_of[name]
        for spec, gpus in self.cluster.places.pop(name).tasks.values():
            self.columns.add_task(row, spec, self.columns.demand_of(spec), gpus, -1)
        self.columns.clear_row(row)
        self._blank.append(row)

    def place(self, name: str, spec: TaskSpec, gpus: tuple[int, ...]) -> None:
        self.columns.add_task(self.columns.row_of[name], spec, self.columns.demand_of(spec), gpus, 1)
        self.cluster.places[name].tasks[f"placed-{self._placed}"] = (spec, gpus)
        self._placed += 1


@st.composite
def twins(draw: DrawFn, max_nodes: int = 6, max_tasks: int = 8) -> Twin:
    """Clusters with tasks on them, some nodes changed or gone since, some too small for what they hold."""
    twin = Twin()
    twin.cluster.seed = draw(st.sampled_from((0, 1, 42, 2**40)))
    twin.cluster.workload = twin.columns.workload = draw(workloads())
    names = draw(st.lists(st.sampled_from(NODE_NAMES), min_size=1, max_size=max_nodes, unique=True))
    for name in names:
        twin.add(draw(nodes(names=st.just(name))))
    for spec in draw(st.lists(specs(), max_size=max_tasks)):
        name = draw(st.sampled_from(names))
        order = draw(st.permutations(range(twin.cluster.places[name].node.gpus)))
        if len(order) >= spec.gpus:
            twin.place(name, spec, tuple(order[: spec.gpus]))
    for name in draw(st.lists(st.sampled_from(names), max_size=2, unique=True)):
        what = draw(st.sampled_from(("shrink", "leave", "replace")))
        if what == "shrink":
            twin.update(draw(nodes(names=st.just(name), max_gpus=2)))
        else:
            twin.remove(name)
            if what == "replace":
                twin.add(draw(nodes(names=st.just(name))))
    return twin
