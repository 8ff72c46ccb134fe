"""The gallery in Chromium with a key."""

from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.serve.conftest import KEY
from tests.integration.serve.in_a_browser.using import see, visit
from tests.integration.serve.running import GENERATIONS, Running

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def locked(guarded: Running) -> Running:
    """A server that requires a key, with one image."""
    headers = {"Authorization": f"Bearer {KEY}"}
    guarded.clear(headers)
    asked = {"prompt": "a", "size": "64x64"}
    guarded.http.post(GENERATIONS, json=asked, headers=headers).raise_for_status()
    return guarded


def test_a_locked_gallery_asks_for_the_key(page: "Page", locked: Running) -> None:
    visit(page, locked)

    page.get_by_label("Key").fill("wrong")
    page.get_by_role("button", name="Open").click()
    see(page.get_by_text("Invalid API key for this server.")).to_be_visible()
    page.get_by_label("Key").fill(KEY)
    page.get_by_role("button", name="Open").click()

    see(page.locator(".tile.there")).to_have_count(1)
    see(page.get_by_text("writer", exact=True)).to_be_visible()
    page.route("**/session", lambda route: route.abort())
    page.get_by_role("button", name="Sign out").click()
    see(page.get_by_text("Signing out failed.")).to_be_visible()
    page.unroute("**/session")
    page.get_by_role("button", name="Sign out").click()
    see(page.get_by_label("Key")).to_be_visible()


@pytest.mark.parametrize(
    ("role", "makes", "deletes"),
    [("read", 0, 0), ("make", 1, 0), ("admin", 1, 1)],
)
def test_the_page_offers_what_the_role_of_the_key_may_do(
    page: "Page", locked: Running, role: str, makes: int, deletes: int
) -> None:
    def give_role(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "role": role})

    page.route("**/session", give_role)
    visit(page, locked, "#/make")
    page.get_by_label("Key").fill(KEY)
    page.keyboard.press("Enter")

    see(page.locator("form.maker:visible")).to_have_count(makes)
    see(page.locator(".reader:visible")).to_have_count(1 - makes)
    see(page.locator("nav a:visible", has_text="Generate")).to_have_count(makes)
    page.get_by_role("link", name="Images").click()
    page.locator(".tile a").click()
    see(page.locator("#image .facts")).to_be_visible()
    see(page.get_by_role("button", name="Generate again")).to_have_count(makes)
    see(page.get_by_role("button", name="Delete")).to_have_count(deletes)


def test_escape_does_not_close_the_key_dialog(page: "Page", locked: Running) -> None:
    visit(page, locked)
    see(page.get_by_label("Key")).to_be_focused()

    for _ in range(3):
        page.keyboard.press("Escape")
        see(page.get_by_label("Key")).to_be_focused()

    page.get_by_label("Key").fill(KEY)
    page.keyboard.press("Enter")
    see(page.locator(".tile.there")).to_have_count(1)
    see(page.get_by_label("Key")).not_to_be_visible()
