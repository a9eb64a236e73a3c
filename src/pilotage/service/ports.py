"""What the service needs from outside: somewhere to store tasks, and a way to talk to instances."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

from msgspec import Raw, Struct

from pilotage.engine.taskqueue.machine import Attempt


class NotLeading(RuntimeError):  # noqa: N818 - reads as a statement at the place that raises it
    """Another process leads, or this one is about to stop: ask again later."""


class NoInstance(RuntimeError):  # noqa: N818
    """Nobody could run the task now."""


class QueueFull(RuntimeError):  # noqa: N818
    """As many tasks wait as may wait."""


class NotFound(LookupError):  # noqa: N818
    """There is no such task or instance, or it was forgotten."""


class WrongState(RuntimeError):  # noqa: N818
    """The task or instance is in a state that does not allow this."""


class Stored(Struct, kw_only=True):
    """A task as it is stored and shown. Times are Unix seconds; JSON texts stay bytes."""

    seq: int
    id: str
    model: str
    tenant: str
    priority: int
    deadline_s: float | None
    key: str | None
    status: str
    instance: str
    attempt: int
    remote_id: str | None
    submitted_s: float
    scheduled_s: float | None
    started_s: float | None
    finished_s: float | None
    run_s: float | None
    input: bytes
    metadata: bytes
    result: bytes | None
    error: str
    attempts: tuple[Attempt, ...]


class Registered(Struct, frozen=True):
    """An instance as it is stored: what its registration said."""

    id: str
    host: str
    port: int
    model: str
    registered_s: float
    draining: bool = False


class Filter(Struct, frozen=True, kw_only=True):
    """Which tasks to list: all fields that are set must agree. ``before``: sequence number to go on from."""

    status: str | None = None
    model: str | None = None
    instance: str | None = None
    tenant: str | None = None
    before: int | None = None


class Run(Struct, frozen=True):
    """A completed task as predictors see it; ``metadata`` is JSON."""

    model: str
    metadata: bytes
    instance: str
    run_s: float


class Store(Protocol):
    """Durable state. Reads are made from threads; writes go to one writer, fenced by the lease."""

    def save(self, fresh: Sequence[Stored], changed: Sequence[Stored]) -> Future[None]:
        """Insert and update tasks in one transaction. An update of a task that ended already is a `WrongState`."""

    def keep_instance(self, instance: Registered) -> Future[None]:
        """Insert or replace an instance."""

    def drop_instance(self, instance_id: str) -> Future[None]:
        """Forget an instance."""

    def keep_setting(self, name: str, value: str) -> Future[None]:
        """Remember a choice that was made while running."""

    def prune(self, before_s: float, keep: int, limit: int) -> Future[int]:
        """Delete at most ``limit`` ended tasks: older than ``before_s``, or more than the newest ``keep``."""

    def clear(self, before_seq: int) -> Future[int]:
        """Delete all ended tasks up to a sequence number."""

    def live(self) -> list[Stored]:
        """All tasks that have not ended, oldest first."""

    def instances(self) -> list[Registered]:
        """All instances."""

    def setting(self, name: str) -> str | None:
        """A choice that was made."""

    def task(self, task_id: str) -> Stored | None:
        """A task by its id, or by the id its instance gave it."""

    def by_key(self, tenant: str, key: str) -> Stored | None:
        """A task by its idempotency key."""

    def tasks(self, wanted: Filter, limit: int) -> list[Stored]:
        """Tasks, newest first, without their inputs and results."""

    def count(self, wanted: Filter) -> int:
        """How many tasks a filter meets."""

    def runs(self, limit: int) -> "list[Run]":
        """The last tasks that were completed, oldest first."""

    def last_seq(self) -> int:
        """The highest sequence number given out; 0: none."""


class Address(Struct, frozen=True):
    """Where an instance listens, and how it wants to be spoken to."""

    host: str
    port: int
    dialect: str = ""
    batches: bool = False


class Probe(Struct, frozen=True):
    """What an instance said of itself. ``boot`` changes with each start; ``remembers``: it can be asked for a task."""

    address: Address
    name: str
    model: str
    slots: int
    platform: str = ""
    boot: str = ""
    remembers: bool = False


class Outgoing(Struct, frozen=True):
    """A task on its way to an instance."""

    task_id: str
    model: str
    input: Raw
    metadata: Raw


class Ack(Struct, frozen=True):
    """What came of sending one task. ``certain`` False: nobody knows whether the instance has it."""

    accepted: bool
    remote_id: str = ""
    reason: str = ""
    certain: bool = True


class Held(Struct, frozen=True):
    """What an instance says of a task: known at all, ended, and how."""

    known: bool
    ended: bool = False
    run_s: float | None = None
    result: bytes | None = None
    error: str = ""


class InstanceAway(ConnectionError):  # noqa: N818
    """The instance did not answer. ``gone``: nothing listens there any more."""

    def __init__(self, reason: str, *, gone: bool = False) -> None:
        super().__init__(reason)
        self.gone = gone


class InstanceClient(Protocol):
    """Speaks to instances; every call ends within a bound."""

    async def probe(self, host: str, port: int) -> Probe:
        """Ask what it is. Raises `InstanceAway`."""

    async def send(self, address: Address, tasks: Sequence[Outgoing]) -> list[Ack]:
        """Hand over tasks; one answer each, never an exception for a failure of the other side."""

    async def held(self, address: Address, task_id: str) -> Held:
        """Ask after one task. Raises `InstanceAway`."""

    async def withdraw(self, address: Address, task_id: str) -> None:
        """Say that a task is no longer wanted; failures are ignored."""

    async def close(self) -> None:
        """Close all connections."""


class StrategyMaker(Protocol):
    """Makes strategies by name, and knows which there are."""

    names: Sequence[str]

    def make(self, name: str, predict_mode: str) -> Any:
        """Return a fresh `Strategy`. Raises `InvalidInput`."""

    def check_mode(self, predict_mode: str) -> None:
        """Raise `InvalidInput` unless the mode is known and can be used."""

    def observe(self, model: str, metadata: Mapping[str, Any], platform: str, instance: str, run_s: float) -> None:
        """Tell the predictors of a run time."""

    def recall(self, model: str, metadata: Mapping[str, Any], platform: str, instance: str, run_s: float) -> None:
        """The same of a run before the start, whatever the strategy."""
