"""Preemption as the reference sees it: node by node and task by task, every filter asked about a node in full."""

from collections.abc import Callable
from dataclasses import dataclass

from pilotage.model.task import Task
from tests.kernel.reference import Cluster, Place, Rules, capacity, gpu_fit, ports


@dataclass
class Found:
    node: str
    gpus: tuple[int, ...]
    victims: list[str]
    going: list[str]


@dataclass
class Claim:
    """A place that is kept for a task until others are gone."""

    task: Task
    node: str
    gpus: tuple[int, ...]
    waits_for: set[str]


def search(
    rules: Rules, task: Task, cluster: Cluster, tasks: dict[str, Task], placed: dict[str, int], going: set[str]
) -> Found | None:
    """``tasks``: by id; ``placed``: when each was placed; ``going``: who was told to leave."""

    def fits(place: Place) -> bool:
        return not any(rule(task, place) for rule in rules.filters.values())

    def fits_as_far_as_its_row_goes(place: Place) -> bool:
        return not any(rule(task, place) for name, rule in rules.filters.items() if name not in rules.timed)

    def rank_of(victims: list[str], number: int) -> tuple:
        top = tasks[victims[0]].priority if victims else -(2**31) - 1
        total = sum(tasks[t].priority + 2**31 for t in victims)
        return (top, total, len(victims), -placed[victims[0]] if victims else 0, number)

    candidates = []
    for number, place in enumerate(cluster.places.values()):
        leaving = [t for t in place.tasks if t in going]
        less = [t for t in place.tasks if t not in going and tasks[t].priority < task.priority]
        less.sort(key=lambda t: (-tasks[t].priority, placed[t]))
        if not leaving and not less:
            continue
        bare = {t: held for t, held in place.tasks.items() if t not in leaving and t not in less}
        if fits_as_far_as_its_row_goes(Place(place.node, dict(bare))):
            alone = _reprieve(place, bare, less, fits_as_far_as_its_row_goes)
            candidates.append((rank_of(alone, number), number, place, bare, less, leaving, alone))
    tried = []
    for _, number, place, bare, less, leaving, alone in sorted(candidates, key=lambda c: c[0]):
        if not fits(Place(place.node, dict(bare))):
            continue
        victims = _minimal(place, bare, less, _reprieve(place, bare, less, fits), fits)
        if leaving or victims:
            tried.append((rank_of(victims, number), place, victims, leaving))
            if set(victims) == set(alone):
                break
        elif not rules.timed:
            break
    if not tried:
        return None
    _, place, victims, leaving = min(tried, key=lambda t: t[0])
    bare = {t: held for t, held in place.tasks.items() if t not in leaving and t not in victims}
    for one in victims:
        with_one = {**bare, one: place.tasks[one]}
        assert not fits(Place(place.node, with_one)), f"{one} could be reprieved"
        assert tasks[one].priority < task.priority
    gpus = rules.devices(task, Place(place.node, bare), cluster) if task.gpus else ()
    return Found(place.node.name, gpus, victims, leaving)


def _reprieve(place: Place, bare: dict, candidates: list[str], fits: Callable[[Place], bool]) -> list[str]:
    kept, victims = dict(bare), []
    for t in candidates:
        tried = {**kept, t: place.tasks[t]}
        if fits(Place(place.node, tried)):
            kept = tried
        else:
            victims.append(t)
    return victims


def _minimal(place: Place, bare: dict, less: list[str], victims: list[str], fits: Callable[[Place], bool]) -> list[str]:
    while True:
        kept = {**bare, **{t: place.tasks[t] for t in less if t not in victims}}
        left = _reprieve(place, kept, victims, fits)
        if left == victims:
            return left
        victims = left


def kept_for_others(task: Task, place: Place, claims: list[Claim]) -> list[str]:
    """A filter: the task must fit beside those of equal or higher priority that have a claim here."""
    binding = [c for c in claims if c.task.id != task.id and c.task.priority >= task.priority]
    if not binding:
        return []
    beside = Place(place.node, {**place.tasks, **{c.task.id: (c.task.spec, c.gpus) for c in binding}})
    crowded = capacity(task, beside) or gpu_fit(task, beside) or ports(task, beside)
    return ["node(s) are kept for tasks that made room there"] if crowded else []
