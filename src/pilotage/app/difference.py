"""Two results of ``pilotage simulate --json`` side by side: what changed, seed by seed."""

from collections.abc import Callable, Sequence
from functools import partial
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev

import msgspec
from msgspec import Struct

from pilotage.app.comparison import TIMED, UNTIMED
from pilotage.model.errors import InvalidInput
from pilotage.sim.result import Run


class Difference(Struct, frozen=True):
    """One number of two runs' sets. ``difference``: B minus A, mean over the seeds that both have.

    ``error``: its standard error (None with one seed). ``better``: True if B is better by more than two of those, False
    if worse, None if neither can be said.
    """

    metric: str
    a: float
    b: float
    difference: float
    error: float | None
    better: bool | None
    digits: int


class Pair(Struct, frozen=True):
    """A policy of A against one of B, over the seeds that both have."""

    a: str
    b: str
    seeds: int
    same_decisions: int
    differences: tuple[Difference, ...]


class _Result(Struct):
    runs: list[Run]


def read_runs(file: str) -> list[Run]:
    """Return the runs of a result file; raises `InvalidInput` naming what is wrong with it."""
    try:
        text = Path(file).read_bytes()
    except OSError as error:
        raise InvalidInput(file, f"can not be read: {error.strerror or error}") from None
    try:
        runs = msgspec.json.decode(text, type=_Result).runs
    except msgspec.DecodeError as error:
        raise InvalidInput(file, f"is no result of `pilotage simulate --json`: {error}") from None
    if not runs:
        raise InvalidInput(file, "holds no runs")
    return runs


def pairs_of(a: Sequence[Run], b: Sequence[Run], files: tuple[str, str] = ("A", "B")) -> list[Pair]:
    """Return the policies that both have, each against itself; if there is one of each, those two.

    Raises `InvalidInput` where nothing can be compared: other traces, no common policy, no common seed.
    """
    traces = {run.trace for run in a} | {run.trace for run in b}
    if len(traces) > 1:
        raise InvalidInput(
            files[1], f"only runs of one trace can be compared, these are of {', '.join(sorted(traces))}"
        )
    of_a, of_b = (list(dict.fromkeys(run.policy for run in runs)) for runs in (a, b))
    names = [(name, name) for name in of_a if name in of_b]
    if not names and len(of_a) == len(of_b) == 1:
        names = [(of_a[0], of_b[0])]
    if not names:
        raise InvalidInput(
            files[1], f"has none of the policies of {files[0]} ({', '.join(of_a)}), but {', '.join(of_b)}"
        )
    return [_pair(a, b, *name, files) for name in names]


def _pair(a: Sequence[Run], b: Sequence[Run], of_a: str, of_b: str, files: tuple[str, str]) -> Pair:
    by_seed_a, by_seed_b = (
        {run.seed: run for run in runs if run.policy == name} for runs, name in ((a, of_a), (b, of_b))
    )
    seeds = sorted(by_seed_a.keys() & by_seed_b.keys())
    if not seeds:
        raise InvalidInput(files[1], f"has no seed in common with {files[0]} for {of_a} and {of_b}")
    runs = [(by_seed_a[seed], by_seed_b[seed]) for seed in seeds]
    metrics = UNTIMED if runs[0][0].end_s is None else TIMED
    found = [_difference(metric.title, metric.of, metric.better, metric.digits, runs) for metric in metrics]
    classes = dict.fromkeys(one.name for pair in runs for run in pair for one in run.classes)
    found += [_difference(f"refused, {name}", partial(_refused, name), -1, 1, runs) for name in classes]
    same = sum(one.digest == other.digest for one, other in runs)
    return Pair(of_a, of_b, len(seeds), same, tuple(each for each in found if each is not None))


def _refused(name: str, run: Run) -> float | None:
    return next((one.refused for one in run.classes if one.name == name), None)


def _difference(
    title: str, of: Callable[[Run], float | None], better: int, digits: int, runs: Sequence[tuple[Run, Run]]
) -> Difference | None:
    values = [(x, y) for a, b in runs if (x := of(a)) is not None and (y := of(b)) is not None]
    if not values:
        return None
    gains = [y - x for x, y in values]
    mean = fmean(gains)
    error = stdev(gains) / sqrt(len(gains)) if len(gains) > 1 else None
    verdict = None
    if better and mean and error is not None and abs(mean) > 2 * error:
        verdict = mean * better > 0
    return Difference(title, fmean(x for x, _ in values), fmean(y for _, y in values), mean, error, verdict, digits)


def finding(pair: Pair) -> str:
    """Say in a sentence what the pair shows."""
    if pair.same_decisions == pair.seeds:
        return f"{_names(pair)}: the same decisions, to the byte, in all {pair.seeds} seeds."
    told = next((each for each in pair.differences if each.better is not None), None)
    if told is None:
        return f"{_names(pair)}: no number differs by more than chance over {pair.seeds} seeds."
    what = "better" if told.better else "worse"
    return (
        f"{_names(pair)}: B is {what} in {told.metric}, {told.difference:+,.{told.digits}f} "
        f"(standard error {told.error:,.{told.digits}f}, {pair.seeds} seeds)."
    )


def _names(pair: Pair) -> str:
    return pair.a if pair.a == pair.b else f"{pair.a} (A) and {pair.b} (B)"
