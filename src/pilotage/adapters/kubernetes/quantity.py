"""Quantities of Kubernetes ("100m", "1.5Gi", "2e3") as exact integers: billionths of a unit, never floats."""

import re
from functools import lru_cache

from pilotage.model.errors import InvalidInput

NANO = 10**9
"""Billionths in one unit: nothing finer can be said (it is rounded up)."""

MILLI = NANO // 1000

Text = str | int | float
"""A quantity as it stands in a file: YAML and JSON also allow plain numbers."""

_QUANTITY = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]{1,9}))?", re.ASCII)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_LARGEST_EXPONENT = 30
"""No amount of anything in a cluster has more digits; what is larger is refused before it fills the memory."""


def nanos(field: str, text: Text) -> int:
    """Return a quantity in billionths, rounded away from zero; raises `InvalidInput` naming ``field``."""
    found = _nanos(text if isinstance(text, str) else repr(text))
    if found is None:
        raise InvalidInput(field, f"is no quantity: {text!r:.80} (as 500m, 2, 1.5Gi or 1e3)")
    if found < 0:
        raise InvalidInput(field, f"must not be negative, got {text!r:.80}")
    return found


def milli(amount: int) -> int:
    """Return ``amount`` billionths in thousandths, rounded up."""
    return -(-amount // MILLI)


def units(amount: int) -> int:
    """Return ``amount`` billionths in whole units, rounded up."""
    return -(-amount // NANO)


@lru_cache(maxsize=16_384)
def _nanos(text: str) -> int | None:
    match = _QUANTITY.fullmatch(text)
    if match is None or len(text) > 64:
        return None
    sign, whole, fraction, suffix, exponent = match.groups()
    digits = (whole or "") + (fraction or "")
    if not digits:
        return None
    number, scale = int(digits), -len(fraction or "") + 9
    if suffix in _BINARY:
        number <<= _BINARY[suffix]
    elif exponent is not None:
        scale += int(exponent)
    else:
        scale += _DECIMAL[suffix or ""]
    if scale > _LARGEST_EXPONENT:
        return None if number else 0
    amount: int = number * 10**scale if scale >= 0 else -(-number // 10 ** min(-scale, 100))
    return -amount if sign == "-" else amount
