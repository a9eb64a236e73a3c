"""Which labels of a node would have to change for conditions on it to hold: the fewest, exact."""

from collections.abc import Iterable, Sequence
from contextlib import suppress

from pilotage.kernel.columns import ABSENT, Columns
from pilotage.model.change import Change, LabelGiven, LabelTaken, NodeAllowed
from pilotage.model.expression import Expression, Operator
from pilotage.model.task import Term


def label_of(columns: Columns, key: str, row: int) -> str | None:
    """Return the value of a node's label, None if it has none."""
    column = columns.labels.get(key)
    code = ABSENT if column is None else column.item(row)
    return None if code == ABSENT else columns.label_values[key].values[code - 1]


def label_changed(key: str, before: str | None, after: str | None) -> tuple[Change, ...]:
    """Return the change that makes a label's value ``after`` (None: takes it away); none if it is so already."""
    if before == after:
        return ()
    return (LabelTaken(key, before or ""),) if after is None else (LabelGiven(key, after),)


def fewest_label_changes(
    selector: Sequence[tuple[str, str]], terms: Sequence[Term] | None, columns: Columns, row: int
) -> tuple[Change, ...]:
    """Return the fewest changes after which the selector and one of ``terms`` hold; empty if nothing can do that."""
    always = [Expression(key, Operator.IN, (value,)) for key, value in selector]
    if terms is None:
        return _changes(always, None, columns, row) or ()
    ways = [
        changes
        for term in terms
        if not term.empty and (changes := _changes([*always, *term.expressions], term, columns, row)) is not None
    ]
    return min(ways, key=len, default=())


def _changes(
    expressions: Iterable[Expression], term: Term | None, columns: Columns, row: int
) -> tuple[Change, ...] | None:
    """Return what must change for all conditions to hold, None if they contradict each other."""
    by_key: dict[str, list[Expression]] = {}
    for expression in expressions:
        by_key.setdefault(expression.key, []).append(expression)
    changes: list[Change] = []
    for key, conditions in by_key.items():
        before = label_of(columns, key, row)
        values = [value for value in _candidates(before, conditions) if all(c.holds(value) for c in conditions)]
        if not values:
            return None
        changes += label_changed(key, before, values[0])
    name = columns.names[row]
    if term is not None and (name in term.other_names or (term.names is not None and name not in term.names)):
        changes.append(NodeAllowed(name))
    return tuple(changes)


def _candidates(before: str | None, conditions: Iterable[Expression]) -> list[str | None]:
    """Values of which one meets all conditions on a label, if any does; the present one first."""
    conditions = list(conditions)
    mentioned = {value for condition in conditions for value in condition.values}
    found: list[str | None] = [before]
    for condition in conditions:
        if condition.operator == Operator.IN:
            found += condition.values
        elif condition.operator in (Operator.GT, Operator.LT):
            step = 1 if condition.operator == Operator.GT else -1
            with suppress(ValueError):
                # One of so many steps is not mentioned, and so not forbidden.
                found += [str(int(condition.values[0]) + step * i) for i in range(1, len(mentioned) + 2)]
    return [*found, None, next(text for i in range(len(mentioned) + 1) if (text := f"any{i or ''}") not in mentioned)]
