"""Pairs of (resource, number) that plugins are given, joined with what a task asks for."""

from pilotage.model.task import Task

Pairs = tuple[tuple[str, int], ...]
"""(resource, its weight or norm)."""

Demanded = tuple[tuple[str, int, int], ...]
"""(resource, amount asked for, its weight or norm)."""

ALWAYS_COUNTED = ("cpu", "memory")
"""These weigh for every task; another resource only for tasks that ask for it (kube-scheduler's rule)."""


def demanded(pairs: Pairs, task: Task) -> Demanded:
    """Return every pair with the amount that ``task`` asks for."""
    return tuple((resource, task.spec.demand.get(resource, 0), number) for resource, number in pairs)


def counted(pairs: Pairs, task: Task) -> Demanded | None:
    """Return the pairs that count for ``task``, with its amounts, or None if none does."""
    return tuple(p for p in demanded(pairs, task) if p[1] or p[0] in ALWAYS_COUNTED) or None
