"""Chromium, and a page in it."""

import re
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from tests.integration.serve.running import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    # A third of the time of a page is the start of a process for it.
    "--process-per-site",
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic"),
    *("--disable-background-networking", "--disable-component-update"),
]


@pytest.fixture(scope="package")
def browser() -> "Iterator[Browser]":
    """Chromium; not for longer, because Playwright keeps an event loop running."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed"
    )
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        sync_api.expect.set_options(timeout=PATIENCE * 1000)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: "Browser") -> "Iterator[Page]":
    """A page; the test fails if the browser's console has an error."""
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    logged: list[str] = []
    page.on("console", lambda each: logged.append(each.text))
    page.on("pageerror", lambda each: logged.append(str(each)))
    yield page
    context.close()
    # The browser logs every failed request; the page itself shows those.
    assert [
        each for each in logged if not re.search("a status of 40|net::ERR", each)
    ] == []
