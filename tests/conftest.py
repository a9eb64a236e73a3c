"""How thorough Hypothesis is: HYPOTHESIS_PROFILE=thorough draws thousands of cases, with a fresh seed each run."""

import os

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ("tests.integration.browser",)

pytest.register_assert_rewrite("tests.engine.world")

# Once gRPC has run in this process, its fork handlers break programs that are started as another user.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

_SHARED = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}

settings.register_profile("default", max_examples=60, **_SHARED)
settings.register_profile("thorough", max_examples=2000, stateful_step_count=80, **_SHARED)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
