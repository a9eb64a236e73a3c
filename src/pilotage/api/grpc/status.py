"""Which gRPC status an error is. ``precise`` tells what happened; ``dragonfly`` tells what Dragonfly's manager would.

| what happened | precise | dragonfly |
|---|---|---|
| a field breaks its rule | INVALID_ARGUMENT | the same |
| a request that is none of its kinds | INVALID_ARGUMENT | FAILED_PRECONDITION |
| the row is not there | NOT_FOUND | INTERNAL; DeleteSeedPeer: OK; ListSchedulers by cluster: UNKNOWN |
| nothing to list (applications, seed peers) | NOT_FOUND | the same |
| the name is taken | ALREADY_EXISTS | INTERNAL |
| the database is away | UNAVAILABLE | INTERNAL |
| too much waits, or too many calls | RESOURCE_EXHAUSTED | the same |
"""

import grpc
import structlog

from pilotage.model.errors import CommitUnknown, InvalidInput, StorageDown, StorageFull
from pilotage.registry.errors import Missing, NothingListed, Taken, Undecided

Code = grpc.StatusCode
_log = structlog.get_logger("pilotage.manager")

_PRECISE: tuple[tuple[type[Exception], grpc.StatusCode], ...] = (
    (InvalidInput, Code.INVALID_ARGUMENT),
    (Missing, Code.NOT_FOUND),
    (Taken, Code.ALREADY_EXISTS),
    (StorageDown, Code.UNAVAILABLE),
    (CommitUnknown, Code.UNAVAILABLE),
    (StorageFull, Code.RESOURCE_EXHAUSTED),
)
_DRAGONFLY: tuple[tuple[type[Exception], grpc.StatusCode], ...] = (
    (Undecided, Code.FAILED_PRECONDITION),
    (InvalidInput, Code.INVALID_ARGUMENT),
    (NothingListed, Code.NOT_FOUND),
    (StorageFull, Code.RESOURCE_EXHAUSTED),
)
_DRAGONFLY_MISSING = {"DeleteSeedPeer": Code.OK, "ListSchedulers": Code.UNKNOWN}


def status_of(error: Exception, method: str, *, dragonfly: bool) -> tuple[grpc.StatusCode, str]:
    """Return code and text for an error of ``method``; what nobody foresaw is logged with its trace."""
    for kind, code in _DRAGONFLY if dragonfly else _PRECISE:
        if isinstance(error, kind):
            return code, str(error)
    foreseen = isinstance(error, tuple(kind for kind, _ in _PRECISE))
    if not foreseen:
        _log.error("a call failed", method=method, exc_info=error)
        return Code.INTERNAL, f"{method} failed: see the manager's log"
    if isinstance(error, Missing):
        return _DRAGONFLY_MISSING.get(method, Code.INTERNAL), str(error)
    return Code.INTERNAL, str(error)
