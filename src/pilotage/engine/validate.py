"""Every invariant of an engine, checked from scratch. Tests call it after every step; so may anybody in doubt."""

import numpy as np

from pilotage.engine.engine import Engine
from pilotage.engine.state import State
from pilotage.kernel.domains import DomainCount
from pilotage.kernel.neighbours import Neighbours
from pilotage.kernel.nodes import Nodes
from pilotage.model.amounts import WHOLE_GPU
from pilotage.model.events import Cure

Problem = tuple[str, str]
"""(key of the object, what is wrong)."""


class Broken(AssertionError):  # noqa: N818 - reads as a statement
    """An invariant does not hold; the message says which, for what, and that object's story."""


def validate(engine: Engine) -> None:
    """Raise `Broken` unless every invariant holds; one look at all there is, however little changed."""
    state = engine.state
    problems = [*_amounts(state), *_counters(state), *_neighbours(state), *_places(state), *_nodes(state)]
    problems += [*_queues(engine), *_claims(engine), *_waiting(engine), *_gangs(engine)]
    if problems:
        key, text = problems[0]
        story = "\n  ".join(str(line) for line in engine.story.of(key))
        raise Broken(f"{text}\nstory of {key}:\n  {story}")


def _amounts(state: State) -> list[Problem]:
    """What tasks use must be what is counted, and GPUs must hold what was not given away."""
    columns = state.columns
    problems: list[Problem] = []
    used = np.zeros_like(columns.used[:, : columns.n])
    free = np.where(np.arange(len(columns.gpu_free))[:, None] < columns.gpu_count[: columns.n], WHOLE_GPU, 0)
    ports: dict[tuple[str, int], dict[int, dict[str, int]]] = {}
    for placement in state.placements.values():
        for name, amount in placement.task.spec.demand.items():
            used[columns.resources[name], placement.row] += amount
        for gpu in placement.gpus:
            free[gpu, placement.row] -= placement.task.spec.gpu_share
        for port in placement.task.spec.ports:
            addresses = ports.setdefault((port.protocol, port.port), {}).setdefault(placement.row, {})
            addresses[port.address] = addresses.get(port.address, 0) + 1
    for what, wrong in (
        ("amounts in use", used != columns.used[:, : columns.n]),
        ("the float copy of amounts in use", (columns.float_used != columns.used)[:, : columns.n]),
        ("the float copy of capacities", (columns.float_capacity != columns.capacity)[:, : columns.n]),
        ("GPU shares left", free != columns.gpu_free[:, : columns.n]),
    ):
        names = [columns.names[row] for row in np.flatnonzero(wrong.any(axis=0))]
        problems += [(name, f"node {name!r}: {what} differ from a recount") for name in names]
    for row, name in enumerate(columns.names):
        written = (columns.used, columns.capacity, columns.gpu_free)
        if columns.numbers_of(row) != tuple(tuple(column[:, row].tolist()) for column in written):
            problems.append((name, f"node {name!r}: the numbers kept of its amounts and GPUs are old"))
    for name, i in columns.resources.items():
        capacities = columns.capacity[i, : columns.n].tolist() or [0]
        if columns.capacity_bounds(i) != (min(capacities), max(capacities)):
            problems.append((name, f"the bounds of {name} are not those of its capacities"))
    if ports != {port: users for port, users in columns.ports.items() if users}:
        problems.append(("ports", "ports in use differ from a recount"))
    return problems


def _counters(state: State) -> list[Problem]:
    """Every counter must hold what a recount finds."""
    columns, problems = state.columns, []
    for name, key_of in columns.counters.items():
        recount: dict[tuple[object, int], int] = {}
        for placement in state.placements.values():
            key = key_of(placement.task.spec)
            for filed in (key, None) if key is not None else ():
                recount[filed, placement.row] = recount.get((filed, placement.row), 0) + 1
        for key in {*columns.count_keys(name), *(key for key, _ in recount)}:
            counts = columns.counts(name, key)
            wrong = [row for row in range(columns.n) if counts[row] != recount.get((key, row), 0)]
            problems += [(columns.names[row], f"counter {name}, key {key}: row {row} is miscounted") for row in wrong]
    return problems


