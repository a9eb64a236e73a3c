from tests.controlplane.conftest import oracle

__all__ = ["oracle"]
