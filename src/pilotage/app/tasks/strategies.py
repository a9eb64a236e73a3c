"""Strategies by name, or from a user's file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from pilotage.app.policy_files import is_policy_file, run_file, split_object
from pilotage.engine.routing.guard import BreakerSettings, Guarded
from pilotage.engine.routing.late_binding import LateBinding
from pilotage.engine.routing.orders import THETA, Order
from pilotage.engine.routing.plan import WEIGHT
from pilotage.engine.taskqueue.choosers import CHOOSERS, check_name
from pilotage.engine.taskqueue.push import Chooser, Push
from pilotage.engine.taskqueue.strategy import Strategy
from pilotage.learn.forecasts import Forecasts
from pilotage.learn.known import Known
from pilotage.learn.lookup import Table
from pilotage.learn.online import OnlinePredictor
from pilotage.learn.remembered import Chain, Remembered
from pilotage.model.errors import InvalidInput

log = structlog.get_logger()

DEFAULT_MODE, TABLE_MODE = "default", "lookup_table"

OBJECT = "strategy"
"""The object of a user's file that is meant when none is named."""


class Strategies:
    """Makes strategies. ``default`` predicts from what ran before; ``lookup_table`` asks the table first.

    ``user_file``: FILE[:object], a chooser (``name``, ``choose(task, candidates, now)``) or a whole `Strategy`; it
    is a strategy beside ours. Raises `InvalidInput` for a file that can not be used.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        table_file: str = "",
        user_file: str = "",
        order: Order = "priority",
        theta: float = THETA,
        weight: float = WEIGHT,
        breakers: BreakerSettings | None = None,
    ) -> None:
        self._seed = seed
        self._order: Order = order
        self._theta = theta
        self._weight = weight
        self._breakers = breakers
        self._memory = Remembered()
        self._table = Table(_read(table_file), table_file) if table_file else None
        learned = OnlinePredictor()
        self._mode = DEFAULT_MODE
        self._learns_itself = False
        self._forecasts = {DEFAULT_MODE: Forecasts(Known(learned)), TABLE_MODE: Forecasts(Known(learned, self._table))}
        self._user_file = user_file
        self._user_name = _user_object(user_file).name if user_file else ""
        self.names: Sequence[str] = [LateBinding.name, *CHOOSERS, *([self._user_name] if user_file else [])]

    def make(self, name: str, predict_mode: str) -> Guarded:
        """A fresh strategy, behind circuit breakers."""
        return Guarded(self._make(name, predict_mode), self._breakers)

    def _make(self, name: str, predict_mode: str) -> Strategy:
        self.check_mode(predict_mode)
        check_name(name, self.names)
        table = [self._table] if self._table and predict_mode == TABLE_MODE else []
        chain = Chain([*table, self._memory])
        self._mode, self._learns_itself = predict_mode, name == LateBinding.name
        if name == LateBinding.name:
            return LateBinding(self._forecasts[predict_mode], order=self._order, theta=self._theta, weight=self._weight)
        if name == self._user_name:
            found = _user_object(self._user_file)
            return found if isinstance(getattr(found, "late", None), bool) else Push(found, chain)
        chooser: Any = CHOOSERS[name](self._seed)
        return Push(chooser, chain)

    def check_mode(self, predict_mode: str) -> None:
        """Raise `InvalidInput` unless the mode can be used."""
        if predict_mode not in (DEFAULT_MODE, TABLE_MODE):
            known = f"{DEFAULT_MODE}, {TABLE_MODE}"
            raise InvalidInput("predict_mode", f"no mode is called {predict_mode!r:.80}; known: {known}")
        if predict_mode == TABLE_MODE and self._table is None:
            raise InvalidInput("predict_mode", "there is no lookup table: start with one (PREDICTION_FILE)")

    def observe(self, model: str, metadata: Mapping[str, Any], platform: str, instance: str, run_s: float) -> None:
        """Learn from a run; it serves whatever strategy comes next."""
        if self._learns_itself:
            self._memory.observe(model, metadata, platform, run_s)
        else:
            self.recall(model, metadata, platform, instance, run_s)

    def recall(self, model: str, metadata: Mapping[str, Any], platform: str, instance: str, run_s: float) -> None:
        """Learn from a run before the start."""
        self._memory.observe(model, metadata, platform, run_s)
        if run_s > 0:
            self._forecasts[self._mode].observe(model, metadata, platform, instance, run_s)


def is_strategy_file(text: str) -> bool:
    """Whether ``text`` means a file rather than a named strategy."""
    return is_policy_file(text)


def _user_object(text: str) -> Any:
    path, wanted = split_object(text)
    module = run_file(path)
    found = getattr(module, wanted or OBJECT, None)
    if found is None:
        raise InvalidInput(str(path), f"has no {wanted or OBJECT!r}: write {OBJECT} = MyChooser()")
    if isinstance(found, type):
        found = found()
    if not isinstance(getattr(found, "name", None), str) or not found.name:
        raise InvalidInput(f"{path}:{wanted or OBJECT}", "has no name: give it name = '...'")
    if not callable(getattr(found, "choose", None)) and not callable(getattr(found, "decide", None)):
        raise InvalidInput(f"{path}:{wanted or OBJECT}", "has no choose(task, candidates, now)")
    if found.name in (*CHOOSERS, LateBinding.name):
        raise InvalidInput(f"{path}:{wanted or OBJECT}", f"the name {found.name!r} is taken: give it another")
    return found if not callable(getattr(found, "choose", None)) else _Checked(found, str(path))


class _Checked:
    """A user's chooser: what it does wrong is told with its file, and the first candidate is taken."""

    def __init__(self, chooser: Chooser, path: str) -> None:
        self.name = chooser.name
        self._chooser = chooser
        self._path = path

    def choose(self, task: Any, candidates: Any, now: float) -> Any:
        """Ask the user's object; anything but one of the candidates is an error of the file."""
        try:
            chosen = self._chooser.choose(task, candidates, now)
        except Exception as error:
            log.error("the strategy failed", file=self._path, reason=repr(error))
            return candidates[0]
        if not any(chosen is each for each in candidates):
            log.error("the strategy chose no candidate", file=self._path, chosen=repr(chosen)[:80])
            return candidates[0]
        return chosen


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidInput("prediction file", f"{path} can not be read: {error.strerror or error}") from None
