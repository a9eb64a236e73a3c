"""What the routes are given: the service while this process leads, and who leads otherwise."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry

from pilotage.service.ports import NotLeading
from pilotage.service.tasks import TaskService


class Leading:
    """Holds the service of the present term; the routes ask for it at every request."""

    def __init__(self, allowed: Callable[[str, int], None]) -> None:
        self._service: TaskService | None = None
        self.allowed = allowed
        """Raises `InvalidInput` for an address at which no instance may be."""
        self.metrics = CollectorRegistry()

    @property
    def service(self) -> TaskService:
        """The service. Raises `NotLeading`."""
        if self._service is None:
            raise NotLeading("standby: another process leads, ask that one")
        return self._service

    @property
    def current(self) -> TaskService | None:
        """The service, or None."""
        return self._service

    def lead(self, service: TaskService | None) -> None:
        """A term begins, or (None) ends."""
        self._service = service

    def health(self) -> dict[str, Any]:
        """What /health adds to the fixed part."""
        return {"role": "leader" if self._service else "standby"}
