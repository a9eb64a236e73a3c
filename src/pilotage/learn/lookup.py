"""The lookup table: measured quantiles per model, and the submitter's own statement of the cost.

The file is a JSON array of records with ``status``, ``model_type``, ``model_info`` {type, name, hardware,
software_name, software_version}, ``quantiles`` (levels) and ``quantile_predictions`` (milliseconds).
"""

from collections.abc import Mapping
from math import sqrt
from statistics import fmean, pvariance
from typing import Any

import msgspec
from msgspec import Struct

from pilotage.model.errors import InvalidInput
from pilotage.model.routing import Prediction

DECLARED = "server_time_cost"
"""The key of ``metadata`` by which a submitter states the run time in milliseconds."""

_FILTERS = ("model_name", "hardware", "software_name", "software_version")


class _Info(Struct):
    type: str = ""
    name: str = ""
    hardware: str = ""
    software_name: str = ""
    software_version: str = ""


class _Record(Struct):
    status: str = ""
    model_type: str = ""
    model_info: _Info | None = None
    quantiles: list[float] | None = None
    quantile_predictions: list[float] | None = None


class Table:
    """A predictor that looks up. Several records that match are taken as a mixture: means average, variances add.

    A model that no record knows has no prediction (None): the caller books a default, so that its tasks still count.
    """

    def __init__(self, content: bytes, source: str = "lookup table") -> None:
        try:
            records = msgspec.json.decode(content, type=list[_Record])
        except msgspec.MsgspecError as error:
            raise InvalidInput(source, f"is no lookup table: {error}") from None
        self._records = [each for each in records if each.status == "success" and summary(each) is not None]
        self.total_records = len(records)
        self._found: dict[tuple[str, ...], Prediction | None] = {}

    @property
    def statistics(self) -> dict[str, Any]:
        """``total_records``, ``successful_records`` (usable ones) and ``model_types``."""
        types = sorted({each.model_type for each in self._records if each.model_type})
        return {
            "total_records": self.total_records,
            "successful_records": len(self._records),
            "model_types": types,
        }

    def predict(self, model: str, metadata: Mapping[str, Any], platform: str) -> Prediction | None:
        """Match by ``model_type``, else by ``model_info.type`` and whatever of its details ``metadata`` names."""
        key = (model, *(str(metadata.get(each, "")) for each in _FILTERS))
        if key not in self._found:
            if len(self._found) > 10_000:
                self._found.clear()
            self._found[key] = self._look_up(model, metadata)
        return self._found[key]

    def observe(self, model: str, metadata: Mapping[str, Any], platform: str, run_s: float) -> None:
        """A table does not learn."""

    def _look_up(self, model: str, metadata: Mapping[str, Any]) -> Prediction | None:
        found = [each for each in self._records if each.model_type == model]
        if not found:
            found = [each for each in self._records if _describes(each.model_info, model, metadata)]
        parts = [part for part in map(summary, found) if part is not None]
        if not parts:
            return None
        means = [part.mean_s for part in parts]
        variance = fmean(part.std_s**2 for part in parts) + pvariance(means)
        levels = sorted(set.intersection(*({level for level, _ in part.quantiles} for part in parts)))
        tables = [dict(part.quantiles) for part in parts]
        quantiles = tuple((level, fmean(table[level] for table in tables)) for level in levels)
        return Prediction(fmean(means), sqrt(variance), quantiles)


def summary(record: _Record) -> Prediction | None:
    """Mean and deviation of one record's quantiles; None without those of 0.25, 0.5 and 0.75."""
    pairs = zip(record.quantiles or (), record.quantile_predictions or (), strict=False)
    at = {float(f"{level:.6g}"): value for level, value in pairs}
    if not {0.25, 0.5, 0.75} <= at.keys():
        return None
    expected, error = spread(at[0.25], at[0.5], at[0.75], at.get(0.99))
    return Prediction(expected / 1000, error / 1000, tuple((level, at[level] / 1000) for level in sorted(at)))


def spread(q25: float, q50: float, q75: float, q99: float | None = None) -> tuple[float, float]:
    """Return expectation and deviation of four quantiles.

    e = 0.7 q50 + 0.15 q25 + 0.15 q75; s = (q75 - q25) / 1.349 x k, with k = 1.5, or less where the tail is short:
    k = min(1.5, (q99 - q50) / (1.65 (q75 - q50))), never below 0.
    """
    expected = 0.7 * q50 + 0.15 * q25 + 0.15 * q75
    width = q75 - q25
    if width <= 0:
        return expected, 0.0
    k = 1.5
    if q99 is not None and q75 > q50:
        k = max(0.0, min(k, (q99 - q50) / (1.65 * (q75 - q50))))
    return expected, width / 1.349 * k


def declared(metadata: Mapping[str, Any]) -> Prediction | None:
    """What the submitter said: ``server_time_cost`` ms, with variance 0.05 x that. None: nothing usable."""
    cost = metadata.get(DECLARED)
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not 0 <= cost < 1e12:
        return None
    return Prediction(cost / 1000, sqrt(0.05 * cost) / 1000)


def _describes(info: _Info | None, model: str, metadata: Mapping[str, Any]) -> bool:
    if info is None or info.type != model:
        return False
    own = (info.name, info.hardware, info.software_name, info.software_version)
    return all(not metadata.get(key) or metadata[key] == value for key, value in zip(_FILTERS, own, strict=True))
