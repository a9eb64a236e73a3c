"""Policies as users write them: plain functions become filters and scorers by a decorator.

An undecorated promise is the safe one: ``@scorer`` alone runs at every decision on the feasible nodes and is right
whatever it does. ``@scorer(reads=("gpu",), depends="row")`` turns caching on.
"""

from collections.abc import Callable, Hashable
from functools import wraps
from hashlib import sha256
from inspect import CO_VARARGS
from typing import Any, Literal, overload

import numpy as np

from pilotage.kernel.arrays import BoolArray, IntArray, ScoreArray
from pilotage.kernel.faults import line_in, told
from pilotage.kernel.function_views import NodeRow, SharedTask
from pilotage.kernel.nodes import Nodes
from pilotage.kernel.normalise import ByMaximum, MinMax, Normaliser
from pilotage.kernel.plugin import Depends, Filter, PolicyFault, Scorer
from pilotage.model.errors import InvalidInput
from pilotage.model.events import Cure
from pilotage.model.task import Task

NORMALISERS: dict[str, Normaliser | None] = {
    "min-max": MinMax(),
    "maximum": ByMaximum(),
    "reversed-maximum": ByMaximum(reverse=True),
    "none": None,
}
LARGEST_SCORE = 1e15
"""Largest raw score in size: weighted and summed up it stays finite."""

_PLAIN_ANSWERS = (bool, int, float, np.generic)

NormaliserName = Literal["min-max", "maximum", "reversed-maximum", "none"]


class _Function:
    """What decorated filters and scorers share: the function, where it is defined, and how it is called."""

    one_answer = "a number"

    def __init__(self, function: Callable[..., Any], reads: Any, depends: Depends, per_node: bool) -> None:
        code = getattr(function, "__code__", None)
        if code is None:
            raise InvalidInput("function", f"must be a plain function of (task, nodes), got {function!r}")
        if not code.co_flags & CO_VARARGS and not _required(function) <= 2 <= code.co_argcount:
            wanted = "(task, node)" if per_node else "(task, nodes)"
            raise InvalidInput(function.__name__, f"must be a function of {wanted}")
        if depends not in ("row", "global", "time"):
            raise InvalidInput(f"{function.__name__}.depends", f"must be row, global or time, got {depends!r}")
        if depends == "row" and not reads:
            raise InvalidInput(
                f"{function.__name__}.reads", 'a row plugin must say what it reads, as in reads=("cpu", "labels")'
            )
        if isinstance(reads, str):
            raise InvalidInput(f"{function.__name__}.reads", f'must be a tuple: reads=("{reads}",)')
        self.function = function
        self.name = function.__name__
        self.where = f"{code.co_filename}:{code.co_firstlineno}"
        self.reads: tuple[str, ...] = tuple(reads)
        self.depends: Depends = depends
        self.per_node = per_node

    def __repr__(self) -> str:
        how = ", per node" if self.per_node else ""
        return f"{self.name}(reads={self.reads}, depends={self.depends}, code={code_digest(self.function)}{how})"

    def __call__(self, task: Any, nodes: Any) -> Any:
        """Call the function itself, as its author would in a test."""
        return self.function(task, nodes)

    def fragment(self, task: Task) -> Hashable:
        """A row function is given what tasks of one spec share, as `SharedTask`; any other one the task itself."""
        return task.spec if self.depends == "row" else task

    def answers(self, fragment: Any, nodes: Nodes) -> Any:
        """Return what the function says about ``nodes``, as an array of one entry per node.

        The function never sees blank rows (their entry is 0), and gets copies: what it writes changes nothing.
        """
        columns, rows = nodes.columns, nodes.rows
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(columns.n))
        living = columns.alive[rows]
        everywhere = bool(living.all())
        shown = rows if everywhere else rows[living]
        if not len(shown):
            return np.zeros(len(rows), np.bool_)
        task = SharedTask(fragment) if self.depends == "row" else fragment
        try:
            if self.per_node:
                result = self._each(task, nodes, shown)
            else:
                result = self.function(task, Nodes(columns, shown, nodes.now, nodes.seed))
        except PolicyFault:
            raise
        except (Exception, SystemExit) as error:
            raise PolicyFault(place_of(self.function, error), told(error)) from error
        if not isinstance(result, np.ndarray) or result.shape != (len(shown),):
            got = f"an array of shape {result.shape}" if isinstance(result, np.ndarray) else f"{result!r:.60}"
            raise PolicyFault(self.fault_field, f"must return one entry per node, shape ({len(shown)},), got {got}")
        if everywhere:
            return result
        answers = np.zeros(len(rows), result.dtype)
        answers[living] = result
        return answers

    def _each(self, task: Any, nodes: Nodes, rows: IntArray) -> Any:
        """Ask a per-node function about every row."""
        found: list[Any] = []
        for row in rows.tolist():
            node = NodeRow(nodes.columns, row, nodes.now, nodes.seed)
            value = self.function(task, node)
            if not isinstance(value, _PLAIN_ANSWERS):
                raise PolicyFault(
                    self.fault_field, f"returned {value!r:.60} for node {node.name!r}; must be {self.one_answer}"
                )
            found.append(value)
        return np.array(found)

    @property
    def fault_field(self) -> str:
        """How an error names this plugin."""
        return f"{self.where}: {self.name}"


