"""Rankings that managers share, kept for a while; Redis away is Redis empty."""

import time
from collections.abc import Callable

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from pilotage.model.errors import InvalidInput

ANSWER_WITHIN_S = 0.1
"""Longer than this a search takes less time than Redis."""
REST_S = 5.0
"""For so long after a failure Redis is not asked."""
VALUE_BYTES = 1 << 20

_log = structlog.get_logger("pilotage.manager")


class RedisCache:
    """`get` and `put` with a time to live; both are over within a moment and never raise."""

    def __init__(self, url: str, ttl_s: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        try:
            self._redis = Redis.from_url(
                url,
                socket_timeout=ANSWER_WITHIN_S,
                socket_connect_timeout=ANSWER_WITHIN_S,
                retry=Retry(NoBackoff(), 0),
                max_connections=64,
            )
        except ValueError as error:
            raise InvalidInput("manager.redis", f"is no URL like redis://HOST:PORT/0: {error}") from None
        self._ttl_ms = int(ttl_s * 1000)
        self._monotonic = monotonic
        self._rests_until_s = 0.0
        self.failures = 0

    async def get(self, key: str) -> bytes | None:
        """Return what was put there, None if there is nothing, it is too long, or Redis does not answer."""
        if self._monotonic() < self._rests_until_s:
            return None
        try:
            value = await self._redis.get(key)
        except (TimeoutError, RedisError, OSError) as error:
            self._rest(error)
            return None
        return value if isinstance(value, bytes) and len(value) <= VALUE_BYTES else None

    async def put(self, key: str, value: bytes) -> None:
        """Keep ``value`` for the time to live, if Redis can."""
        if self._monotonic() < self._rests_until_s or len(value) > VALUE_BYTES:
            return
        try:
            await self._redis.set(key, value, px=self._ttl_ms)
        except (TimeoutError, RedisError, OSError) as error:
            self._rest(error)

    async def close(self) -> None:
        """Let the connections go."""
        await self._redis.aclose()

    def _rest(self, error: Exception) -> None:
        self.failures += 1
        if self._rests_until_s <= self._monotonic():
            _log.warning("Redis does not answer; searching without it", reason=str(error))
        self._rests_until_s = self._monotonic() + REST_S
