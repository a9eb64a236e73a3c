"""Counter-based randomness: a number that depends only on a seed and on names, never on how often it was asked for.

Mixing is SplitMix64's finaliser (Steele, Lea and Flood, OOPSLA 2014): three xor-shifts, two multiplications, all
modulo 2^64, so scalars and arrays agree bit for bit on every machine.
"""

from hashlib import blake2b

import numpy as np

from pilotage.kernel.arrays import UintArray

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_M1 = 0xBF58476D1CE4E5B9
_M2 = 0x94D049BB133111EB


def name_hash(name: str) -> int:
    """Return a 64-bit number for a name, the same on every machine and in every run."""
    return int.from_bytes(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def key_hash(seed: int, name: str) -> int:
    """Return the 64-bit key of one random decision: the one for ``name`` under ``seed``."""
    return _mix((name_hash(name) + (seed & _MASK) * _GOLDEN) & _MASK)


def random_numbers(key: int, hashes: UintArray) -> UintArray:
    """Return one uniform 64-bit number per entry of ``hashes`` (uint64[n]), keyed by ``key``."""
    x = hashes ^ np.uint64(key)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(_M1)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(_M2)
    return x ^ (x >> np.uint64(31))


def random_number(key: int, item: int) -> int:
    """The scalar form of `random_numbers` for one item hash."""
    return _mix(item ^ key)


def _mix(x: int) -> int:
    x = ((x ^ (x >> 30)) * _M1) & _MASK
    x = ((x ^ (x >> 27)) * _M2) & _MASK
    return x ^ (x >> 31)
