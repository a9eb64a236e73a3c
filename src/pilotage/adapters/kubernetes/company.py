"""What a pod wants of other pods, as terms of the model: spread over domains, affinity and anti-affinity.

Source: PodTopologySpread and InterPodAffinity of kube-scheduler 1.35, and what the API server adds to terms.
"""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from pilotage.adapters.kubernetes.objects import (
    Labels,
    LabelSelector,
    Pod,
    PodAffinityTerm,
    Requirement,
    SpreadConstraint,
)
from pilotage.adapters.kubernetes.selectors import label_fault
from pilotage.adapters.kubernetes.surroundings import Surroundings
from pilotage.model.company import Company, PreferredCompany, Selector, Spread
from pilotage.model.errors import InvalidInput
from pilotage.model.expression import Expression, Operator

TERMINATING = " terminating"
"""A label that no pod can have, of pods on their way out: spread does not count them, affinity does."""

_STAYS = Expression(TERMINATING, Operator.DOES_NOT_EXIST)

SYSTEM_SPREAD = (
    SpreadConstraint(max_skew=3, topology_key="kubernetes.io/hostname", when_unsatisfiable="ScheduleAnyway"),
    SpreadConstraint(max_skew=5, topology_key="topology.kubernetes.io/zone", when_unsatisfiable="ScheduleAnyway"),
)
"""How the pods of a service or a controller are spread that say nothing themselves."""


class Wants(Struct, frozen=True):
    """Required, refused and preferred company."""

    company: tuple[Company, ...] = ()
    no_company: tuple[Company, ...] = ()
    preferred_company: tuple[PreferredCompany, ...] = ()


def spread_of(
    pod: Pod, defaults: tuple[SpreadConstraint, ...] | None, surroundings: Surroundings
) -> tuple[Spread, ...]:
    """Return the constraints of a pod, else the ``defaults`` of its profile (None: the system's).

    Raises `InvalidInput` naming the field of a constraint that can not be used.
    """
    namespace = pod.metadata.namespace or "default"
    own = pod.spec.topology_spread_constraints
    if own:
        return tuple(
            _spread(pod, f"spec.topologySpreadConstraints[{i}]", each, namespace) for i, each in enumerate(own)
        )
    among = SYSTEM_SPREAD if defaults is None else defaults
    mates = surroundings.mates_of(pod) if among else ()
    if not mates:
        return ()
    selector = Selector((*mates, _STAYS), (namespace,))
    lenient = defaults is None
    return tuple(_constraint(f"defaultConstraints[{i}]", c, selector, lenient) for i, c in enumerate(among))


def _spread(pod: Pod, field: str, constraint: SpreadConstraint, namespace: str) -> Spread:
    expressions = expressions_of(f"{field}.labelSelector", constraint.label_selector)
    if expressions is not None:
        expressions += _by_keys(pod, constraint.match_label_keys, Operator.IN)
    # A selector that selects all counts nothing there, as one that selects none.
    selector = Selector((*expressions, _STAYS) if expressions else (), (namespace,))
    return _constraint(field, constraint, selector, lenient=False)


def _constraint(field: str, wire: SpreadConstraint, selector: Selector, lenient: bool) -> Spread:
    hard = wire.when_unsatisfiable == "DoNotSchedule"
    for name, value, choices in (
        ("whenUnsatisfiable", wire.when_unsatisfiable, ("DoNotSchedule", "ScheduleAnyway")),
        ("nodeAffinityPolicy", wire.node_affinity_policy or "Honor", ("Honor", "Ignore")),
        ("nodeTaintsPolicy", wire.node_taints_policy or "Ignore", ("Honor", "Ignore")),
    ):
        if value not in choices:
            raise InvalidInput(f"{field}.{name}", f"must be {' or '.join(choices)}, got {value!r:.80}")
    try:
        return Spread(
            key=wire.topology_key,
            selector=selector,
            max_skew=wire.max_skew,
            hard=hard,
            min_domains=(wire.min_domains or 1) if hard else 1,
            honour_affinity=wire.node_affinity_policy != "Ignore",
            honour_taints=wire.node_taints_policy == "Honor",
            lenient=lenient and not hard,
        )
    except InvalidInput as error:
        raise InvalidInput(f"{field}: {error.field}", error.reason) from error


