"""What a worker hands to the store, and what comes back: decided requests, outcomes, and what others did."""

from enum import StrEnum
from hashlib import sha256
from typing import Literal

import msgspec
from msgspec import Struct

Outcome = Literal["committed", "refused", "stale", "duplicate", "conflict"]
"""``committed``: durable. ``refused``: the host had changed. ``stale``: a rejection on old knowledge. ``duplicate``:
the task was final before. ``conflict``: its id belongs to another request."""

FINAL = ("success", "failed", "cancelled")
OPEN = ("queued", "running")
STATUSES = (*OPEN, *FINAL)
HOLDING = ("reserved", "confirmed", "suspect")
"""States of a claim that count against its host."""


class ErrorClass(StrEnum):
    """Why a request failed, by what would help."""

    MALFORMED = "malformed"
    """The message itself: whoever sent it must mend it."""
    NOW = "unsatisfiable_now"
    """No host has room now; one may later."""
    EVER = "unsatisfiable_ever"
    """No host of this inventory could take it, were it empty."""
    TRANSIENT = "transient"
    """Database, broker or inventory were away; it is tried again by itself."""
    CONFLICT = "conflict"
    """Somebody else was faster, or the id belongs to another request."""
    BUG = "bug"
    """A plugin or Pilotage itself failed; the request is kept as a dead letter."""


class Decided(Struct, kw_only=True, gc=False, omit_defaults=True):
    """One request with its decision: a ``host``, or an error. Amounts in CPUs, MiB, GiB, GPUs.

    It travels to the database as it is. ``history`` and ``event_id`` are the store's: they say how it ended.
    """

    task_id: str
    digest: str
    request: str
    received_at: float
    decided_at: float
    pool: str
    cpu: int
    memory: int
    storage: int = 0
    gpu: int = 0
    group_name: str = ""
    group_rule: str = ""
    at_most: int | None = None
    place: str = ""
    on_dedicated: bool = False
    owner: str = ""
    expires_at: float | None = None
    callback_url: str = ""
    attempts: int = 1
    host: str = ""
    error_class: str = ""
    error: str = ""
    history: str = ""
    event_id: str = ""

    @property
    def status(self) -> str:
        """The final state of its task."""
        return "success" if self.host else "failed"


class Letter(Struct, kw_only=True):
    """A message that is no request, or a request that failed by a bug: kept with its reason."""

    task_id: str
    message_id: str
    field: str
    reason: str
    body: bytes
    error_class: str = ErrorClass.MALFORMED


class HostRow(Struct, frozen=True, gc=False):
    """A host as the database has it: what VMs may take and what they took, in CPUs, MiB, GiB, GPUs, VMs."""

    name: str
    pool: str
    dedicated: bool
    state: str
    spec: str
    capacity: dict[str, int]
    used: dict[str, int]
    seq: int


class Change(Struct, frozen=True, gc=False):
    """One line of the history that every worker follows.

    ``kind``: claimed, released, confirmed, renewed, suspect, host (whose row changed).
    """

    seq: int
    kind: str
    worker: str
    host: str
    pool: str
    claim_id: str
    task_id: str
    cpu: int
    memory: int
    storage: int
    gpu: int
    vms: int
    group_rule: str
    place: str


class Batch(Struct, kw_only=True):
    """What one worker commits at once. ``known``: decisions rest on history up to here; ``read``: it was read so far.

    ``receivers``: names of the webhooks that hear of every result.
    """

    worker: str
    now: float
    decided: list[Decided]
    letters: list[Letter]
    known: int
    read: int
    receivers: tuple[str, ...] = ()


class Committed(Struct):
    """What became of a batch: an outcome per decided request, current rows of refusing hosts, and others' changes."""

    outcomes: list[Outcome]
    hosts: dict[str, HostRow]
    changes: list[Change]
    seq: int


CLAIM_SUFFIX = ".1"


def claim_of(task_id: str) -> str:
    """The id of a task's claim."""
    return task_id + CLAIM_SUFFIX


def event_of(task_id: str, status: str) -> str:
    """The idempotency id of a task's final state: the same whoever works it out, and however often."""
    return "evt_" + sha256(f"{task_id}:{status}".encode()).hexdigest()[:24]


def history_line(status: str, at: float, detail: str = "") -> str:
    """One line of a task's history; times of this epoch have ten digits, so lines of one status are equally long."""
    told = f',"detail":{msgspec.json.encode(detail).decode()}' if detail else ""
    return f'{{"status":"{status}","at":{at:.6f}{told}}}\n'
