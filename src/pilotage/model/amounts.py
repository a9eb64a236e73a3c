"""Amounts of resources: exact integers in base units, keyed by resource name.

Units: ``cpu`` in thousandths of a core, ``memory`` in bytes, ``gpu`` in thousandths of a GPU, ``tasks`` in tasks;
any other resource in units of its own.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from immutabledict import immutabledict

from pilotage.model.errors import InvalidInput

T = TypeVar("T")

Amounts = Mapping[str, int]
"""Amounts by resource name; the model always holds them as immutable mappings sorted by name."""

MAX_AMOUNT = 2**53
"""Largest amount of anything: one hundred times it still fits an int64, and a float64 holds it exactly."""

WHOLE_GPU = 1000
"""Thousandths in one GPU."""

MAX_GPUS = 1024
"""Most GPUs that one node may have or one task may ask for."""

BASE_RESOURCES = ("cpu", "memory", "gpu", "tasks")
"""Resources that every cluster has, in column order; others follow as nodes name them."""


def checked_amounts(field: str, amounts: Mapping[str, Any]) -> immutabledict[str, int]:
    """Return ``amounts`` as an immutable mapping sorted by name, or raise `InvalidInput` naming the bad one."""
    for name, amount in amounts.items():
        checked_name(f"{field} resource", name)
        checked_amount(f"{field}.{name}", amount)
    return immutabledict(sorted(amounts.items()))


def checked_amount(field: str, amount: Any, at_most: int = MAX_AMOUNT) -> int:
    """Return ``amount`` if it is an integer from 0 to ``at_most``, or raise `InvalidInput`."""
    if isinstance(amount, bool) or not isinstance(amount, int):
        raise InvalidInput(field, f"must be a whole number in base units, got {amount!r}")
    if amount < 0:
        raise InvalidInput(field, f"must not be negative, got {amount}")
    if amount > at_most:
        raise InvalidInput(field, f"is absurdly large: {amount} is more than {at_most}")
    return amount


def checked_tuple(field: str, items: Any, kind: type[T]) -> tuple[T, ...]:
    """Return ``items`` as a tuple if it is a list or tuple of ``kind``, or raise `InvalidInput`."""
    if not isinstance(items, list | tuple):
        raise InvalidInput(field, f"must be a tuple of {kind.__name__}, got {items!r:.80}")
    for item in items:
        if not isinstance(item, kind):
            raise InvalidInput(field, f"must hold {kind.__name__} only, got {item!r:.80}")
    return tuple(items)


def checked_name(field: str, name: Any) -> str:
    """Return ``name`` if it is a non-empty string of at most 512 characters, or raise `InvalidInput`."""
    if not isinstance(name, str) or not name:
        raise InvalidInput(field, f"must be a non-empty string, got {name!r}")
    if len(name) > 512:
        raise InvalidInput(field, f"is longer than 512 characters ({len(name)})")
    return name
