"""What several tests of the HTTP service start alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.api.running import Service, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service of the test's own, with the settings that it comes with."""
    with running(tmp_path) as service:
        yield service
