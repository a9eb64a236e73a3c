"""Differences between two results: paired by seed, with a verdict only where it is no chance."""

import json
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from pilotage.app.difference import finding, pairs_of, read_runs
from pilotage.model.errors import InvalidInput
from pilotage.sim.result import ClassCount
from tests.app.test_comparison import run_of
from tests.cli.test_simulate import pilotage

A = [run_of("a", value, seed) for seed, value in enumerate((90.0, 91.0, 95.0))]
BETTER = [replace(run_of("a", value, seed), digest="other") for seed, value in enumerate((91.0, 92.1, 95.9))]
MIXED = [run_of("a", value, seed) for seed, value in enumerate((92.0, 90.0, 95.0))]


def test_what_changes_alike_in_all_seeds_is_no_chance() -> None:
    (pair,) = pairs_of(A, BETTER)
    first = pair.differences[0]
    assert (round(first.a, 2), round(first.b, 2), round(first.difference, 3)) == (92, 93, 1)
    # Gains 1, 1.1, 0.9: sd 0.1 over the root of 3, though the values themselves scatter by points.
    assert first.error == pytest.approx(0.1 / 3**0.5)
    assert first.better is True
    assert "B is better in GPUs allocated % at 100 %, +1.00" in finding(pair)
    assert pairs_of(BETTER, A)[0].differences[0].better is False


def test_what_differs_by_luck_has_no_verdict() -> None:
    (pair,) = pairs_of(A, [replace(run, digest="other") for run in MIXED])
    assert pair.differences[0].better is None
    assert "no number differs by more than chance over 3 seeds" in finding(pair)


def test_equal_digests_are_equal_decisions() -> None:
    (pair,) = pairs_of(A, A)
    assert pair.same_decisions == 3
    assert "the same decisions, to the byte, in all 3 seeds" in finding(pair)


def test_only_common_seeds_count_and_classes_are_told() -> None:
    of_a = [replace(run, classes=(ClassCount("1 GPU", 10, 4),)) for run in A]
    of_b = [replace(run, classes=(ClassCount("1 GPU", 10, 1),)) for run in A[1:]]
    (pair,) = pairs_of(of_a, of_b)
    assert pair.seeds == 2
    refused = pair.differences[-1]
    assert (refused.metric, refused.difference) == ("refused, 1 GPU", -3)


def test_one_policy_each_are_compared_whatever_their_names() -> None:
    others = [replace(run, policy="b") for run in BETTER]
    (pair,) = pairs_of(A, others)
    assert (pair.a, pair.b) == ("a", "b")
    assert finding(pair).startswith("a (A) and b (B): ")


@pytest.mark.parametrize(
    ("others", "reason"),
    [
        ([replace(run, trace="else") for run in A], "of one trace"),
        ([replace(run, seed=99) for run in A], "no seed in common"),
        ([run_of("b", 1.0), run_of("c", 1.0)], "has none of the policies of A (a), but b, c"),
    ],
)
def test_what_can_not_be_compared_is_said(others: list, reason: str) -> None:
    with pytest.raises(InvalidInput) as error:
        pairs_of(A, others)
    assert reason in str(error.value)


def test_the_command(tmp_path: Path) -> None:
    for name, runs in (("a.json", A), ("b.json", BETTER)):
        (tmp_path / name).write_bytes(msgspec.json.encode({"runs": runs}))
    assert read_runs(str(tmp_path / "a.json")) == A
    shown = pilotage("compare", "a.json", "b.json", folder=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "+1.00" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
    (pair,) = json.loads(pilotage("compare", "a.json", "b.json", "--json", folder=tmp_path).stdout)["pairs"]
    assert (pair["seeds"], pair["differences"][0]["better"]) == (3, True)


@pytest.mark.parametrize(
    ("text", "reason"), [("{}", "is no result of"), ("[", "is no result of"), ('{"runs": []}', "holds no runs")]
)
def test_what_is_no_result_is_one_line(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "a.json").write_text(text)
    for arguments in (("a.json", "a.json"), ("none.json", "a.json")):
        done = pilotage("compare", *arguments, folder=tmp_path)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert (reason if arguments[0] == "a.json" else "can not be read") in done.stderr