def wants_of(pod: Pod, surroundings: Surroundings, *, placed: bool) -> Wants:
    """Return what a pod wants of others; raises `InvalidInput` naming the field of a term that can not be used.

    Terms of pods that are ``placed`` are held against the labels of a newcomer's namespace, whatever they are.
    """
    affinity = pod.spec.affinity
    if affinity is None or (affinity.pod_affinity is None and affinity.pod_anti_affinity is None):
        return Wants()
    found: dict[str, list[Company]] = {"podAffinity": [], "podAntiAffinity": []}
    preferred: list[PreferredCompany] = []
    for name, part, sign in (
        ("podAffinity", affinity.pod_affinity, 1),
        ("podAntiAffinity", affinity.pod_anti_affinity, -1),
    ):
        if part is None:
            continue
        field = f"spec.affinity.{name}.requiredDuringSchedulingIgnoredDuringExecution"
        for i, term in enumerate(part.required_during_scheduling_ignored_during_execution or ()):
            found[name].append(_company(pod, f"{field}[{i}]", term, surroundings, placed))
        field = f"spec.affinity.{name}.preferredDuringSchedulingIgnoredDuringExecution"
        for i, weighted in enumerate(part.preferred_during_scheduling_ignored_during_execution or ()):
            if not 0 <= weighted.weight <= 100:
                raise InvalidInput(f"{field}[{i}].weight", f"must be 1 to 100, got {weighted.weight}")
            company = _company(pod, f"{field}[{i}].podAffinityTerm", weighted.pod_affinity_term, surroundings, placed)
            if weighted.weight:
                preferred.append(PreferredCompany(sign * weighted.weight, company))
    refused = tuple(each for each in found["podAntiAffinity"] if each.selector is not None)  # nobody: refuses nothing
    return Wants(tuple(found["podAffinity"]), refused, tuple(preferred))


def _company(pod: Pod, field: str, term: PodAffinityTerm, surroundings: Surroundings, placed: bool) -> Company:
    if not term.topology_key:
        raise InvalidInput(f"{field}.topologyKey", "must name the label of a domain")
    expressions = expressions_of(f"{field}.labelSelector", term.label_selector)
    namespaces = _namespaces(pod, field, term, surroundings, placed)
    if expressions is None or namespaces is None:
        return Company(term.topology_key, None)
    expressions += _by_keys(pod, term.match_label_keys, Operator.IN)
    expressions += _by_keys(pod, term.mismatch_label_keys, Operator.NOT_IN)
    return Company(term.topology_key, Selector(tuple(dict.fromkeys(expressions)), namespaces))


def _namespaces(
    pod: Pod, field: str, term: PodAffinityTerm, surroundings: Surroundings, placed: bool
) -> tuple[str, ...] | None:
    """Return the namespaces that a term speaks of: () for all of them, None for none."""
    explicit = set(term.namespaces or ())
    if term.namespace_selector is None:
        return tuple(explicit or {pod.metadata.namespace or "default"})
    expressions = expressions_of(f"{field}.namespaceSelector", term.namespace_selector) or ()
    if _hold(expressions, {}) and not (placed and expressions):
        # kube-scheduler replaces the selector of a pod that comes by names, and yet asks it again, of no labels at all.
        return ()
    return tuple(explicit | {n for n, labels in surroundings.namespaces.items() if _hold(expressions, labels)}) or None


def _hold(expressions: Iterable[Expression], labels: Mapping[str, str]) -> bool:
    return all(expression.holds(labels.get(expression.key)) for expression in expressions)


def expressions_of(field: str, selector: LabelSelector | None) -> tuple[Expression, ...] | None:
    """Return the conditions of a label selector, sorted; None for one that is not there, which selects nothing."""
    if selector is None:
        return None
    exact = [
        Requirement(key=key, operator="In", values=[value]) for key, value in (selector.match_labels or {}).items()
    ]
    return tuple(sorted(_expressions(field, [*exact, *(selector.match_expressions or ())]), key=repr))


def _expressions(field: str, requirements: Iterable[Requirement]) -> Iterator[Expression]:
    for each in requirements:
        fault = label_fault(each)
        if fault is None and each.operator in ("Gt", "Lt"):
            fault = f"operator must be In, NotIn, Exists or DoesNotExist, got {each.operator!r}"
        if fault:
            raise InvalidInput(field, fault)
        yield Expression(each.key, Operator(each.operator), tuple(each.values or ()))


def _by_keys(pod: Pod, keys: list[str] | None, operator: Operator) -> tuple[Expression, ...]:
    """Return conditions that others have the pod's own values of some labels, or not (the API server writes them)."""
    labels: Labels = pod.metadata.labels or {}
    return tuple(Expression(key, operator, (labels[key],)) for key in keys or () if key in labels)


def selects_namespaces(pod: Pod) -> bool:
    """Whether a pod speaks of namespaces by their labels."""
    affinity = pod.spec.affinity
    for part in (affinity.pod_affinity, affinity.pod_anti_affinity) if affinity else ():
        required = (part.required_during_scheduling_ignored_during_execution or ()) if part else ()
        weighted = (part.preferred_during_scheduling_ignored_during_execution or ()) if part else ()
        if any(term.namespace_selector for term in (*required, *(each.pod_affinity_term for each in weighted))):
            return True
    return False
