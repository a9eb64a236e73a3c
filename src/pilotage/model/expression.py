"""Conditions on labels, of nodes and of tasks (Kubernetes' rules)."""

import re
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import force_setattr

from pilotage.model.amounts import checked_tuple
from pilotage.model.errors import InvalidInput

_INTEGER = re.compile("[+-]?[0-9]{1,99}", re.ASCII)


class Operator(StrEnum):
    """How a label expression compares."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"
    GT = "Gt"
    LT = "Lt"


class Expression(Struct, frozen=True, cache_hash=True):
    """One condition on a label."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        force_setattr(self, "values", checked_tuple(f"affinity.{self.key}", self.values, str))
        if self.operator in (Operator.GT, Operator.LT):
            if len(self.values) != 1:
                raise InvalidInput(f"affinity.{self.key}", f"{self.operator} takes one value, got {len(self.values)}")
        elif self.operator in (Operator.IN, Operator.NOT_IN):
            if not self.values:
                raise InvalidInput(f"affinity.{self.key}", f"{self.operator} needs at least one value")
        elif self.values:
            raise InvalidInput(f"affinity.{self.key}", f"{self.operator} takes no values")

    def holds(self, value: str | None) -> bool:
        """Return whether a label with ``value`` (None: there is no such label) meets the condition."""
        match self.operator:
            case Operator.EXISTS:
                return value is not None
            case Operator.DOES_NOT_EXIST:
                return value is None
            case Operator.IN:
                return value in self.values
            case Operator.NOT_IN:
                return value not in self.values
            case _:
                return value is not None and self._compares(value)

    def _compares(self, value: str) -> bool:
        """Gt and Lt compare as 64-bit integers; what does not parse does not match."""
        if not (_INTEGER.fullmatch(value) and _INTEGER.fullmatch(self.values[0])):
            return False
        left, right = int(value), int(self.values[0])
        if not (-(2**63) <= left < 2**63 and -(2**63) <= right < 2**63):
            return False
        return left > right if self.operator == Operator.GT else left < right
