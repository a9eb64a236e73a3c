"""Reads a mapping from a file field by field and collects every fault, instead of stopping at the first."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from pilotage.model.errors import InvalidInput

_DURATION = re.compile(r"(?:([0-9]+(?:\.[0-9]+)?)(h|ms|m|s|us|µs|ns))+", re.ASCII)
_PIECE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s|us|µs|ns)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


class Faults:
    """What is wrong with a file: (field, reason) in the order of finding."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []

    def add(self, field: str, reason: str) -> None:
        """Note one fault."""
        self.found.append((field, reason))

    def raise_all(self, what: str) -> None:
        """Raise one `InvalidInput` that tells all faults, if there are any."""
        if len(self.found) == 1:
            raise InvalidInput(*self.found[0])
        if self.found:
            lines = "".join(f"\n  {field}: {reason}" for field, reason in self.found)
            raise InvalidInput(what, f"has {len(self.found)} faults{lines}")


class Part:
    """A mapping in a file: asked for its fields one by one, then `done` tells which were never asked for."""

    def __init__(self, field: str, value: Any, faults: Faults) -> None:
        self.field = field
        self.faults = faults
        self._asked: set[str] = set()
        self._fields: Mapping[str, Any] = {}
        if isinstance(value, Mapping):
            self._fields = value
        elif value is not None:
            faults.add(field, f"must be a mapping, got {value!r:.60}")

    def path(self, name: str) -> str:
        """Return the full name of a field."""
        return f"{self.field}.{name}" if self.field else name

    def has(self, name: str) -> bool:
        """Whether a field is there and not null."""
        return self._fields.get(name) is not None

    def fault(self, name: str, reason: str) -> None:
        """Note that a field can not be used."""
        self.faults.add(self.path(name), reason)

    def take(self, name: str) -> Any:
        """Return a field as it stands, None if it is missing."""
        self._asked.add(name)
        return self._fields.get(name)

    def text(self, name: str, default: str = "", choices: tuple[str, ...] = ()) -> str:
        """Return a string."""
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, str):
            self.fault(name, f"must be a string, got {value!r:.60}")
            return default
        if choices and value not in choices:
            self.fault(name, f"must be one of {', '.join(choices)}, got {value!r:.60}")
            return default
        return value

    def whole(self, name: str, default: int, at_least: int | None = None, at_most: int | None = None) -> int:
        """Return a whole number within bounds."""
        value = self.take(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            self.fault(name, f"must be a whole number, got {value!r:.60}")
            return default
        if (at_least is not None and value < at_least) or (at_most is not None and value > at_most):
            bound = f"{at_least} to {at_most}" if at_most is not None else f"at least {at_least}"
            self.fault(name, f"must be {bound}, got {value}")
            return default
        return value

    def flag(self, name: str, default: bool) -> bool:
        """Return true or false."""
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.fault(name, f"must be true or false, got {value!r:.60}")
            return default
        return value

    def seconds(self, name: str, default: float) -> float:
        """Return a duration, written as Go does (15s, 1m30s)."""
        value = self.take(name)
        if value is None:
            return default
        if value == "0" or not isinstance(value, str) or not _DURATION.fullmatch(value):
            if value == "0":
                return 0.0
            self.fault(name, f"must be a duration as 15s or 1m30s, got {value!r:.60}")
            return default
        return sum(float(number) * _SECONDS[unit] for number, unit in _PIECE.findall(value))

    def part(self, name: str) -> "Part":
        """Return a mapping; an empty one if it is missing."""
        return Part(self.path(name), self.take(name), self.faults)

    def items(self, name: str) -> list[Any]:
        """Return a list; an empty one if it is missing."""
        value = self.take(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.fault(name, f"must be a list, got {value!r:.60}")
            return []
        return value

    def parts(self, name: str) -> list["Part"]:
        """Return a list of mappings."""
        return [Part(f"{self.path(name)}[{i}]", each, self.faults) for i, each in enumerate(self.items(name))]

    def texts(self, name: str) -> list[str]:
        """Return a list of strings."""
        found = []
        for i, each in enumerate(self.items(name)):
            if isinstance(each, str):
                found.append(each)
            else:
                self.faults.add(f"{self.path(name)}[{i}]", f"must be a string, got {each!r:.60}")
        return found

    def done(self) -> None:
        """Note every field that nobody asked for."""
        for name in self._fields:
            if name not in self._asked:
                near = get_close_matches(str(name), self._asked, n=1)
                self.fault(str(name), f"is unknown{f'; did you mean {near[0]}?' if near else ''}")
