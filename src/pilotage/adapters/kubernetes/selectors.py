"""Node selectors of pods as terms of the model. A term that is malformed matches no node, as in kube-scheduler."""

import re
from collections.abc import Sequence

from pilotage.adapters.kubernetes.objects import NodeAffinity, PreferredTerm, Requirement, SelectorTerm
from pilotage.model.errors import InvalidInput
from pilotage.model.expression import Expression, Operator
from pilotage.model.task import Preference, Term

NEVER = Expression("", Operator.EXISTS)
"""Holds on no node: a label always has a key."""

_NAME = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_DOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_KEY = re.compile(rf"(?P<domain>{_DOMAIN}/)?{_NAME}", re.ASCII)
_VALUE = re.compile(rf"({_NAME})?", re.ASCII)
_INTEGER = re.compile("[+-]?[0-9]{1,19}", re.ASCII)


def required_terms(affinity: NodeAffinity | None) -> tuple[Term, ...] | None:
    """Return the terms of which one must match, or None where nothing is required."""
    required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
    if required is None:
        return None
    return tuple(_term(term) for term in required.node_selector_terms or ())


def preferences(field: str, affinity: NodeAffinity | None) -> tuple[Preference, ...]:
    """Return the preferred terms; raises `InvalidInput` for one that kube-scheduler could not read."""
    wanted = affinity.preferred_during_scheduling_ignored_during_execution if affinity else None
    return weighted_terms(f"{field}.preferredDuringSchedulingIgnoredDuringExecution", wanted or ())


def weighted_terms(field: str, wanted: Sequence[PreferredTerm]) -> tuple[Preference, ...]:
    """Return preferred terms of a list, those without weight or conditions left out."""
    found = []
    for i, each in enumerate(wanted):
        expressions, fields = each.preference.match_expressions or (), each.preference.match_fields or ()
        if not each.weight or not (expressions or fields):
            continue
        for what, faults in (
            ("matchExpressions", map(label_fault, expressions)),
            ("matchFields", map(field_fault, fields)),
        ):
            for j, fault in enumerate(faults):
                if fault:
                    raise InvalidInput(f"{field}[{i}].preference.{what}[{j}]", fault)
        found.append(Preference(each.weight, _term(each.preference)))
    return tuple(found)


def label_fault(requirement: Requirement) -> str | None:
    """Return what is wrong with a condition on a label, or None."""
    values, operator = requirement.values or (), requirement.operator
    match = _KEY.fullmatch(requirement.key)
    if match is None or len(match["domain"] or "") > 254:
        return f"{requirement.key!r:.80} is no key of a label"
    if operator not in set(Operator):
        return f"operator must be one of {', '.join(Operator)}, got {operator!r:.80}"
    if operator in ("In", "NotIn") and not values:
        return f"{operator} needs at least one value"
    if operator in ("Exists", "DoesNotExist") and values:
        return f"{operator} takes no values"
    if operator in ("Gt", "Lt") and (len(values) != 1 or not _is_int64(values[0])):
        return f"{operator} takes one integer, got {list(values)!r:.80}"
    wrong = [value for value in values if not _VALUE.fullmatch(value)]
    return f"{wrong[0]!r:.80} is no value of a label" if wrong else None


def field_fault(requirement: Requirement) -> str | None:
    """Return what is wrong with a condition on a field of the node, or None."""
    if requirement.operator not in ("In", "NotIn"):
        return f"operator must be In or NotIn, got {requirement.operator!r:.80}"
    if len(requirement.values or ()) != 1:
        return f"takes exactly one value, got {len(requirement.values or ())}"
    return None


def _term(term: SelectorTerm) -> Term:
    labels, fields = term.match_expressions or (), term.match_fields or ()
    names: set[str] | None = None
    others: list[str] = []
    broken = any(map(label_fault, labels)) or any(map(field_fault, fields))
    for each in fields:
        if each.key != "metadata.name":
            # a field that no node has reads as empty
            broken = broken or (each.operator == "In") == (each.values != [""])
        elif each.operator == "In":
            names = set(each.values or ()) if names is None else names & set(each.values or ())
        else:
            others += each.values or ()
    known = () if broken else [Expression(e.key, Operator(e.operator), tuple(e.values or ())) for e in labels]
    return Term(
        expressions=(NEVER,) if broken else tuple(known),
        names=None if names is None else tuple(sorted(names)),
        other_names=tuple(sorted(set(others))),
    )


def _is_int64(text: str) -> bool:
    return _INTEGER.fullmatch(text) is not None and -(2**63) <= int(text) < 2**63
