"""The state of a cluster: columns, where every task is, and the log of what changed.

A task on a node is first *assumed* (our decision, not yet carried out), then *bound*::

    place ──▶ assumed ──confirm──▶ bound
                 │                   │
                 └──────remove───────┴──▶ gone

Every change goes through four verbs (write a node, drop a node, place a task, remove a task), writes the change log
and, inside a transaction, the journal. Amounts are integers, so undoing a verb restores every column bit for bit.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct
from msgspec.structs import astuple

from pilotage.engine.change_log import ChangeLog
from pilotage.engine.placement import Placement
from pilotage.engine.queues import QueueCheckpoint, QueueTree
from pilotage.engine.rotation import Rotation, RotationCheckpoint
from pilotage.engine.task_table import TaskTable
from pilotage.kernel.columns import ColumnCodes, Columns, Demand
from pilotage.kernel.plugin import Group, Plugin
from pilotage.model.amounts import checked_amount
from pilotage.model.errors import InvalidInput
from pilotage.model.node import Node
from pilotage.model.queue import Queue
from pilotage.model.task import Task, TaskSpec
from pilotage.model.workload import Workload

_AMOUNTS = (Group.AMOUNTS,)
_WITH_GPUS = (Group.AMOUNTS, Group.DEVICES)
_NODE = (Group.AMOUNTS, Group.DEVICES, Group.NODE, Group.PORTS)

_DEMANDS_KEPT = 65_536
"""Specs whose demand vector is remembered; a stream of ever new specs must not fill the memory."""


class StateCheckpoint(Struct, frozen=True, kw_only=True):
    """All of a state that later decisions rest on, as plain values; caches and columns follow from it.

    ``rows``: (node or None, generation, place in the node order) per row. ``placements`` stand in the order in which
    they were made. ``codes`` are the values behind the numbers of labels, models and taints, in their order.
    """

    version: int
    rows: tuple[tuple[Node | None, int, int], ...]
    free_rows: tuple[int, ...]
    next_order: int
    in_order: bool
    placements: tuple[Placement, ...]
    placed: int
    workload: Workload | None
    codes: ColumnCodes
    rotation: RotationCheckpoint
    queues: QueueCheckpoint


class Overcommitted(Exception):  # noqa: N818 - reads as a statement
    """A decision would have put more on a node than it holds: a fault of a plugin, stopped here."""


class State:
    """Columns, placements, free rows, change log and journal of one cluster."""

    def __init__(self, plugins: tuple[Plugin, ...] = (), table: TaskTable | None = None) -> None:
        self.columns = Columns()
        self.log = ChangeLog()
        self.queues = QueueTree()
        self.table = table
        """The tasks on nodes as columns, where somebody searches them."""
        self.nodes: dict[str, Node] = {}
        self.placements: dict[str, Placement] = {}
        self.tasks_on: list[dict[str, None]] = []
        self.generation: list[int] = []
        self.rotation = Rotation()
        self.in_order = True
        """Whether rows stand in the fixed node order (no freed row was used again)."""
        self._free_rows: list[int] = []
        self._next_order = 0
        self._demands: dict[TaskSpec, Demand] = {}
        self._placed = 0
        self._journal: list[tuple[Placement, int]] | None = None
        """Inside a transaction: what was done, a placement put (1) or taken away (-1)."""
        for plugin in plugins:
            if plugin.counter:
                self.columns.count_tasks(plugin.counter, plugin.count_key)
        self.columns.neighbours.followed = any(plugin.depends == "domain" for plugin in plugins)

    @property
    def version(self) -> int:
        """Number of changes so far; only rises, also through a rollback."""
        return self.log.version

    # -- nodes ---------------------------------------------------------------------------------------------------

    def add_node(self, node: Node) -> int:
        """Give ``node`` a row, at the end of the node order, and return the row."""
        self._outside_transaction()
        if node.name in self.nodes:
            raise InvalidInput("node.name", f"a node called {node.name!r} exists already")
        if self._free_rows:
            row = self._free_rows.pop()
            self.in_order = False
        else:
            row = self.columns.add_row()
            self.tasks_on.append({})
            self.generation.append(0)
        self.generation[row] += 1
        self.columns.write_node(row, node, self._next_order)
        self._next_order += 1
        self.rotation.write(row, node)
        self.nodes[node.name] = node
        self.queues.count_node(node, 1)
        self.log.keep = max(self.log.keep, 2 * self.columns.n)
        self.log.append_all(Group.IMAGES)
        self.log.append(row, _NODE)
        return row

    def update_node(self, node: Node) -> int:
        """Replace what is known about a node; its tasks and its place in the order stay. Return the row."""
        self._outside_transaction()
        row = self.row_of(node.name)
        self.columns.write_node(row, node, int(self.columns.order[row]))
        self.rotation.write(row, node)
        if node.images != self.nodes[node.name].images:
            self.log.append_all(Group.IMAGES)
        self.queues.count_node(self.nodes[node.name], -1)
        self.queues.count_node(node, 1)
        self.nodes[node.name] = node
        self.log.append(row, _NODE)
        return row

    def remove_node(self, name: str) -> list[Placement]:
        """Free the node's row and return the placements that were on it, in the order in which they were made."""
        self._outside_transaction()
        row = self.row_of(name)
        lost = sorted([self.remove(task_id) for task_id in list(self.tasks_on[row])], key=lambda p: p.seq)
        self.columns.clear_row(row)
        self.rotation.drop(row)
        self.log.append_all(Group.IMAGES)
        self.queues.count_node(self.nodes.pop(name), -1)
        self._free_rows.append(row)
        self.log.append(row, _NODE)
        return lost

    def row_of(self, name: str) -> int:
        """Return the row of a node; raises `InvalidInput` when there is none of that name."""
        row = self.columns.row_of.get(name)
        if row is None:
            raise InvalidInput("node", f"no node is called {name!r}")
        return row

    def expect(self, workload: Workload) -> None:
        """Set the mix of tasks that the cluster is expected to receive."""
        self._outside_transaction()
        self.columns.workload = workload
        self.log.append_all(Group.WORKLOAD)

    # -- queues --------------------------------------------------------------------------------------------------

    def declare_queue(self, queue: Queue, waiting: set[str]) -> None:
        """Put ``queue`` into the tree, or in place of one of its name; tasks wait in ``waiting`` queues."""
        self._outside_transaction()
        self.queues.check_declared(queue, waiting | self._queues_in_use())
        first = not self.queues.declared
        self.queues.put(queue)
        if first:
            for placement in self.placements.values():
                self.queues.count(placement.task, 1)

    def remove_queue(self, name: str, waiting: set[str]) -> None:
        """Take a queue without tasks and without queues below it out of the tree; tasks wait in ``waiting`` queues."""
        self._outside_transaction()
        self.queues.check_removed(name, waiting | self._queues_in_use())
        self.queues.drop(name)

    def _queues_in_use(self) -> set[str]:
        tree = self.queues
        return {name for name, used in tree.used.items() if used.get("tasks") and not tree.children[name]}

    # -- tasks ---------------------------------------------------------------------------------------------------

    def place(self, task: Task, row: int, gpus: tuple[int, ...], *, bound: bool = False, known: bool = False) -> None:
        """Put ``task`` on ``row`` and count it at once.

        ``known`` is for a placement that happened outside: it is counted whatever the node holds. Ours raises
        `Overcommitted`, with nothing changed, where the node or a queue's limit leaves too little; `InvalidInput` where
        an amount in use would pass `MAX_AMOUNT`.
        """
        if task.id in self.placements:
            raise InvalidInput("task_id", f"task {task.id!r} is on a node already")
        if known:
            self._check_countable(task, row)
        else:
            self._check_fits(task, row, gpus)
        self._placed += 1
        self._do(Placement(task, row, gpus, bound, self._placed), 1)

    def remove(self, task_id: str) -> Placement:
        """Take a task off its node and return what it held."""
        placement = self.placements.get(task_id)
        if placement is None:
            raise InvalidInput("task_id", f"task {task_id!r} is on no node")
        self._do(placement, -1)
        return placement

    def confirm(self, task_id: str) -> None:
        """Note that the outside carried out the placement. Confirming twice changes nothing."""
        placement = self.placements.get(task_id)
        if placement is None:
            raise InvalidInput("task_id", f"task {task_id!r} is on no node")
        placement.bound = True

    def demand_of(self, spec: TaskSpec) -> Demand:
        """Return what a task of ``spec`` takes; kept, for a few specs make up most tasks."""
        demand = self._demands.get(spec)
        if demand is None:
            if len(self._demands) >= _DEMANDS_KEPT:
                self._demands.clear()
            demand = self._demands[spec] = self.columns.demand_of(spec)
        return demand

    def _check_fits(self, task: Task, row: int, gpus: tuple[int, ...]) -> None:
        c, share = self.columns, task.spec.gpu_share
        capped = self.demand_of(task.spec).capped
        used, capacity, _ = c.numbers_of(row)
        for i, amount in capped:
            if used[i] + amount > capacity[i]:
                raise Overcommitted(
                    f"task {task.id!r} would take more {list(c.resources)[i]} than {c.names[row]!r} has"
                )
        count = c.gpu_count.item(row)
        asks = gpus or task.spec.gpus  # most ask for none, and a look at none costs as much as one at the amounts
        if asks and (
            not len(gpus) == len(set(gpus)) == task.spec.gpus
            or any(not 0 <= gpu < count or c.gpu_free.item(gpu, row) < share for gpu in gpus)
        ):
            raise Overcommitted(f"task {task.id!r} can not have GPUs {gpus} of {c.names[row]!r}")
        if self.queues.declared and (over := self.queues.over_limit(task.queue, task.spec.demand)):
            raise Overcommitted(f"task {task.id!r} would take queue {over[0]!r} past its limit of {over[1]}")

    def _check_countable(self, task: Task, row: int) -> None:
        """Raise `InvalidInput` where what others put on a node adds up to no amount."""
        used, _, _ = self.columns.numbers_of(row)
        for name, amount in task.spec.demand.items():
            i = self.columns.resources.get(name)
            if i is not None:
                checked_amount(f"{name} in use on node {self.columns.names[row]!r}", used[i] + amount)

    def _do(self, placement: Placement, sign: int) -> None:
        """Put (``sign`` 1) or take away (-1) a placement, log the change and note how to undo it."""
        task, row, gpus = placement.task, placement.row, placement.gpus
        demand = self.demand_of(task.spec)
        self.columns.add_task(row, task.spec, demand, gpus, sign)
        self.columns.neighbours.add(row, task, sign)
        if sign > 0:
            self.placements[task.id] = placement
            self.tasks_on[row][task.id] = None
        else:
            del self.placements[task.id]
            del self.tasks_on[row][task.id]
        if self.queues.declared:
            self.queues.count(task, sign)
        if self.table is not None:
            if sign > 0:
                self.table.add(placement, demand.vector)
            else:
                self.table.drop(placement)
        groups = _WITH_GPUS if gpus else _AMOUNTS
        self.log.append(row, (*groups, Group.PORTS) if task.spec.ports else groups)
        if self._journal is not None:
            self._journal.append((placement, sign))

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def checkpoint(self) -> StateCheckpoint:
        """Return all that `restore` needs to make a state that does the same from here on."""
        self._outside_transaction()
        columns = self.columns
        return StateCheckpoint(
            version=self.version,
            rows=tuple(
                (self.nodes.get(name), self.generation[row], columns.order.item(row))
                for row, name in enumerate(columns.names)
            ),
            free_rows=tuple(self._free_rows),
            next_order=self._next_order,
            in_order=self.in_order,
            placements=tuple(Placement(*astuple(placement)) for placement in self.placements.values()),
            placed=self._placed,
            workload=columns.workload,
            codes=columns.codes(),
            rotation=self.rotation.checkpoint(),
            queues=self.queues.checkpoint(),
        )

    def restore(self, checkpoint: StateCheckpoint) -> None:
        """Fill this state, which must be new, from a checkpoint."""
        columns = self.columns
        columns.learn_codes(checkpoint.codes)
        for node, generation, order in checkpoint.rows:
            row = columns.add_row()
            self.tasks_on.append({})
            self.generation.append(generation)
            if node is not None:
                columns.write_node(row, node, order)
                self.queues.count_node(node, 1)
        columns.images.set_sizes(checkpoint.codes.images)
        self.rotation.restore(checkpoint.rotation, [node for node, _, _ in checkpoint.rows])
        self.queues.restore(checkpoint.queues)
        self.nodes = {node.name: node for node, _, _ in sorted(checkpoint.rows, key=lambda row: row[2]) if node}
        self._free_rows = list(checkpoint.free_rows)
        self._next_order = checkpoint.next_order
        self.in_order = checkpoint.in_order
        for placement in checkpoint.placements:
            self._do(Placement(*astuple(placement)), 1)
        self._placed = checkpoint.placed
        self.queues.fallen = dict.fromkeys(checkpoint.queues.fallen)
        columns.workload = checkpoint.workload
        self.log.keep = max(self.log.keep, 2 * columns.n)
        self.log.version = checkpoint.version

    # -- transactions --------------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Undo every placement and removal of the block if it raises; may be nested.

        Undone rows are logged again, so no cache can keep a score of what never was.
        """
        outer = self._journal
        journal = self._journal = [] if outer is None else outer
        start, fallen = len(journal), dict(self.queues.fallen)
        try:
            yield
        except BaseException:
            undo, self._journal = journal[start:], None
            del journal[start:]
            for placement, sign in reversed(undo):
                self._do(placement, -sign)
            self.queues.fallen = fallen
            raise
        finally:
            self._journal = outer

    def _outside_transaction(self) -> None:
        if self._journal is not None:
            raise RuntimeError("nodes and expectations can not change inside a transaction; end it first")
