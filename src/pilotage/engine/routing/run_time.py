"""A run time that is not known yet: a distribution, what is left of it at an age, and the odds against a deadline.

A distribution is a sorted sample seen through a line: run time = offset + scale x sample. One sample (outputs of a
bin, quantiles, past run times) serves all speed classes that way, and nothing is copied.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import sqrt


class Sample:
    """Numbers in rising order with the sums that conditional means need. Any unit; not empty."""

    __slots__ = ("mean", "std", "tail_sums", "values")

    def __init__(self, values: Iterable[float]) -> None:
        self.values: list[float] = sorted(values)
        count = len(self.values)
        sums = list(accumulate(reversed(self.values), initial=0.0))
        self.tail_sums = sums[::-1]
        """Entry i: the sum of the values from i on."""
        self.mean = sums[-1] / count
        self.std = sqrt(sum((value - self.mean) ** 2 for value in self.values) / count)

    @classmethod
    def of_quantiles(cls, quantiles: Sequence[tuple[float, float]], points: int = 40) -> "Sample":
        """Return ``points`` equally likely values of the distribution through (level, value) pairs, levels rising.

        Between levels it is linear; beyond the outer ones it is flat, so nothing is invented there.
        """
        return cls(_interpolate(quantiles, (i + 0.5) / points) for i in range(points))


class RunTime:
    """One task on one speed class: seconds = ``offset_s`` + ``scale_s`` x a value of ``sample``; scale above 0."""

    __slots__ = ("mean_s", "offset_s", "sample", "scale_s")

    def __init__(self, sample: Sample, offset_s: float = 0.0, scale_s: float = 1.0) -> None:
        self.sample = sample
        self.offset_s = offset_s
        self.scale_s = scale_s
        self.mean_s = offset_s + scale_s * sample.mean

    @property
    def std_s(self) -> float:
        """The standard deviation in seconds."""
        return self.scale_s * self.sample.std

    def remaining_s(self, age_s: float) -> float:
        """Return the mean of what is left after ``age_s`` seconds of running: E[T - age | T > age]."""
        return max(0.0, self.expected_s(age_s)[0] - age_s)

    def expected_s(self, age_s: float) -> tuple[float, float]:
        """Return E[T | T > age], and the age up to which the answer stays the same.

        It changes only where the age passes a value of the sample. A task that is older than all of them is expected to
        take as long again as it is overdue: one that hangs is not taken to end at any moment.
        """
        sample = self.sample
        past = bisect_right(sample.values, (age_s - self.offset_s) / self.scale_s)
        longer = len(sample.values) - past
        if not longer:
            longest_s = self.offset_s + self.scale_s * sample.values[-1]
            return age_s + (age_s - longest_s), age_s
        next_s = self.offset_s + self.scale_s * sample.values[past]
        return self.offset_s + self.scale_s * sample.tail_sums[past] / longer, next_s

    def within(self, limit_s: float) -> float:
        """Return the probability that it runs at most ``limit_s`` seconds."""
        values = self.sample.values
        return bisect_right(values, (limit_s - self.offset_s) / self.scale_s) / len(values)

    def quantile_s(self, level: float) -> float:
        """Return the smallest run time that at least the part ``level`` (0 to 1) of the sample does not exceed."""
        values = self.sample.values
        rank = min(len(values) - 1, max(0, -int(-level * len(values) // 1) - 1))
        return self.offset_s + self.scale_s * values[rank]


def _interpolate(quantiles: Sequence[tuple[float, float]], level: float) -> float:
    after = bisect_right(quantiles, level, key=lambda pair: pair[0])
    if after == 0:
        return quantiles[0][1]
    if after == len(quantiles):
        return quantiles[-1][1]
    (low, left), (high, right) = quantiles[after - 1], quantiles[after]
    return left + (right - left) * (level - low) / (high - low)
