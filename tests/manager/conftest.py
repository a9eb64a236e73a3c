from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.postgres import postgres
from tests.manager.clients import Client
from tests.manager.process import ManagerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["postgres"]


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagerProcess]:
    """A manager on a new SQLite file, with patience: nobody dies of silence here."""
    folder: Path = tmp_path_factory.mktemp("manager")
    running = ManagerProcess(folder, f"sqlite:///{folder}/manager.sqlite3", keep_alive_interval_s="30").start()
    yield running
    assert running.stop() == 0
    assert '"level": "error"' not in running.log()


@pytest.fixture
def client(manager: ManagerProcess) -> Iterator[Client]:
    running = Client(manager.grpc)
    yield running
    running.end()
