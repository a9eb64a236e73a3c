"""Who may call, and how often: a token in constant time, a bucket of calls."""

import time
from collections.abc import Callable, Sequence

import grpc

from pilotage.api.http.gate import ADMIN, Tokens

Refusal = tuple[grpc.StatusCode, str]


class Gate:
    """Lets a call in, or says why not.

    ``tokens``: any of these must come as ``authorization: Bearer TOKEN`` (empty: nobody is asked). ``rate``: calls and
    new streams a second over time (0: no limit), ``burst`` at once.
    """

    def __init__(
        self,
        tokens: Sequence[str] = (),
        *,
        rate: float = 4000.0,
        burst: float = 4000.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = Tokens({ADMIN: tokens} if tokens else {})
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._monotonic = monotonic
        self._filled_s = monotonic()
        self.refused = 0

    def refuse(self, context: "grpc.aio.ServicerContext") -> Refusal | None:
        """Return why this call is not let in, None if it is."""
        if self._rate and not self._take():
            self.refused += 1
            return grpc.StatusCode.RESOURCE_EXHAUSTED, f"more than {self._rate:g} calls a second; try again later"
        if self._tokens and not self._knows(dict(context.invocation_metadata() or ()).get("authorization", "")):
            self.refused += 1
            return grpc.StatusCode.UNAUTHENTICATED, "send metadata 'authorization: Bearer TOKEN' with a valid token"
        return None

    def _take(self) -> bool:
        if self._left < 1:
            now = self._monotonic()
            self._left = min(self._burst, self._left + (now - self._filled_s) * self._rate)
            self._filled_s = now
            if self._left < 1:
                return False
        self._left -= 1
        return True

    def _knows(self, told: str | bytes) -> bool:
        offered = told.encode() if isinstance(told, str) else told
        return offered[:7].lower() == b"bearer " and self._tokens.role(offered[7:].strip()) is not None
