"""Finds what `tests/controlplane/build` made; the tests that need it are skipped, by name, where it is not there."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

import pytest

BUILD = Path(__file__).parent / "build"


@cache
def folders() -> tuple[Path, ...]:
    """Where the servers and the oracles are, or would be."""
    told = subprocess.run([BUILD, "--where"], capture_output=True, text=True, check=True).stdout.split()
    return tuple(map(Path, told))


def find(name: str) -> Path | None:
    """The path of a program, or None if it was not built."""
    for folder in folders():
        if (folder / "complete").exists() and os.access(folder / name, os.X_OK):
            return folder / name
    return None


def located(name: str) -> Path:
    """The path of a program; without it the test is skipped, or fails where servers are required (CI)."""
    program = find(name)
    if program is not None:
        return program
    complaint = f"{name} is not built; run `make controlplane` (needs Go)"
    if os.environ.get("PILOTAGE_REQUIRE_SERVERS") == "1":
        pytest.fail(complaint)
    pytest.skip(complaint)
