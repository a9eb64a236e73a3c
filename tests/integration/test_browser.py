"""The browser fixture sees what a user would see: text, colours, overflow, and what goes wrong on a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.browser import DESKTOP, PHONE, opened, overflow

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

PAGE = """<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<style>:root { color-scheme: light dark } body { margin: 0; background: Canvas }
@media (prefers-color-scheme: dark) { body { background: #111 } }</style>
<h1>Hello</h1><div style="width: 600px; height: 1px"></div>SCRIPT"""


def written(folder: Path, script: str = "") -> str:
    path = folder / "page.html"
    path.write_text(PAGE.replace("SCRIPT", script), encoding="utf-8")
    return path.as_uri()


def test_it_shows_a_page_as_the_screen_and_the_scheme_ask(browser: Browser, tmp_path: Path) -> None:
    url = written(tmp_path)
    background = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, url, DESKTOP) as page:
        assert page.get_by_role("heading").inner_text() == "Hello"
        assert (page.evaluate(background), overflow(page)) == ("rgb(255, 255, 255)", 0)
    with opened(browser, url, PHONE, dark=True) as page:
        assert (page.evaluate(background), overflow(page)) == ("rgb(17, 17, 17)", 600 - PHONE.width)


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("<script>throw new Error('broken')</script>", "broken"),
        ("<script>console.error('complaint')</script>", "complaint"),
        ("<img src='missing.png'>", "missing.png"),
    ],
)
def test_what_goes_wrong_on_a_page_fails_the_test(browser: Browser, tmp_path: Path, script: str, fault: str) -> None:
    with pytest.raises(AssertionError, match=fault), opened(browser, written(tmp_path, script)) as page:
        page.wait_for_load_state()
