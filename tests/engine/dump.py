"""Everything an engine knows, as plain values that compare: to show that something changed nothing."""

from typing import Any

import numpy as np

from pilotage.engine.engine import Engine
from pilotage.engine.state import State
from pilotage.kernel.columns import Columns


def columns_of(columns: Columns) -> dict[str, Any]:
    """All columns, without resources that are nowhere, ports that are free and counters that are zero."""
    n = columns.n
    facts: dict[str, Any] = {
        name: getattr(columns, name)[:n].tolist()
        for name in ("gpu_count", "gpu_model", "taint_set", "cordoned", "alive", "order", "name_hash")
    }
    for resource, i in columns.resources.items():
        if columns.capacity[i].any() or columns.used[i].any():
            facts[f"capacity {resource}"] = columns.capacity[i, :n].tolist()
            facts[f"used {resource}"] = columns.used[i, :n].tolist()
    facts["gpu_free"] = columns.gpu_free[:, :n].tolist()
    facts["labels"] = {key: column[:n].tolist() for key, column in columns.labels.items()}
    facts["ports"] = {
        port: {row: dict(a) for row, a in users.items()} for port, users in columns.ports.items() if users
    }
    facts["counts"] = {
        (name, str(key)): vector[:n].tolist()
        for name, vectors in columns._counts.items()
        for key, vector in vectors.items()
        if vector.any()
    }
    facts["names"], facts["row_of"], facts["workload"] = list(columns.names), dict(columns.row_of), columns.workload
    assert not any(np.any(getattr(columns, name)[n:]) for name in ("alive", "gpu_count", "order"))
    return facts


def state_of(state: State) -> dict[str, Any]:
    """Columns, nodes and placements, in their orders."""
    return {
        **columns_of(state.columns),
        "nodes": list(state.nodes.items()),
        "placements": [(t, p.task, p.row, p.gpus, p.bound) for t, p in sorted(state.placements.items())],
        "tasks_on": [sorted(tasks, key=lambda t: state.placements[t].seq) for tasks in state.tasks_on],
        "generation": list(state.generation),
        "rotation": (state.rotation.start, state.rotation.order.tolist()),
        "images": sorted(state.columns.images.sizes()),
        "queues": (list(state.queues.queues.items()), list(state.queues.fallen)),
    }


def engine_of(engine: Engine) -> dict[str, Any]:
    """The state, the waiting room, the stories, the effects not yet handed over and the version."""
    return {
        **state_of(engine.state),
        "version": engine.state.version,
        "room": [
            (w.task, w.key, w.seq, w.place, w.attempts, w.rejected_at, w.cures if w.place == "unschedulable" else None)
            for w in engine.room
        ],
        "active": engine.room.active,
        "held": sorted((task_id, engine.room._held.blocker_of(task_id)) for task_id in engine.room._held),
        "next_release_s": engine.room.next_release_s,
        "effects": list(engine._effects),
        "attempts": dict(engine._attempts),
        "story": list(engine.story._lines),
    }
