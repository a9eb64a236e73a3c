"""What commands on the VM database share: open it, ask once, close it, and say a refusal in one line."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from pilotage.app.vms.service import VmService

T = TypeVar("T")


def visit(config: str | None, database: str | None, ask: "Callable[[VmService], Awaitable[T]]") -> T:
    """Return what ``ask`` gets from the service; what is not found or can not be done is bad input."""
    import asyncio

    from pilotage.app.logs import set_up_logs
    from pilotage.app.vms.desk import opened
    from pilotage.app.vms_config import load_vms_settings
    from pilotage.model.errors import InvalidInput, NotFound, StorageDown, WrongState

    settings = load_vms_settings(config, {"database": database})
    set_up_logs("error")

    async def run() -> T:
        async with opened(settings) as (service, _):
            return await ask(service)

    try:
        return asyncio.run(run())
    except (NotFound, WrongState, StorageDown) as error:
        raise InvalidInput("refused", str(error)) from None
