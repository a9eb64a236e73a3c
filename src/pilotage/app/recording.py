"""Columns that note which facts are read and let nobody write: how a plugin's declaration is held against its deeds."""

from collections.abc import Hashable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pilotage.kernel.columns import Columns

GPU_COUNT = "gpu_count"
"""The fact that any GPU word stands for: a node's number of GPUs changes only with the node itself."""

_FACT_OF = {
    "gpu_free": "devices",
    "gpu_count": GPU_COUNT,
    "gpu_model": "models",
    "taint_set": "taints",
    "cordoned": "cordon",
    "name_hash": "names",
    "row_of": "names",
    "names": "names",
    "order": "names",
    "ports": "ports",
    "workload": "workload",
}
_AMOUNTS = ("capacity", "used")


class RecordingColumns:
    """Stands in for `Columns`: every fact that is read goes into ``read``, in the words of `Plugin.reads`."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._columns, name)
        if name in _FACT_OF:
            self.read.add(_FACT_OF[name])
        if name in _AMOUNTS:
            return _Amounts(value, self._columns, self.read)
        return _guarded(value) if isinstance(value, np.ndarray) else value

    @property
    def labels(self) -> dict[str, Any]:
        """The label columns, guarded."""
        self.read.add("labels")
        return {key: _guarded(column) for key, column in self._columns.labels.items()}

    def counts(self, name: str, key: Hashable) -> Any:
        """Counted tasks of each row, guarded."""
        self.read.add("counts")
        return _guarded(self._columns.counts(name, key))


class _Guarded(np.ndarray[Any, Any]):
    """A column of which every part that is taken out can not be written to."""

    def __getitem__(self, key: Any) -> Any:
        return _locked(self.view(np.ndarray)[key])

    def take(self, *args: Any, **options: Any) -> Any:
        """Return the entries of some rows."""
        return _locked(self.view(np.ndarray).take(*args, **options))


class _Amounts:
    """Amounts [resource, row], noting which resource is asked for."""

    def __init__(self, array: NDArray[Any], columns: Columns, read: set[str]) -> None:
        self._array = array
        self._names = list(columns.resources)
        self._read = read

    def __getitem__(self, key: Any) -> Any:
        which = key[0] if isinstance(key, tuple) else key
        self._read.update([self._names[which]] if isinstance(which, int) else self._names)
        part = self._array[key]
        return _guarded(part) if isinstance(part, np.ndarray) else part

    def __getattr__(self, name: str) -> Any:
        return getattr(self[:], name)

    def __array__(self, *args: Any, **options: Any) -> NDArray[Any]:
        return np.asarray(self[:], *args, **options)


def _guarded(array: NDArray[Any]) -> Any:
    view = array.view(_Guarded)
    view.flags.writeable = False
    return view


def _locked(part: Any) -> Any:
    if isinstance(part, np.ndarray):
        part.flags.writeable = False
    return part
