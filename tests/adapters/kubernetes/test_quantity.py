"""Quantities are exact, and what is none is refused by name."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.adapters.kubernetes.quantity import NANO, milli, nanos, units
from pilotage.model.errors import InvalidInput

SUFFIXES = {
    "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1), "k": Fraction(10**3),
    "M": Fraction(10**6), "G": Fraction(10**9), "T": Fraction(10**12), "P": Fraction(10**15), "E": Fraction(10**18),
    "Ki": Fraction(2**10), "Mi": Fraction(2**20), "Gi": Fraction(2**30), "Ti": Fraction(2**40), "Pi": Fraction(2**50),
    "e3": Fraction(1000), "E-2": Fraction(1, 100), "e+1": Fraction(10),
}  # fmt: skip


@given(st.integers(0, 10**6), st.integers(0, 9999), st.booleans(), st.sampled_from(sorted(SUFFIXES)))
def test_a_quantity_is_its_number_times_its_suffix_rounded_up(whole, fraction, dotted, suffix) -> None:
    text = f"{whole}.{fraction:04d}" if dotted else str(whole)
    value = Fraction(text) * SUFFIXES[suffix]
    exact = value * NANO
    assert nanos("q", text + suffix) == -(-exact.numerator // exact.denominator)
    if exact.denominator == 1:
        assert milli(nanos("q", text + suffix)) == -(-(value * 1000).numerator // (value * 1000).denominator)
        assert units(nanos("q", text + suffix)) == -(-value.numerator // value.denominator)


@pytest.mark.parametrize(
    ("value", "expected"), [(2, 2), (0.5, Fraction(1, 2)), ("+1", 1), (".5", Fraction(1, 2)), ("5.", 5)]
)
def test_plain_numbers_and_odd_forms_are_quantities(value, expected) -> None:
    assert Fraction(nanos("q", value), NANO) == expected


@pytest.mark.parametrize(
    "text", ["", "many", "1 Gi", "1gi", "--1", "1e", ".", "Ki", "1e99", "0x10", "1" * 65, "1_000", "٣"]
)
def test_what_is_no_quantity_is_refused_by_the_name_of_its_field(text) -> None:
    with pytest.raises(InvalidInput, match=r"^spec\.cpu: is no quantity"):
        nanos("spec.cpu", text)


def test_a_negative_quantity_is_refused() -> None:
    with pytest.raises(InvalidInput, match="must not be negative"):
        nanos("spec.cpu", "-1")
