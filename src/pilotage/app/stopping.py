"""How a role that serves comes to its end: it is asked to, or a part of it fails."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def ended_or_asked(role: Coroutine[Any, Any, object], stop: asyncio.Event) -> None:
    """Return once ``stop`` is set or ``role`` returns, and raise what it raises; the other one is cancelled."""
    ended, asked = asyncio.create_task(role), asyncio.create_task(stop.wait())
    await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if ended.done():
        ended.result()
    ended.cancel()
