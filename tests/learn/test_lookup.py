from __future__ import annotations

import json
from math import sqrt
from typing import Any

import pytest

from pilotage.learn.lookup import Table, declared, spread
from pilotage.learn.remembered import Chain, Remembered
from pilotage.model.errors import InvalidInput

INFO = {"type": "rec", "name": "n1", "hardware": "A100", "software_name": "vllm", "software_version": "0.1"}


def record(model: str | None = "det", values: tuple[float, ...] = (100, 150, 200, 300), **more: Any) -> dict[str, Any]:
    levels = [0.25, 0.5, 0.75, 0.99][: len(values)]
    return {"status": "success", "model_type": model, "quantiles": levels, "quantile_predictions": list(values)} | more


def table(*records: Any) -> Table:
    return Table(
        json.dumps([each if each.get("model_type") else {**each, "model_type": ""} for each in records]).encode()
    )


@pytest.mark.parametrize(
    ("q99", "error"), [(300, 111.19), (210, 53.91), (None, 111.19), (100, 0.0)], ids=["long", "short", "none", "odd"]
)
def test_the_formula_of_four_quantiles(q99: float | None, error: float) -> None:
    assert spread(100, 150, 200, q99) == (pytest.approx(150), pytest.approx(error, abs=0.01))


def test_no_width_no_error() -> None:
    assert spread(100, 100, 100, 500) == (pytest.approx(100), 0)


def test_the_model_is_found_by_its_type() -> None:
    found = table(record()).predict("det", {}, "")
    assert found is not None
    assert (found.mean_s, found.std_s) == (pytest.approx(0.15), pytest.approx(0.11119, abs=1e-5))
    assert found.quantiles == ((0.25, 0.1), (0.5, 0.15), (0.75, 0.2), (0.99, 0.3))


def test_else_by_its_description_and_what_metadata_names() -> None:
    known = table(
        record(None, (10, 10, 10), model_info=INFO), record(None, (30, 30, 30), model_info=INFO | {"hardware": "H100"})
    )
    assert known.predict("rec", {"hardware": "H100"}, "").mean_s == pytest.approx(0.03)  # type: ignore[union-attr]
    both = known.predict("rec", {}, "")
    assert both is not None
    assert (both.mean_s, both.std_s) == (pytest.approx(0.02), pytest.approx(0.01)), "a mixture"
    assert known.predict("rec", {"hardware": "T4"}, "") is None
    assert known.predict("other", {}, "") is None


def test_several_matches_answer_the_same_each_time() -> None:
    known = table(*[record(values=(n, n, n)) for n in range(1, 10)])
    assert len({known.predict("det", {}, "") for _ in range(20)}) == 1


def test_records_that_can_not_be_used_are_counted_out() -> None:
    known = table(record(), record("x", status="failed"), record("y", (1, 2)), {"model_type": "z", "status": "success"})
    assert known.statistics == {"total_records": 4, "successful_records": 1, "model_types": ["det"]}


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[1]", b'[{"quantiles": "x"}]'])
def test_a_broken_file_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput, match="is no lookup table"):
        Table(content)


@pytest.mark.parametrize("cost", [None, "10", True, -1, float("nan"), float("inf")])
def test_a_useless_statement_is_no_statement(cost: Any) -> None:
    assert declared({"server_time_cost": cost}) is None


def test_a_statement_goes_before_everything() -> None:
    chain = Chain([table(record())])
    stated = chain.predict("det", {"server_time_cost": 20}, "")
    assert stated is not None
    assert (stated.mean_s, stated.std_s) == (pytest.approx(0.02), pytest.approx(sqrt(1.0) / 1000))


def test_a_miss_falls_to_what_ran_before() -> None:
    chain = Chain([table(record()), Remembered()])
    assert chain.predict("new", {}, "fast") is None
    for run_s in (1.0, 3.0):
        chain.observe("new", {}, "fast", run_s)
    found = chain.predict("new", {}, "fast")
    assert found is not None
    assert (found.mean_s, found.std_s) == (pytest.approx(2.0), pytest.approx(1.0))
    assert chain.predict("new", {}, "slow") is None


def test_memory_follows_a_change_and_stays_bounded() -> None:
    memory = Remembered()
    for _ in range(500):
        memory.observe("m", {}, "", 1.0)
    for _ in range(1000):
        memory.observe("m", {}, "", 5.0)
    assert memory.predict("m", {}, "").mean_s == pytest.approx(5.0, abs=0.1)  # type: ignore[union-attr]
    for number in range(30_000):
        memory.observe(f"m{number}", {}, "", 1.0)
    assert len(memory._seen) <= 10_000
