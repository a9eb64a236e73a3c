"""Pools of simulated instances: names, speeds and slots."""

from msgspec import Struct

from pilotage.learn.tokens import TokenSpeed
from pilotage.model.errors import InvalidInput

FAST = TokenSpeed(0.04, 0.10e-3, 30e-3)
"""Llama-2-70B on 8 H100 at batch 1, from the measurements of Splitwise (Patel et al., ISCA'24)."""
MEDIUM = TokenSpeed(0.05, 0.18e-3, 45e-3)
"""The same on 8 A100."""
SLOW = TokenSpeed(0.10, 0.36e-3, 90e-3)
"""Half as fast as medium: an assumption."""

SPEEDS = {"fast": FAST, "medium": MEDIUM, "slow": SLOW}

MAX_INSTANCES = 1000
MAX_SLOTS = 256

_HET8 = ("fast",) * 3 + ("medium",) * 3 + ("slow",) * 2
_POOLS: dict[str, tuple[str, ...]] = {"het8": _HET8, "equal8": ("medium",) * 8}


class Server(Struct, frozen=True):
    """A simulated instance: ``slots`` requests at once without slowing each other. Equal ``platform``, equal speed."""

    name: str
    platform: str
    slots: int
    speed: TokenSpeed


def to_pool(text: str) -> tuple[Server, ...]:
    """Return the pool that ``text`` names.

    ``het8``: three fast, three medium and two slow instances with one slot each; ``equal8``: eight medium ones. Or the
    platforms themselves, as in ``fast=2,slow=4``. ``:N`` behind it gives each instance N slots. Raises `InvalidInput`.
    """
    kinds, colon, tail = text.partition(":")
    slots = _number(tail, "slots behind the colon", MAX_SLOTS) if colon else 1
    platforms = _POOLS.get(kinds)
    if platforms is None:
        platforms = tuple(platform for part in kinds.split(",") for platform in _several(part))
    if len(platforms) > MAX_INSTANCES:
        raise InvalidInput("--instances", f"has {len(platforms)} instances; at most {MAX_INSTANCES} are simulated")
    seen: dict[str, int] = {}
    servers = []
    for platform in platforms:
        number = seen.get(platform, 0)
        seen[platform] = number + 1
        servers.append(Server(f"{platform}{number}", platform, slots, SPEEDS[platform]))
    return tuple(servers)


def _several(part: str) -> tuple[str, ...]:
    platform, _, count = part.strip().partition("=")
    if platform not in SPEEDS:
        known = f"{', '.join(_POOLS)}, or {'=N,'.join(SPEEDS)}=N"
        raise InvalidInput("--instances", f"no pool or platform is called {platform!r:.60}; known: {known}")
    return (platform,) * _number(count or "1", f"number of {platform} instances", MAX_INSTANCES)


def _number(text: str, what: str, largest: int) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= largest):
        raise InvalidInput("--instances", f"{what} must be a number from 1 to {largest}, got {text!r:.60}")
    return int(text)
