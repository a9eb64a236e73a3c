from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pilotage.adapters.sql.engine import open_engine
from pilotage.adapters.sql.migrate import migrate
from pilotage.adapters.sql.writer import Writer
from tests.integration.postgres import postgres, url
from tests.vms.cloud import Cloud

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["postgres", "url"]


@pytest.fixture
def cloud(url: str) -> Iterator[Cloud]:
    database = open_engine(url)
    migrate(database, "vms")
    writer = Writer(database)
    yield Cloud(database, writer)
    writer.close()
    database.dispose()