def place_of(function: Callable[..., Any], error: BaseException) -> str:
    """Return ``file:line: name``, with the innermost line of the function's file that was running."""
    code = function.__code__
    line = line_in(code.co_filename, error.__traceback__) or code.co_firstlineno
    return f"{code.co_filename}:{line}: {function.__name__}"


def code_digest(function: Callable[..., Any]) -> str:
    """Return twelve hex digits that stand for what a function does, without the functions that it calls.

    Covered are its code and constants, and the plain values around it: defaults, closures and globals.
    """
    code = function.__code__
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    outside = [function.__globals__.get(name) for name in code.co_names]
    around = [repr(v) for v in (*(function.__defaults__ or ()), *cells, *outside) if _is_plain(v)]
    body = sha256(code.co_code + repr((code.co_names, _constants(code.co_consts), around)).encode())
    return body.hexdigest()[:12]


def located(order: Callable[[Task], Any]) -> Callable[[Task], Any]:
    """Return an order of the queue whose errors are `PolicyFault`, with the line in the user's file."""
    if not hasattr(order, "__code__"):
        return order

    @wraps(order)
    def key(task: Task) -> Any:
        try:
            return order(task)
        except (Exception, SystemExit) as error:
            raise PolicyFault(place_of(order, error), told(error)) from error

    return key


def _required(function: Callable[..., Any]) -> int:
    """Number of positional arguments that a caller must give."""
    return function.__code__.co_argcount - len(getattr(function, "__defaults__", None) or ())


def _is_plain(value: Any) -> bool:
    """Whether a value's text says all about it, the same in every process."""
    return isinstance(value, str | int | float) or (isinstance(value, tuple) and all(map(_is_plain, value)))


def _constants(constants: tuple[Any, ...]) -> list[str]:
    """Constants as text, without the addresses that nested code objects print."""
    return [repr(c) if not hasattr(c, "co_code") else c.co_code.hex() for c in constants]


