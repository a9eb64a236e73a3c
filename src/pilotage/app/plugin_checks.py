"""The generic checks of one plugin: its answers have the right form, are pure, and rest on what it declares."""

from collections.abc import Callable, Hashable, Iterator
from random import Random
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from pilotage.app.findings import Finding, fault, is_function, where
from pilotage.app.recording import GPU_COUNT, RecordingColumns
from pilotage.engine.engine import Engine
from pilotage.kernel.arrays import IntArray
from pilotage.kernel.columns import Columns
from pilotage.kernel.functions import FunctionFilter, FunctionScorer
from pilotage.kernel.nodes import Nodes, Rows
from pilotage.kernel.plugin import Filter, PolicyFault, Scorer
from pilotage.model.task import Task

Answers = NDArray[Any]
Part = Filter | Scorer
"""A plugin that answers for nodes."""

FACTS = ("devices", "labels", "taints", "cordon", "names", "models", "ports", "counts", "workload")
_ANY_RESOURCE = "any other resource"
_GPU_WORDS = {"gpu", "devices", "models"}
_SUBSETS = 6
_SINGLES = 24


class Stopped(Exception):  # noqa: N818 - reads as a statement
    """The plugin failed, so that nothing more can be asked of it."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.text)
        self.finding = finding


class PluginCheck:
    """One plugin, asked about the same cluster in two orders of its nodes.

    ``engine`` and ``other`` hold equal clusters, ``tasks`` are of many kinds.
    """

    def __init__(self, plugin: Part, engine: Engine, other: Engine, tasks: tuple[Task, ...], seed: int) -> None:
        self.plugin = plugin
        self.engines = engine, other
        self.columns = engine.state.columns
        self.other = other.state.columns
        self.tasks = tasks
        self.random = Random(seed)
        self.seed = engine.seed
        self.row = plugin.depends == "row"
        self.living: IntArray = np.flatnonzero(self.columns.alive[: self.columns.n])
        self.read: set[str] = set()
        self._fragments: dict[Hashable, Task] = {}
        self._answers: dict[Hashable, Answers] = {}

    def findings(self) -> list[Finding]:
        """Run the checks up to the first that finds something; what it declares to read is looked at in any case."""
        try:
            self._collect_fragments()
            self._ask_about_all()
            steps: list[Callable[[], Iterator[Finding]]] = [self._pure, self._order, self._subsets]
            if not self.row:
                return _first(steps)
            return [*_first([*steps, self._moment]), *self._reads()]
        except Stopped as stopped:
            return [stopped.finding]

    def row_promise(self) -> tuple[str, ...]:
        """Return the ``reads`` with which ``depends="row"`` would hold for a user's function, empty if it would not."""
        plugin = self.plugin
        if self.row or not isinstance(plugin, FunctionFilter | FunctionScorer) or not self.read:
            return ()
        reads = self.read - {GPU_COUNT}
        if reads != self.read and not reads & _GPU_WORDS:
            reads.add("devices")
        words = tuple(sorted(reads))
        check = PluginCheck(_promised(plugin, words), *self.engines, self.tasks, 0)
        return () if check.findings() else words

    # -- the checks ----------------------------------------------------------------------------------------------

    def _collect_fragments(self) -> None:
        for task in self.tasks:
            try:
                fragment = self.plugin.fragment(task)
                hash(fragment)
                twin = msgspec.structs.replace(task, id=f"{task.id}-twin", labels={}, priority=7, arrival_s=1e6)
                twins = self.plugin.fragment(twin)
            except Exception as error:
                raise Stopped(fault(self.plugin, "fragment", error)) from None
            if self.row and twins != fragment:
                text = "the fragments of two tasks with equal specs differ"
                raise Stopped(self._error("fragment", text, "a row plugin's fragment may rest on task.spec only"))
            if fragment is not None and fragment not in self._fragments:
                self._fragments[fragment] = task

    def _ask_about_all(self) -> None:
        for fragment in self._fragments:
            recording = RecordingColumns(self.columns)
            self._answers[fragment] = self._ask_all(fragment, cast(Columns, recording))
            self.read |= recording.read

    def _pure(self) -> Iterator[Finding]:
        again = list(self._fragments)
        self.random.shuffle(again)
        for fragment in again:
            differ = _differing(self._ask_all(fragment, self.columns), self._answers[fragment])
            if differ.size:
                yield self._error(
                    "pure",
                    f"asked twice, it answers differently {self._about(fragment, differ)}",
                    "keep no state between calls and draw no random numbers; "
                    "nodes.seed, task.id and nodes.name_hash make a choice that looks random and can be repeated",
                )
                return

    def _order(self) -> Iterator[Finding]:
        rows = np.array([self.other.row_of[self.columns.names[row]] for row in self.living])
        for fragment in self._fragments:
            answers = self._ask(fragment, Nodes(self.other, rows, seed=self.seed))
            differ = _differing(answers, self._answers[fragment], exact=self.row)
            if not differ.size and not self.row:
                mixed = self._shuffled(np.arange(len(self.living)))
                answers = self._ask(fragment, self._nodes(self.living[mixed]))
                differ = _differing(answers, self._answers[fragment][mixed], exact=False)
            if differ.size:
                yield self._error(
                    "order",
                    f"with the nodes in another order it answers differently {self._about(fragment, differ)}",
                    "the position of a node, and the code of a label or model, mean nothing: compare codes for "
                    "equality only",
                )
                return

    def _subsets(self) -> Iterator[Finding]:
        """A subset must not fail; and for a row plugin its answers are the subset of the answers."""
        for fragment in self._fragments:
            expected = self._answers[fragment]
            for size in (1, 2, *(self.random.randint(1, len(self.living)) for _ in range(_SUBSETS - 2))):
                chosen = self._shuffled(np.arange(len(self.living)))[:size]
                answers = self._ask(fragment, self._nodes(self.living[chosen]))
                if self.row and _differing(answers, expected[chosen]).size:
                    yield self._error(
                        "subset",
                        f"asked about {size} of {len(self.living)} nodes it answers otherwise than about all",
                        'it looks beyond the single node: leave out depends="row"',
                    )
                    return
            different = [] if not self.row or is_function(self.plugin) else list(self._single_rows(fragment, expected))
            if different:
                yield different[0]
                return

    def _single_rows(self, fragment: Hashable, expected: Answers) -> Iterator[Finding]:
        plugin = self.plugin
        single = plugin.mask_row if isinstance(plugin, Filter) else plugin.score_row
        for i in self._shuffled(np.arange(len(self.living)))[:_SINGLES].tolist():
            answer = single(fragment, self.columns, int(self.living[i]))
            if answer != expected[i]:
                text = f"for one row {single.__name__} answers {answer}, the array form {expected[i]}"
                yield self._error("subset", text, "both forms must give the same bits")
                return

    def _moment(self) -> Iterator[Finding]:
        for fragment in self._fragments:
            later = Nodes(self.columns, self.living, now=1e6, seed=self.seed + 1)
            differ = _differing(self._ask(fragment, later), self._answers[fragment])
            if differ.size:
                yield self._error(
                    "moment",
                    f"at another time or with another seed it answers differently {self._about(fragment, differ)}",
                    'declare depends="time" to read nodes.now, or leave out depends to read nodes.seed',
                )
                return

    def _reads(self) -> Iterator[Finding]:
        declared = set(self.plugin.reads)
        resources = set(self.columns.resources)
        read = set(self.read)
        if GPU_COUNT in read:
            read.discard(GPU_COUNT)
            if not declared & _GPU_WORDS:
                read.add("devices")
        missing = {fact for fact in read - declared if not (fact in resources and _ANY_RESOURCE in declared)}
        if missing:
            full = tuple(sorted((declared & (read | {_ANY_RESOURCE})) | missing))
            yield self._error(
                "reads",
                f"reads {_listed(missing)}, which it does not declare",
                f"a change of it would go unnoticed: declare reads={reads_text(full)}",
            )
        unused = declared - self.read - {_ANY_RESOURCE}
        if unused and not (GPU_COUNT in self.read and unused <= _GPU_WORDS):
            unknown = unused - resources - set(FACTS)
            what = (
                f"; {_listed(unknown)} is no resource of the sample and none of {', '.join(FACTS)}" if unknown else ""
            )
            yield Finding(
                "warning",
                self.plugin.name,
                where(self.plugin),
                "reads",
                f"declares {_listed(unused)} and does not read it{what}",
                "each needless fact costs refreshing after changes that do not matter",
            )

    # -- asking --------------------------------------------------------------------------------------------------

    def _nodes(self, rows: IntArray) -> Nodes:
        return Nodes(self.columns, rows, seed=self.seed)

    def _ask_all(self, fragment: Hashable, columns: Columns) -> Answers:
        """Ask as the engine does: a row plugin about all rows, blank ones too, any other about nodes only."""
        rows: Rows = slice(0, self.columns.n) if self.row else self.living
        answers = self._ask(fragment, Nodes(columns, rows, seed=self.seed))
        return answers[self.living] if self.row else answers

    def _ask(self, fragment: Hashable, nodes: Nodes) -> Answers:
        """Return the answers in a checked form, or stop."""
        try:
            answers = ask(self.plugin, fragment, nodes)
        except Exception as error:
            raise Stopped(fault(self.plugin, "answers", error, _advice(error))) from None
        return answers

    def _shuffled(self, places: IntArray) -> IntArray:
        mixed = places.tolist()
        self.random.shuffle(mixed)
        return np.array(mixed, np.int64)

    def _about(self, fragment: Hashable, differ: IntArray) -> str:
        name = self.columns.names[int(self.living[int(differ[0])])]
        return f"about {len(differ)} of {len(self.living)} nodes (first {name}, for {self._fragments[fragment].id})"

    def _error(self, check: str, text: str, advice: str) -> Finding:
        return Finding("error", self.plugin.name, where(self.plugin), check, text, advice)


