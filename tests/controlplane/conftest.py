from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.controlplane.cluster import ControlPlane
from tests.controlplane.oracle import Oracle
from tests.controlplane.programs import located


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One control plane for all tests that name it."""
    made = ControlPlane(tmp_path_factory.mktemp("controlplane"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    """One oracle for all questions."""
    asked = Oracle(located("oracle"))
    yield asked
    asked.close()
