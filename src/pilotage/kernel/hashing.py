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
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)
_FACTOR_1, _FACTOR_2 = np.uint64(_M1), np.uint64(_M2)


def name_hash(name: str) -> int:
    """Return a 64-bit number for a name, the same on every machine and in every run."""
    return int.from_bytes(blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def key_hash(seed: int, name: str) -> int:
    """Return the 64-bit key of one random decision: the one for ``name`` under ``seed``."""
    return _mix((name_hash(name) + (seed & _MASK) * _GOLDEN) & _MASK)


def random_numbers(key: int, hashes: UintArray) -> UintArray:
    """Return one uniform 64-bit number per entry of ``hashes`` (uint64[n]), keyed by ``key``."""
    x: UintArray = hashes ^ np.uint64(key)
    x ^= x >> _SHIFT_1
    x *= _FACTOR_1
    x ^= x >> _SHIFT_2
    x *= _FACTOR_2
    x ^= x >> _SHIFT_3
    return x


def random_number(key: int, item: int) -> int:
    """The scalar form of `random_numbers` for one item hash."""
    return _mix(item ^ key)


def _mix(x: int) -> int:
    x = ((x ^ (x >> 30)) * _M1) & _MASK
    x = ((x ^ (x >> 27)) * _M2) & _MASK
    return x ^ (x >> 31)
