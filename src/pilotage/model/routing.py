"""Inference tasks and the instances that run them: what is known of each, and the states a task goes through."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

QUEUED = "queued"
SCHEDULED = "scheduled"
RUNNING = "running"
COMPLETED = "completed"
FAILED = "failed"
CANCELLED = "cancelled"
EXPIRED = "expired"

STATUSES = (QUEUED, SCHEDULED, RUNNING, COMPLETED, FAILED, CANCELLED, EXPIRED)
ENDED = frozenset({COMPLETED, FAILED, CANCELLED, EXPIRED})
"""Final: nothing leads out of these."""

TRANSITIONS: dict[str, frozenset[str]] = {
    QUEUED: frozenset({SCHEDULED, COMPLETED, FAILED, CANCELLED, EXPIRED}),
    SCHEDULED: frozenset({QUEUED, SCHEDULED, RUNNING, COMPLETED, FAILED, CANCELLED}),
    RUNNING: frozenset({QUEUED, SCHEDULED, COMPLETED, FAILED, CANCELLED}),
}
"""From each state that is not final to those it may become. queued -> completed: a result that came after all from
an instance that was given up."""


class RoutedTask(Struct, frozen=True, kw_only=True):
    """A task as strategies see it. Times are seconds of one clock (``now`` of the calls); never its input.

    ``metadata`` is what the submitter said of it: features for the predictor. ``deadline_s``: worthless if not started
    by then. ``avoid``: instances that refused it or lost it.
    """

    id: str
    model: str
    metadata: Mapping[str, Any] = {}
    arrival_s: float = 0.0
    priority: int = 0
    deadline_s: float | None = None
    tenant: str = ""
    avoid: tuple[str, ...] = ()


class Instance(Struct, frozen=True, kw_only=True):
    """A running copy of a model. ``slots`` tasks run on it at once. ``platform`` names its speed class (hardware).

    ``ready``: it may be given tasks (it answers, is not draining, and says which model it runs).
    """

    id: str
    model: str
    slots: int = 1
    platform: str = ""
    ready: bool = True


class Prediction(Struct, frozen=True):
    """A run time in seconds: mean, standard deviation, and quantiles as (level, seconds), levels rising."""

    mean_s: float
    std_s: float = 0.0
    quantiles: tuple[tuple[float, float], ...] = ()


class Assignment(Struct, frozen=True):
    """A task goes to an instance. ``expected_s``: when it is expected to be done, on the clock of ``now``.

    ``scores``: (instance, value) of the candidates that were compared, ``by`` what the value means; less is better
    unless ``by`` says otherwise. They explain the choice and decide nothing.
    """

    task_id: str
    instance: str
    expected_s: float | None = None
    by: str = ""
    scores: tuple[tuple[str, float], ...] = ()