class FunctionScorer(_Function, Scorer):
    """A scorer made of a user's function."""

    exact = False

    def __init__(
        self, function: Callable[..., Any], reads: tuple[str, ...], depends: Depends, normalise: str, per_node: bool
    ) -> None:
        super().__init__(function, reads, depends, per_node)
        if normalise not in NORMALISERS:
            raise InvalidInput(f"{self.name}.normalise", f"must be one of {', '.join(NORMALISERS)}, got {normalise!r}")
        self.normaliser = NORMALISERS[normalise]

    def __repr__(self) -> str:
        return f"{super().__repr__()} {self.normaliser!r}"

    def score(self, fragment: Any, nodes: Nodes) -> ScoreArray:
        """Return float64[n], checked: one finite number per node."""
        raw = self.answers(fragment, nodes)
        if raw.dtype.kind not in "iufb":
            raise PolicyFault(self.fault_field, f"must return numbers, got an array of {raw.dtype}")
        scores: ScoreArray = raw.astype(np.float64)
        bad = ~(np.abs(scores) <= LARGEST_SCORE)
        if bad.any():
            at = int(bad.argmax())
            wanted = f"must be finite and at most {LARGEST_SCORE:g} in size"
            raise PolicyFault(self.fault_field, f"returned {scores[at]} for node {nodes.names[at]!r}; {wanted}")
        return scores


class FunctionFilter(_Function, Filter):
    """A filter made of a user's function."""

    one_answer = "True or False"

    def __init__(
        self, function: Callable[..., Any], reads: tuple[str, ...], depends: Depends, reason: str, per_node: bool
    ) -> None:
        super().__init__(function, reads, depends, per_node)
        self.reason = reason or f"node(s) refused by {self.name}"
        self.cures = Cure.ANYTHING if depends == "row" else Cure.ANYTHING | Cure.TIME

    def mask(self, fragment: Any, nodes: Nodes) -> BoolArray:
        """Return bool[n], checked: one truth value per node."""
        answers = self.answers(fragment, nodes)
        if answers.dtype != np.bool_:
            raise PolicyFault(self.fault_field, f"must return truth values, got an array of {answers.dtype}")
        mask: BoolArray = answers
        return mask


@overload
def scorer(function: Callable[..., Any], /) -> FunctionScorer: ...
@overload
def scorer(
    *,
    reads: tuple[str, ...] = (),
    depends: Depends = "global",
    normalise: NormaliserName = "min-max",
    per_node: bool = False,
) -> Callable[[Callable[..., Any]], FunctionScorer]: ...
def scorer(
    function: Callable[..., Any] | None = None,
    /,
    *,
    reads: tuple[str, ...] = (),
    depends: Depends = "global",
    normalise: NormaliserName = "min-max",
    per_node: bool = False,
) -> FunctionScorer | Callable[[Callable[..., Any]], FunctionScorer]:
    """Make a scorer of a function ``(task, nodes) -> one number per node``; more is better.

    ``depends="row"`` with ``reads`` promises that a node's number rests on those facts of that node and on
    ``task.spec`` alone, and turns caching on. ``normalise`` brings the numbers of the feasible nodes to 0..100
    (``none``: they count as they are). ``per_node=True`` wraps a function ``(task, node) -> number``: simpler, slower.
    """

    def make(function: Callable[..., Any]) -> FunctionScorer:
        return FunctionScorer(function, reads, depends, normalise, per_node)

    return make if function is None else make(function)


@overload
def node_filter(function: Callable[..., Any], /) -> FunctionFilter: ...
@overload
def node_filter(
    *, reads: tuple[str, ...] = (), depends: Depends = "global", reason: str = "", per_node: bool = False
) -> Callable[[Callable[..., Any]], FunctionFilter]: ...
def node_filter(
    function: Callable[..., Any] | None = None,
    /,
    *,
    reads: tuple[str, ...] = (),
    depends: Depends = "global",
    reason: str = "",
    per_node: bool = False,
) -> FunctionFilter | Callable[[Callable[..., Any]], FunctionFilter]:
    """Make a filter of a function ``(task, nodes) -> one truth value per node``; ``reason`` explains its no.

    ``reads``, ``depends`` and ``per_node`` mean what they mean for `scorer`.
    """

    def make(function: Callable[..., Any]) -> FunctionFilter:
        return FunctionFilter(function, reads, depends, reason, per_node)

    return make if function is None else make(function)
