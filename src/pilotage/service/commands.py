"""What the service is told: its settings at start, submissions, and what it answers to a result."""

from typing import Any

from msgspec import Struct

from pilotage.engine.taskqueue.machine import Limits, LiveTask
from pilotage.service.fleet import FleetSettings


class ServiceSettings(Struct, frozen=True, kw_only=True):
    """What the service is told at start. ``keep_s``, ``keep_tasks``: how long and how many ended tasks are kept.

    ``admit_odds``: the least probability to start by its deadline with which a task is accepted.
    """

    strategy: str = "pilotage"
    predict_mode: str = "default"
    admit_odds: float = 0.0
    waiting_limit: int = 100_000
    limits: Limits = Limits()
    fleet: FleetSettings = FleetSettings()
    ask_after_s: float = 5.0
    keep_s: float = 7 * 86_400
    keep_tasks: int = 1_000_000


class Submission(Struct, kw_only=True):
    """A checked request: JSON texts as they came, and what routing needs."""

    model: str
    input: bytes
    metadata: bytes = b"{}"
    features: dict[str, Any] = {}
    task_id: str | None = None
    priority: int = 0
    start_within_s: float | None = None
    tenant: str = ""
    key: str | None = None


class Outcome(Struct, frozen=True):
    """What came of a result: ``known`` instance and task, ``first`` time it was told, total time."""

    known: bool
    first: bool = False
    total_s: float | None = None
    live: LiveTask | None = None
