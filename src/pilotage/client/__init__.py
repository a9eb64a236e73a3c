"""The task queue from Python: `AsyncClient`, and `Client` for programs without an event loop.

In: calls. Out: requests to a service's /api/v1, and its answers as plain dictionaries. It knows the HTTP API and
nothing of the service's code, so any version of either works with the other.
"""

from pilotage.client.aio import ApiError, AsyncClient, TaskFailed
from pilotage.client.sync import Client

__all__ = ["ApiError", "AsyncClient", "Client", "TaskFailed"]