def _neighbours(state: State) -> list[Problem]:
    """Every count of tasks per node and per domain in use must hold what a recount finds."""
    columns, problems = state.columns, []
    neighbours = columns.neighbours
    alike = Neighbours()
    alike.followed = neighbours.followed
    alike.grow(columns.rows)
    for placement in state.placements.values():
        alike.add(placement.row, placement.task, 1)
    for count in neighbours.counts:
        neighbours.refresh(count)
        if not np.array_equal(count.values, alike.count(count.who).values):
            problems.append(("neighbours", f"{count.who} are miscounted"))
    for known in neighbours.derived.values():
        who = known.count.who
        if known.count is not neighbours.count(who):
            continue  # left behind by a count that was dropped; replaced when it is asked for
        known.refresh(neighbours, columns)
        fresh = DomainCount(alike.count(who), known.key, known.within)
        fresh.refresh(alike, columns)
        everyone, (most, absent) = Nodes.all(columns), known.fits_for
        for what, here, there in (
            ("tasks", known.sums, fresh.sums),
            ("nodes", known.members[1:], fresh.members[1:]),
            ("the domains", known.domain, fresh.domain),
            ("the counted", known.counted, fresh.counted),
            ("the fitting nodes", *(each.at_most(most, everyone, absent=absent) for each in (known, fresh))),
            ("the fewest", known.lowest(1), fresh.lowest(1)),
            ("all", known.total, fresh.total),
        ):
            if not np.array_equal(here, there):
                problems.append(("domains", f"{what} of {who} per {known.key} differ from a recount"))
    return problems


def _nodes(state: State) -> list[Problem]:
    """The columns must say what the nodes say."""
    columns, problems = state.columns, []
    for name, node in state.nodes.items():
        row = columns.row_of.get(name, -1)
        labels = {
            key: columns.label_values[key].values[column[row] - 1]
            for key, column in columns.labels.items()
            if column[row]
        }
        told = (
            {resource: columns.capacity.item(i, row) for resource, i in columns.resources.items()},
            (columns.gpu_count.item(row), columns.models.values[columns.gpu_model.item(row)]),
            (columns.taints.values[columns.taint_set.item(row)], columns.cordoned.item(row), labels),
        )
        meant = (
            {resource: node.capacity.get(resource, 0) for resource in columns.resources},
            (node.gpus, node.gpu_model),
            (node.taints, node.cordoned, dict(node.labels)),
        )
        problems += [
            (name, f"node {name!r}: columns say {a}, it says {b}") for a, b in zip(told, meant, strict=True) if a != b
        ]
    return problems


def _places(state: State) -> list[Problem]:
    """Every task is on one living node, every node in one row, and blank rows are blank."""
    columns, problems = state.columns, []
    for task_id, placement in state.placements.items():
        if not columns.alive[placement.row]:
            problems.append((task_id, f"task {task_id!r} is on a row without a node"))
        if task_id not in state.tasks_on[placement.row]:
            problems.append((task_id, f"task {task_id!r} is not listed on its node"))
    listed = sum(len(tasks) for tasks in state.tasks_on)
    if listed != len(state.placements):
        problems.append(("tasks", f"{listed} tasks are listed on nodes, {len(state.placements)} are placed"))
    for name, row in columns.row_of.items():
        if columns.names[row] != name or name not in state.nodes or not columns.alive[row]:
            problems.append((name, f"node {name!r} and row {row} disagree"))
    if int(columns.alive[: columns.n].sum()) != len(state.nodes):
        problems.append(("nodes", "living rows and known nodes differ in number"))
    if columns.used[:, : columns.n][:, ~columns.alive[: columns.n]].any():
        problems.append(("nodes", "a blank row is in use"))
    return problems


