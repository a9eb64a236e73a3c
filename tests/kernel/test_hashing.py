"""Counter-based randomness: known values, scalar equals array, and no pattern that a test can see."""

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pilotage.kernel.hashing import key_hash, name_hash, random_number, random_numbers
from tests.kernel import reference


def test_splitmix64_gives_its_published_numbers() -> None:
    # The first outputs of the generator seeded with 0 are the finaliser of 1, 2, 3 times the golden gamma.
    golden = 0x9E3779B97F4A7C15
    outputs = [random_number(0, k * golden % 2**64) for k in (1, 2, 3)]
    assert outputs == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_scalar_equals_array(key, items) -> None:
    by_array = random_numbers(key, np.array(items, np.uint64)).tolist()
    assert by_array == [random_number(key, item) for item in items]
    assert by_array == [reference.mixed(item ^ key) for item in items]


@given(st.integers(-(2**70), 2**70), st.text())
def test_a_key_is_a_64_bit_number_of_seed_and_name(seed, name) -> None:
    assert 0 <= key_hash(seed, name) < 2**64
    assert key_hash(seed, name) == key_hash(seed % 2**64, name)
    assert key_hash(seed, name) != key_hash(seed + 1, name)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_name_has_the_reference_number(name) -> None:
    assert name_hash(name) == reference.name_number(name)


def test_half_of_all_bits_are_set() -> None:
    seed = random.randrange(2**32)
    numbers = random_numbers(key_hash(seed, "x"), np.arange(20_000, dtype=np.uint64))
    for bit in range(64):
        ones = int(((numbers >> np.uint64(bit)) & np.uint64(1)).sum())
        assert abs(ones - 10_000) < 500, f"bit {bit}, seed {seed}"  # seven standard deviations
