"""Policies as users write them: plain functions become filters and scorers by a decorator.

An undecorated promise is the safe one: ``@scorer`` alone runs at every decision on the feasible nodes and is right
whatever it does. ``@scorer(reads=("gpu",), depends="row")`` turns caching on.
"""

from collections.abc import Callable, Hashable
from hashlib import sha256
from typing import Any, Literal, overload

import numpy as np

from pilotage.kernel.arrays import BoolArray, ScoreArray
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
NormaliserName = Literal["min-max", "maximum", "reversed-maximum", "none"]


class NodeRow:
    """One node, as a per-node function sees it: the same names as `Nodes`, with plain numbers."""

    __slots__ = ("_nodes",)

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def __getattr__(self, fact: str) -> Any:
        value = getattr(self._nodes, fact)
        if fact in ("free", "used", "capacity"):
            return _Plain(value)
        if isinstance(value, np.ndarray):
            return value[..., 0].tolist()
        return value

    @property
    def name(self) -> str:
        """Name of the node."""
        return self._nodes.names[0]

    def has_label(self, key: str, value: str) -> bool:
        """Whether the node carries label ``key`` with ``value``."""
        return bool(self._nodes.has_label(key, value)[0])


class _Plain:
    def __init__(self, amounts: Any) -> None:
        self._amounts = amounts

    def __getitem__(self, resource: str) -> int:
        return int(self._amounts[resource][0])


class _Function:
    """What decorated filters and scorers share: the function, where it is defined, and how it is called."""

    def __init__(self, function: Callable[..., Any], reads: tuple[str, ...], depends: Depends, per_node: bool) -> None:
        code = getattr(function, "__code__", None)
        if code is None:
            raise InvalidInput("function", f"must be a plain function of (task, nodes), got {function!r}")
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
        self.reads = reads
        self.depends: Depends = depends
        self.per_node = per_node

    def __repr__(self) -> str:
        code = self.function.__code__
        body = sha256(code.co_code + repr((code.co_names, _constants(code.co_consts))).encode()).hexdigest()[:12]
        how = ", per node" if self.per_node else ""
        return f"{self.name}(reads={self.reads}, depends={self.depends}, code={body}{how})"

    def __call__(self, task: Any, nodes: Any) -> Any:
        """Call the function itself, as its author would in a test."""
        return self.function(task, nodes)

    def fragment(self, task: Task) -> Hashable:
        """A row function is given the spec, which tasks share; any other one the task itself."""
        return task.spec if self.depends == "row" else task

    def answers(self, fragment: Any, nodes: Nodes) -> Any:
        """Return what the function says about ``nodes``, as an array of one entry per node."""
        if not self.per_node:
            result = self.function(fragment, nodes)
        else:
            every = range(nodes.columns.n)[nodes.rows] if isinstance(nodes.rows, slice) else nodes.rows
            views = (Nodes(nodes.columns, np.array([row]), nodes.now, nodes.seed) for row in every)
            result = np.array([self.function(fragment, NodeRow(view)) for view in views] or np.zeros(0, np.int64))
        if not isinstance(result, np.ndarray) or result.shape != (len(nodes),):
            got = f"an array of shape {result.shape}" if isinstance(result, np.ndarray) else f"{result!r:.60}"
            raise PolicyFault(self.fault_field, f"must return one entry per node, shape ({len(nodes)},), got {got}")
        return result

    @property
    def fault_field(self) -> str:
        """How an error names this plugin."""
        return f"{self.where}: {self.name}"


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
        bad = ~np.isfinite(scores)
        if bad.any():
            at = int(bad.argmax())
            raise PolicyFault(self.fault_field, f"returned {scores[at]} for node {nodes.names[at]!r}; must be finite")
        return scores


class FunctionFilter(_Function, Filter):
    """A filter made of a user's function."""

    def __init__(
        self, function: Callable[..., Any], reads: tuple[str, ...], depends: Depends, reason: str, per_node: bool
    ) -> None:
        super().__init__(function, reads, depends, per_node)
        self.reason = reason or f"node(s) refused by {self.name}"
        self.cures = Cure.ANYTHING

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
