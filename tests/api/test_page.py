"""The page at `/` in a real Chromium: it shows what the service does, live, and switches the strategy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from pilotage import Client
from tests.api.running import Service, eventually, instance, running
from tests.integration.browser import DESKTOP, PHONE, Screen, opened, overflow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with running(tmp_path, strategy="pilotage", probe_every_s=0.5, lost_after_s=5) as service:
        yield service


def shows(page: Page, selector: str, pattern: str) -> None:
    """Wait until an element's text has the pattern. (Code to wait for in the page is not allowed there.)"""
    eventually(lambda: re.search(pattern, page.locator(selector).inner_text()), 20)


def test_before_anything_happened_it_says_what_to_do(browser: Browser, service: Service) -> None:
    with opened(browser, service.url) as page:
        shows(page, "#link", "live")
        shows(page, "#instances", f"pilotage instance --scheduler {re.escape(service.url)}")
        assert page.locator("#waiting").inner_text() == "0"
        assert page.locator("#strategy").input_value() == "pilotage"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_shows_what_runs_and_why(browser: Browser, service: Service, screen: Screen, dark: bool) -> None:
    with instance(service.url, slots=2, run_ms=60_000, platform="h100"), Client(service.url) as client:
        eventually(lambda: [each["state"] for each in client.instances()] == ["ready"])
        with opened(browser, service.url, screen, dark=dark) as page:
            shows(page, "#link", "live")
            ids = [client.submit("m", {"prompt": "no secret on the page"})["id"] for _ in range(5)]
            shows(page, "#waiting", "^3$")
            shows(page, "#running", "^2$")
            shows(page, "#instances", r"2 tasks[\s\S]*h100|h100[\s\S]*2 tasks")
            shows(page, "#instances", f"{ids[0][-8:]}")
            shows(page, "#decisions", f"{ids[1][-8:]} to 127.0.0.1")
            shows(page, "#tasks", "queued")
            assert overflow(page) == 0, "no sideways scrolling"
            assert "no secret" not in page.content()
            shade = page.evaluate("getComputedStyle(document.body).backgroundColor").removeprefix("rgb(").rstrip(")")
            assert (sum(int(each) for each in shade.split(",")) < 200) == dark
            for each in ids:
                client.cancel(each)
            shows(page, "#failed", "^5$")
            shows(page, "#running", "^0$")


def test_completed_tasks_are_counted_while_one_looks(browser: Browser, service: Service) -> None:
    with instance(service.url, run_ms=20), Client(service.url) as client, opened(browser, service.url) as page:
        shows(page, "#link", "live")
        shows(page, "#instances-title", "1 of 1 ready")
        for at in range(1, 4):
            assert client.result(client.submit("m", {})["id"], timeout_s=20)
            shows(page, "#completed", f"^{at}$")
        shows(page, "#p50", "ms$")
        shows(page, "#tasks", "completed")
        eventually(lambda: page.locator("#flow path").count() == 3)


def test_the_strategy_is_switched_from_the_page_and_from_elsewhere(browser: Browser, service: Service) -> None:
    with opened(browser, service.url) as page:
        shows(page, "#link", "live")
        eventually(page.locator("#strategy").is_enabled)
        page.select_option("#strategy", "round_robin")
        eventually(lambda: service.get("/api/v1/strategies")["strategy"] == "round_robin")
        service.post("/scheduler/set", {"name": "weighted"})
        eventually(lambda: page.locator("#strategy").input_value() == "weighted")


def test_names_from_outside_are_text_and_no_markup(browser: Browser, service: Service) -> None:
    model = "<img src=x onerror=alert(1)>"
    with Client(service.url) as client, opened(browser, service.url) as page:
        shows(page, "#link", "live")
        client.submit(model, {})
        shows(page, "#tasks", "onerror")
        assert page.locator("#tasks img").count() == 0


def test_it_asks_for_a_token(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path, admin_tokens="right") as service:
        context = browser.new_context(viewport={"width": 390, "height": 844})
        page = context.new_page()  # refused requests are what is looked at here
        page.goto(service.url)
        page.wait_for_selector("#ask:not([hidden])")
        page.fill("#token", "right")
        page.click("#ask button")
        shows(page, "#link", "live")
        assert page.locator("#ask").is_hidden()
        context.close()


def test_it_comes_back_with_the_service(browser: Browser, tmp_path: Path) -> None:
    with running(tmp_path) as service:
        port = int(service.url.rpartition(":")[2])
        context = browser.new_context()
        page = context.new_page()
        page.goto(service.url)
        shows(page, "#link", "live")
    shows(page, "#link", "stopped|not connected")
    with running(tmp_path, port=port):
        shows(page, "#link", "live")
    context.close()
