from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.controlplane.oracle import Oracle
from tests.controlplane.programs import located


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    """One oracle for all questions."""
    asked = Oracle(located("oracle"))
    yield asked
    asked.close()
