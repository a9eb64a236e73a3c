from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pilotage.adapters.sql.engine import open_engine
from pilotage.adapters.sql.migrate import migrate
from pilotage.adapters.sql.writer import Writer
from tests.integration.postgres import postgres
from tests.vms.cloud import Cloud

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["postgres"]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new empty database of each kind that is spoken."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/vms.sqlite3"
    return request.getfixturevalue("postgres").database()


@pytest.fixture
def cloud(url: str) -> Iterator[Cloud]:
    database = open_engine(url)
    migrate(database, "vms")
    writer = Writer(database)
    yield Cloud(database, writer)
    writer.close()
    database.dispose()