def _first(steps: list[Callable[[], Iterator[Finding]]]) -> list[Finding]:
    """Return what the first of ``steps`` finds that finds anything: the later ones would tell its consequences."""
    for step in steps:
        found = list(step())
        if found:
            return found
    return []


def ask(plugin: Part, fragment: Hashable, nodes: Nodes) -> Answers:
    """Return a plugin's answers for ``nodes`` as a copy; raises `PolicyFault` for a wrong form."""
    answers: Any = plugin.mask(fragment, nodes) if isinstance(plugin, Filter) else plugin.score(fragment, nodes)
    if not isinstance(answers, np.ndarray) or answers.shape != (len(nodes),):
        raise PolicyFault(where(plugin), f"must return one entry per node, shape ({len(nodes)},), got {answers!r:.60}")
    if isinstance(plugin, Filter):
        wanted: type = np.bool_
    else:
        wanted = np.int64 if plugin.exact else np.float64
    if answers.dtype != wanted:
        raise PolicyFault(where(plugin), f"must return an array of {wanted.__name__}, got {answers.dtype}")
    if not np.isfinite(answers).all():
        raise PolicyFault(where(plugin), "returned a number that is not finite")
    if isinstance(plugin, Scorer) and plugin.exact and len(answers):
        limit = 2 ** (plugin.bits - 1)
        if not -limit <= answers.min() <= answers.max() < limit:
            raise PolicyFault(where(plugin), f"says its scores have {plugin.bits} bits, and returned {answers.max()}")
    copy: Answers = answers.copy()
    return copy


