"""Chromium for tests: Debian's program, driven by playwright, without a window and without the user's settings.

Ask for the fixture `browser` and open pages with `opened`::

    def test_the_page_shows_it(browser):
        with opened(browser, url, PHONE, dark=True) as page:
            assert page.get_by_role("heading").inner_text() == "..."
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.integration.servers import require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page


class Screen(NamedTuple):
    """Width and height of a window, in CSS pixels."""

    width: int
    height: int


DESKTOP = Screen(1280, 800)
PHONE = Screen(390, 844)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A running Chromium. While it is open no other event loop can run in this thread: keep async tests elsewhere."""
    from playwright.sync_api import sync_playwright

    program = require("chromium")
    home: Path = tmp_path_factory.mktemp("chromium")
    with sync_playwright() as driver:
        running = driver.chromium.launch(
            executable_path=program,
            args=["--disable-dev-shm-usage"],  # containers have little of it
            env={**os.environ, "HOME": str(home)},
        )
        yield running
        running.close()


@contextmanager
def opened(browser: Browser, url: str, screen: Screen = DESKTOP, *, dark: bool = False) -> Iterator[Page]:
    """A page at ``url``; at the end nothing may have gone wrong on it: no script error, no failed request."""
    faults: list[str] = []
    context = browser.new_context(
        viewport={"width": screen.width, "height": screen.height}, color_scheme="dark" if dark else "light"
    )
    try:
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("requestfailed", lambda request: faults.append(f"{request.url}: {request.failure}"))
        page.goto(url)
        yield page
    finally:
        context.close()
    assert not faults, f"{url}: {faults}"


def overflow(page: Page) -> int:
    """By how many CSS pixels the page is wider than its window: 0 on a page that a phone can read."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
