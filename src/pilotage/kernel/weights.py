"""Pairs of (resource, number) that plugins are given, joined with what a task asks for."""

from pilotage.model.task import Task

Pairs = tuple[tuple[str, int], ...]
"""(resource, its weight or norm)."""

Demanded = tuple[tuple[str, int, int], ...]
"""(resource, amount asked for, its weight or norm)."""

NOMINAL = {"cpu": "cpu.nominal", "memory": "memory.nominal"}
"""Stand-ins for resources whose use is scored otherwise than it is limited: never refused (`TaskSpec.uncapped`).

kube-scheduler scores a container that asks for no CPU or memory as if it asked for a little.
"""

ALWAYS_COUNTED = frozenset({"cpu", "memory", "ephemeral-storage", *NOMINAL.values()})
"""These weigh for every task; another resource only for tasks that ask for it (kube-scheduler's rule)."""


def demanded(pairs: Pairs, task: Task) -> Demanded:
    """Return every pair with the amount that ``task`` asks for."""
    return tuple((resource, task.spec.demand.get(resource, 0), number) for resource, number in pairs)


def counted(pairs: Pairs, task: Task) -> Demanded | None:
    """Return the pairs that count for ``task``, with what is scored as its amounts, or None if none does."""
    demand, scored = task.spec.demand, task.spec.scored
    asked = [(resource, demand.get(resource, 0), number) for resource, number in pairs]
    if scored:
        asked = [(resource, scored.get(resource, amount), number) for resource, amount, number in asked]
    return tuple([p for p in asked if p[1] or p[0] in ALWAYS_COUNTED]) or None
