from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pilotage.adapters.sql.engine import open_engine
from pilotage.adapters.sql.migrate import migrate
from tests.integration.postgres import postgres, url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

__all__ = ["postgres", "url"]


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = open_engine(url)
    migrate(engine)
    yield engine
    engine.dispose()