def _promised(function: FunctionScorer | FunctionFilter, reads: tuple[str, ...]) -> FunctionScorer | FunctionFilter:
    """The same function with the promise ``depends="row"``."""
    if isinstance(function, FunctionFilter):
        return FunctionFilter(function.function, reads, "row", function.reason, function.per_node)
    return FunctionScorer(function.function, reads, "row", "none", function.per_node)


def _differing(found: Answers, expected: Answers, exact: bool = True) -> IntArray:
    """Places where answers differ; inexact ones may differ in the last bits, as sums in another order do."""
    if exact or expected.dtype == np.bool_:
        return np.flatnonzero(found != expected)
    return np.flatnonzero(~np.isclose(found, expected, rtol=1e-9, atol=1e-12))


def _advice(error: Exception) -> str:
    text = str(error)
    if "read-only" in text or "does not support item assignment" in text:
        return 'the arrays of nodes belong to the cluster: work on a copy, as in nodes.used["cpu"].copy()'
    if "no such resource" in text:
        return "name it in reads=(...), then the sample has it"
    if isinstance(error, PolicyFault) and "must be finite" in text:
        return "guard divisions: np.maximum(capacity, 1), or np.where"
    return ""


def reads_text(reads: tuple[str, ...]) -> str:
    """Return ``reads`` as its author would write it."""
    quoted = ", ".join(f'"{fact}"' for fact in reads)
    return f"({quoted},)" if len(reads) == 1 else f"({quoted})"


def _listed(facts: set[str]) -> str:
    return ", ".join(f'"{fact}"' for fact in sorted(facts))