def _queues(engine: Engine) -> list[Problem]:
    """What queues use must be what is counted; a task that no limit holds back must not be held."""
    tree, problems = engine.state.queues, []
    if not tree.declared:
        return []
    used: dict[str, dict[str, int]] = {name: {} for name in tree.used}
    for placement in engine.state.placements.values():
        for name in tree.path(placement.task.queue):
            for resource, amount in placement.task.spec.demand.items():
                used[name][resource] = used[name].get(resource, 0) + amount
    for name, counted in tree.used.items():
        if {r: amount for r, amount in counted.items() if amount} != {r: a for r, a in used[name].items() if a}:
            problems.append((name, f"queue {name!r}: what it uses differs from a recount"))
    going_on = {(w.task.queue, w.task.spec.demand) for w in engine.room if w.place == "active"}
    for waiting in engine.room:
        group = (waiting.task.queue, waiting.task.spec.demand)
        held = waiting.place == "unschedulable" and waiting.cures == Cure.QUEUE
        if held and group not in going_on and tree.over_limit(*group) is None:
            problems.append((waiting.task.id, f"task {waiting.task.id!r} is held back though its queue has room"))
    return problems


def _claims(engine: Engine) -> list[Problem]:
    """Whoever has a claim waits, for tasks that were told to leave its node; columns and table know the same."""
    state, problems = engine.state, []
    if engine.claims is None or state.table is None:
        return []
    for task_id, stake in engine.claims.stakes.items():
        if task_id not in engine.room:
            problems.append((task_id, f"task {task_id!r} has a claim and does not wait"))
        if state.columns.names[stake.row] != stake.node or stake.claim not in state.columns.claims.get(stake.row, ()):
            problems.append((task_id, f"the claim of task {task_id!r} on {stake.node!r} is not in the columns"))
        for gone in stake.waits_for:
            victim = state.placements.get(gone)
            if victim is None or victim.row != stake.row or not victim.going:
                problems.append((task_id, f"task {task_id!r} waits for {gone!r}, which is not leaving {stake.node!r}"))
    if sum(map(len, state.columns.claims.values())) != len(engine.claims.stakes):
        problems.append(("claims", "columns and stakes differ in number"))
    for placement in state.placements.values():
        slot, table = placement.slot, state.table
        kept = (table.row[slot], table.priority[slot], table.seq[slot], table.going[slot], table.gpus[slot])
        meant = (placement.row, placement.task.priority, placement.seq, placement.going, len(placement.gpus))
        demand = state.columns.demand_of(placement.task.spec).vector
        same = np.array_equal(np.trim_zeros(table.demand[:, slot], "b"), np.trim_zeros(demand, "b"))
        if table.placements[slot] is not placement or kept != meant or not same:
            problems.append((placement.task.id, f"task {placement.task.id!r}: its slot says {kept}, it is {meant}"))
    if sum(placement is not None for placement in state.table.placements) != len(state.placements):
        problems.append(("table", "tasks placed and slots taken differ in number"))
    return problems


def _waiting(engine: Engine) -> list[Problem]:
    """No task both waits and runs, and each is where its entry says."""
    problems = []
    places = {"active": 0, "backoff": 0, "unschedulable": 0, "gated": 0}
    for waiting in engine.room:
        places[waiting.place] += 1
        if waiting.task.id in engine.state.placements:
            problems.append((waiting.task.id, f"task {waiting.task.id!r} waits and is placed"))
    if places["active"] != engine.room.active:
        problems.append(("room", f"{places['active']} tasks are active, {engine.room.active} are counted"))
    problems += [(task_id, f"task {task_id!r} waits where nothing can wake it") for task_id in engine.room.lost()]
    return problems


def _gangs(engine: Engine) -> list[Problem]:
    """A gang has its minimum placed, or nobody; and its members are where they are said to be."""
    gangs = engine.gangs
    problems = [(name, f"gang {name!r} is partly placed") for name in gangs.broken()]
    for name, of in gangs.members.items():
        placed = {t for t, p in engine.state.placements.items() if p.task.gang == name}
        waiting = {w.task.id for w in engine.room if w.task.gang == name}
        if placed != of.placed.keys() | of.leaving.keys():
            problems.append((name, f"gang {name!r}: placed members differ from those on nodes"))
        if not of.waiting.keys() <= waiting or not of.held.keys() <= of.waiting.keys():
            problems.append((name, f"gang {name!r}: waiting members are not in the room"))
        gated = {w.task.id for w in engine.room if w.task.gang == name and w.place == "gated"}
        if any(task_id in of.waiting and task_id not in of.held for task_id in gated):
            problems.append((name, f"gang {name!r}: a member is behind gates that nobody will open"))
    return problems
