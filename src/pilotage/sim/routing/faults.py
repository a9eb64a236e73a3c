"""Faults that a simulated pool can have, as ``--fault`` names them."""

import re

from msgspec import Struct

from pilotage.model.errors import InvalidInput

_SLOW = re.compile(r"slow:(?P<server>[^:]+):(?P<times>[^:]+)x:(?P<part>[^:]+)%")
_STALE = re.compile(r"stale:(?P<every>[^:]+)s")


class Slow(Struct, frozen=True):
    """One instance takes ``times`` as long for one stretch: the middle ``part`` (0 to 1) of the arrivals' time."""

    server: str
    times: float
    part: float

    def span_s(self, end_s: float) -> tuple[float, float]:
        """Return from when to when it is slow, in a run whose last request arrives at ``end_s``."""
        return end_s * (0.5 - self.part / 2), end_s * (0.5 + self.part / 2)


class Stale(Struct, frozen=True):
    """Nobody says when a task ends: every ``every_s`` seconds all instances report what ended and what runs.

    What a router sent it knows at once.
    """

    every_s: float


Fault = Slow | Stale


def to_fault(text: str) -> Fault:
    """Return the fault that ``text`` names: ``slow:fast0:4x:30%`` or ``stale:5s``. Raises `InvalidInput`."""
    if found := _SLOW.fullmatch(text):
        times = _number(found["times"], "the factor", 1.0, 1000.0)
        return Slow(found["server"], times, _number(found["part"], "the part", 0.0, 100.0) / 100)
    if found := _STALE.fullmatch(text):
        return Stale(_number(found["every"], "the interval", 0.001, 3600.0))
    raise InvalidInput("--fault", f"must be like slow:fast0:4x:30% or stale:5s, got {text!r:.60}")


def _number(text: str, what: str, least: float, largest: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not least <= number <= largest:
        raise InvalidInput("--fault", f"{what} must be a number from {least:g} to {largest:g}, got {text!r:.60}")
    return number
