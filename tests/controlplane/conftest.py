from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.controlplane.cluster import ControlPlane


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """One control plane for all tests that name it."""
    made = ControlPlane(tmp_path_factory.mktemp("controlplane"))
    yield made
    made.close()
