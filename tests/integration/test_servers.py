"""The servers of `make servers` are there and can be run."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.integration.servers import SERVERS, Server, require

if TYPE_CHECKING:
    from pathlib import Path

VERSION = re.compile(r"\b\d+\.\d+")


@pytest.mark.parametrize("server", [each for each in SERVERS if each.version_arguments], ids=lambda each: each.name)
def test_the_program_tells_its_version(server: Server, tmp_path: Path) -> None:
    program = require(server.name)

    answer = subprocess.run(
        [program, *server.version_arguments],
        env={**os.environ, "HOME": str(tmp_path)},  # none of them may find, or leave, settings of the user's
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    printed = answer.stdout + answer.stderr
    assert answer.returncode == 0, f"{program} ended with {answer.returncode}: {printed}"
    assert VERSION.search(printed), f"{program} printed no version: {printed!r}"


def test_the_broker_is_there_without_being_started() -> None:
    broker = require("rabbitmq-server").resolve()

    assert os.access(broker, os.X_OK)
    assert VERSION.search(str(broker)), f"{broker} has no version in its path"
