from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING

import pytest
import structlog

from pilotage.app.logs import set_up_logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.mark.usefixtures("restored")
def test_a_line_is_json_and_holds_no_secret() -> None:
    stream = io.StringIO()
    set_up_logs("info", stream=stream)
    structlog.get_logger().info("submitted", task_id="t1", task_input={"prompt": "hush"}, token="abc")
    structlog.get_logger().debug("unseen")
    logging.getLogger("somebody").warning("from a library: %s", 7)
    logging.getLogger("somebody").info("unseen")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["submitted", "from a library: 7"]
    assert lines[0]["task_id"] == "t1"
    assert lines[0]["level"] == "info"
    assert lines[0]["timestamp"].endswith("Z")
    assert "hush" not in stream.getvalue()
    assert "abc" not in stream.getvalue()


@pytest.mark.usefixtures("restored")
def test_a_traceback_is_one_field() -> None:
    stream = io.StringIO()
    set_up_logs("info", stream=stream)
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert "ValueError: broken" in line["exception"]
