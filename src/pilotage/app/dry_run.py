"""What a scheduler would do with the pods of a cluster that wait for a place: decided here, carried out nowhere.

There is one engine for each profile; all of them are told what any of them decides, so they share one cluster as the
profiles of one kube-scheduler do.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from pilotage.adapters.kubernetes.company import selects_namespaces
from pilotage.adapters.kubernetes.configuration import Configuration
from pilotage.adapters.kubernetes.files import Objects
from pilotage.adapters.kubernetes.judgement import Judgement, judge
from pilotage.adapters.kubernetes.messages import fit_error, gated
from pilotage.adapters.kubernetes.objects import Pod
from pilotage.adapters.kubernetes.profile import DEFAULT_SCHEDULER, Profile, policy_of
from pilotage.adapters.kubernetes.translate import OVER, SYSTEM_PRIORITIES, Reading, node_of, placed_task_of, task_of
from pilotage.engine.engine import Engine
from pilotage.kernel.policy import Policy
from pilotage.model.effects import Bind, Reject
from pilotage.model.errors import InvalidInput
from pilotage.model.events import NodeAdded, TaskPlaced, TaskSubmitted
from pilotage.model.task import Task

Verdict = Literal["placed", "unschedulable", "gated", "not weighed", "invalid", "another scheduler's"]


def read_live(kubeconfig: str | None, context: str | None) -> Objects:
    """Return the objects of a cluster that runs, by kubeconfig, environment or service account; it is only read from.

    Raises `InvalidInput` that says what of the access does not work.
    """
    from pilotage.adapters.kubernetes.kubeconfig import find_access
    from pilotage.adapters.kubernetes.listing import read_cluster

    return asyncio.run(read_cluster(find_access(kubeconfig, context, os.environ)))


class Outcome(Struct, frozen=True, kw_only=True):
    """What becomes of one waiting pod. ``feasible``: how many nodes it could choose from."""

    pod: str
    verdict: Verdict
    node: str = ""
    score: float | None = None
    feasible: int = 0
    message: str = ""


class DryRun(Struct, frozen=True, kw_only=True):
    """All outcomes, in the order of deciding, what to know about them, and the judgement that was asked for."""

    nodes: int
    running: int
    outcomes: list[Outcome]
    notes: list[str]
    explained: Judgement | None = None

    def count(self, verdict: Verdict) -> int:
        """Return how many pods came to ``verdict``."""
        return sum(outcome.verdict == verdict for outcome in self.outcomes)


def dry_run(
    objects: Objects, configuration: Configuration, *, policy: Policy | None = None, explain: str | None = None
) -> DryRun:
    """Decide on every pod that waits, in the order of the queue: priority, then age, then place in the files.

    ``policy`` decides instead of the profiles' own. ``explain`` (namespace/name): also judge every node for that pod
    when its turn comes. Raises `InvalidInput` for objects that can not be used; pods that can not are outcomes.
    """
    if twice := [key for key, count in Counter(pod.key for pod in objects.pods).items() if count > 1]:
        raise InvalidInput(f"pod {twice[0]}", "is among the objects twice")
    profiles = {profile.name: profile for profile in configuration.profiles}
    engines = {name: Engine(policy or policy_of(profile), retry=False) for name, profile in profiles.items()}
    readings = {name: profile.reading(objects.surroundings) for name, profile in profiles.items()}
    run = _Run(profiles, readings, engines, priorities_of(objects), explain)
    run.tell_nodes(objects)
    running = run.tell_running(objects)
    waiting = run.translate(objects)
    for pod, task in sorted(waiting, key=lambda each: (-each[1].priority, each[1].arrival_s)):
        run.decide(pod, task)
    if explain is not None and run.explained is None:
        raise InvalidInput("--explain", f"no pod {explain!r} waits for a decision here")
    return DryRun(
        nodes=len(objects.nodes),
        running=running,
        outcomes=run.outcomes,
        notes=_notes(objects, configuration),
        explained=run.explained,
    )


class _Run:
    def __init__(
        self,
        profiles: dict[str, Profile],
        readings: dict[str, Reading],
        engines: dict[str, Engine],
        priorities: dict[str, int],
        explain: str | None,
    ) -> None:
        self.profiles = profiles
        self.readings = readings
        self.engines = engines
        self.priorities = priorities
        self.explain = explain
        self.outcomes: list[Outcome] = []
        self.explained: Judgement | None = None

    def tell_nodes(self, objects: Objects) -> None:
        for wire in objects.nodes:
            try:
                node = node_of(wire)
                for engine in self.engines.values():
                    engine.apply(NodeAdded(node))
            except InvalidInput as error:
                raise InvalidInput(f"node {wire.metadata.name!r}: {error.field}", error.reason) from error

    def tell_running(self, objects: Objects) -> int:
        """Place the pods that are on nodes; return how many there are."""
        running = 0
        known = {wire.metadata.name for wire in objects.nodes}
        for pod in objects.pods:
            phase = pod.status.phase if pod.status else ""
            if not pod.spec.node_name or phase in OVER:
                continue
            running += 1
            if pod.spec.node_name not in known:
                continue
            try:
                for name, engine in self.engines.items():
                    task = placed_task_of(pod, self.readings[name])
                    engine.apply(TaskPlaced(task, pod.spec.node_name))
            except InvalidInput as error:
                raise InvalidInput(f"pod {pod.key}: {error.field}", error.reason) from error
        return running

    def translate(self, objects: Objects) -> list[tuple[Pod, Task]]:
        """Return the pods that can be decided, and note what becomes of the others."""
        for key, reason in objects.broken:
            self.outcomes.append(Outcome(pod=key, verdict="invalid", message=reason))
        waiting = []
        for pod in objects.pods:
            meta, phase = pod.metadata, pod.status.phase if pod.status else ""
            if pod.spec.node_name or phase in OVER or meta.deletion_timestamp:
                continue
            scheduler = pod.spec.scheduler_name or DEFAULT_SCHEDULER
            profile = self.profiles.get(scheduler)
            if profile is None:
                verdict: Verdict = "another scheduler's"
                self.outcomes.append(Outcome(pod=pod.key, verdict=verdict, message=f"asks for {scheduler}"))
                continue
            if beyond := features_beyond(pod):
                text = f"uses {', '.join(beyond)}, which is not weighed yet"
                self.outcomes.append(Outcome(pod=pod.key, verdict="not weighed", message=text))
                continue
            try:
                task = task_of(pod, self.readings[scheduler], priority=self._priority(pod))
            except InvalidInput as error:
                self.outcomes.append(Outcome(pod=pod.key, verdict="invalid", message=str(error)))
                continue
            if task.gates and profile.gates:
                self.outcomes.append(Outcome(pod=pod.key, verdict="gated", message=gated(task.gates)))
                continue
            waiting.append((pod, replace(task, gates=())))
        return waiting

    def decide(self, pod: Pod, task: Task) -> None:
        name = pod.spec.scheduler_name or DEFAULT_SCHEDULER
        engine = self.engines[name]
        state = engine.state
        if pod.key == self.explain:
            rows, sized = state.rotation.order.tolist(), self.profiles[name].release != "1.33"
            self.explained = judge(engine.policy, state.columns, task, rows, sized=sized)
        engine.apply(TaskSubmitted(task))
        (effect,) = engine.decide()
        for other in self.engines.values():
            other.state.rotation.start = state.rotation.start
            if isinstance(effect, Bind) and other is not engine:
                other.apply(TaskPlaced(task, effect.node))
        if isinstance(effect, Bind):
            made, score = effect.decision, effect.decision.score
            self.outcomes.append(
                Outcome(pod=pod.key, verdict="placed", node=made.node, score=score, feasible=made.feasible)
            )
        elif isinstance(effect, Reject):
            message = fit_error(len(state.nodes), effect.decision.rejections)
            self.outcomes.append(Outcome(pod=pod.key, verdict="unschedulable", message=message))

    def _priority(self, pod: Pod) -> int:
        name = pod.spec.priority_class_name or ""
        if pod.spec.priority is None and name and name not in self.priorities:
            raise InvalidInput("spec.priorityClassName", f"no PriorityClass {name!r} is among the objects")
        return self.priorities.get(name, 0)


def features_beyond(pod: Pod) -> list[str]:
    """Return what a pod asks for that no plugin here weighs yet."""
    spec = pod.spec
    found = {
        "persistent volume claims": any("persistentVolumeClaim" in v or "ephemeral" in v for v in spec.volumes or ()),
        "resource claims": bool(spec.resource_claims),
    }
    return [name for name, used in found.items() if used]


def priorities_of(objects: Objects) -> dict[str, int]:
    """Priorities by the name of their class; the empty name is that of pods without a class."""
    found = dict(SYSTEM_PRIORITIES)
    for each in objects.classes:
        found[each.metadata.name] = each.value
        if each.global_default:
            found[""] = each.value
    return found


def _notes(objects: Objects, configuration: Configuration) -> list[str]:
    notes = []
    around = objects.surroundings
    lost = sum(around.lacks_controller_of(pod) for pod in objects.pods if not pod.spec.node_name)
    if lost:
        notes.append(
            f"the controllers of {lost} waiting pods are not among the objects: these pods are not spread by default "
            "(kubectl get replicasets,statefulsets,services -A)"
        )
    if not around.namespaces and any(selects_namespaces(pod) for pod in objects.pods):
        notes.append("no namespaces are among the objects: to namespaceSelector none of them has labels")
    if configuration.extenders:
        notes.append(f"extenders are not called in a dry run: {', '.join(configuration.extenders)}")
    return notes


def told(outcomes: Sequence[Outcome]) -> str:
    """Return how many pods came to which verdict, in words."""
    counts: dict[str, int] = {}
    for outcome in outcomes:
        counts[outcome.verdict] = counts.get(outcome.verdict, 0) + 1
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items()) or "no pod waits"
