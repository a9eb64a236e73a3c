"""Normalisers: arrays and plain numbers give the same, by the published rules."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.kernel.normalise import ByMaximum, MinMax
from tests.kernel import reference


def applied(normaliser, raw: list[float]) -> list[float]:
    """The scores, by array; checked against one by one."""
    low, high = min(raw), max(raw)
    by_array = normaliser.apply(np.array(raw), low, high).tolist()
    assert by_array == [normaliser.apply(number, low, high) for number in raw]
    return by_array


@pytest.mark.parametrize(
    ("raw", "scaled", "reversed_"),
    [
        ([0, 0], [0, 0], [100, 100]),
        ([0, 1, 2, 3], [0, 33, 66, 100], [100, 67, 34, 0]),
        ([7], [100], [0]),
        ([5, 5], [100, 100], [0, 0]),
        ([1, 200], [0, 100], [100, 0]),
    ],
)
def test_by_maximum(raw, scaled, reversed_) -> None:
    assert applied(ByMaximum(), raw) == scaled
    assert applied(ByMaximum(reverse=True), raw) == reversed_


@pytest.mark.parametrize(
    ("raw", "scaled"),
    [
        ([5, 5, 5], [0, 0, 0]),
        ([0, 1, 3], [0, 33, 100]),
        ([-3, -2, 0], [0, 33, 100]),
        ([0, 10**15, 3 * 10**15], [0, 33, 100]),
        ([0.0, 1.0, 4.0], [0.0, 25.0, 100.0]),
        ([-0.5, -0.5], [0.0, 0.0]),
    ],
)
def test_min_max(raw, scaled) -> None:
    assert applied(MinMax(), raw) == scaled


@given(st.lists(st.integers(0, 2**50), min_size=1, max_size=30))
def test_integers_stay_integers_as_the_reference_has_them(raw) -> None:
    assert applied(ByMaximum(), raw) == reference.by_maximum(raw)
    assert applied(ByMaximum(reverse=True), raw) == reference.by_maximum_reversed(raw)
    assert applied(MinMax(), raw) == reference.min_max(raw)


@given(st.lists(st.floats(-1e15, 1e15), min_size=1, max_size=30))
def test_floats_are_scaled_to_the_same_bits_as_the_reference(raw) -> None:
    assert applied(MinMax(), raw) == reference.min_max(raw)
    assert all(0.0 <= score <= 100.00000000000003 for score in applied(MinMax(), raw))
