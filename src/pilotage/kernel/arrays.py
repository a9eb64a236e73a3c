"""Names for the array types of the kernel."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]
CodeArray = NDArray[np.int64]
"""Codes of a dictionary encoding."""
IntArray = NDArray[np.int64]
UintArray = NDArray[np.uint64]
FloatArray = NDArray[np.float64]
ScoreArray = NDArray[Any]
"""Scores: int64, or float64 where a scorer is not exact."""

S = TypeVar("S", bound=np.generic)


def longer(array: NDArray[S], length: int, axis: int) -> NDArray[S]:
    """Return a copy of ``array`` that is ``length`` long on ``axis``, the new part zero."""
    shape = list(array.shape)
    shape[axis] = length
    grown: NDArray[Any] = np.zeros(shape, array.dtype)
    grown[tuple(slice(0, size) for size in array.shape)] = array
    return grown
