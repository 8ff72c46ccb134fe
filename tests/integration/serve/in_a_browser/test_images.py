"""The gallery's images in Chromium: the grid, search, the dialog, deletion."""

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.integration.serve.in_a_browser.using import copy, make, make_many, see, visit
from tests.integration.serve.running import GENERATIONS, Running

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_images_are_shown_the_newest_first(page: "Page", shop: Running) -> None:
    make(shop, "a fox", "an owl", "a hen")

    visit(page, shop)

    see(page.locator(".tile")).to_have_count(3)
    see(page.locator(".tile.there")).to_have_count(3)
    names = [each.get_attribute("alt") for each in page.locator(".tile img").all()]
    assert names == ["a hen", "an owl", "a fox"]
    see(page.get_by_text("3 images")).to_be_visible()


def test_an_empty_gallery_links_to_the_form(page: "Page", shop: Running) -> None:
    visit(page, shop)

    page.get_by_role("link", name="Generate one").click()

    see(page.get_by_role("heading", name="Generate images")).to_be_visible()


def test_the_keyboard_is_enough(page: "Page", shop: Running) -> None:
    make(shop, "a fox", "an owl", "a hen")
    visit(page, shop)
    see(page.locator(".tile.there")).to_have_count(3)

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").startswith("Skip")
    page.keyboard.press("Enter")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "words"
    page.locator(".tile a").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Image")
    see(dialog.get_by_text("an owl", exact=True)).to_be_visible()
    page.keyboard.press("ArrowRight")
    see(dialog.get_by_text("a fox", exact=True)).to_be_visible()
    page.keyboard.press("Escape")

    see(dialog).to_be_hidden()
    see(page.get_by_role("link", name="a fox")).to_be_focused()


def test_filters_are_in_the_url(page: "Page", shop: Running) -> None:
    make(shop, "a red fox", "an owl")
    make(shop, "a blue fox", model="paid")
    visit(page, shop)

    page.get_by_label("Search prompts").fill("FOX")
    see(page.locator(".tile")).to_have_count(2)
    page.get_by_role("combobox", name="Backend").select_option("paid")
    see(page.locator(".tile")).to_have_count(1)
    see(page.get_by_text("1 image found")).to_be_visible()
    assert page.url.endswith("#/?words=FOX&backend=paid")

    page.reload()
    see(page.locator(".tile")).to_have_count(1)
    see(page.get_by_label("Search prompts")).to_have_value("FOX")
    page.get_by_role("button", name="Clear").click()
    see(page.locator(".tile")).to_have_count(3)


def test_a_trailing_space_in_the_search_is_kept(page: "Page", shop: Running) -> None:
    make(shop, "a fox", "a red fox")
    visit(page, shop)
    see(page.locator(".tile.there")).to_have_count(2)

    page.get_by_label("Search prompts").press_sequentially("red ")
    see(page.locator(".tile")).to_have_count(1)
    page.keyboard.type("fox")

    see(page.get_by_label("Search prompts")).to_have_value("red fox")
    see(page).to_have_url(re.compile(r"words=red\+fox"))
    see(page.locator(".tile")).to_have_count(1)


def test_the_image_dialog_shows_all_parameters(page: "Page", shop: Running) -> None:
    words = "<img src=x onerror=alert(1)> & 'a fox'\nin two lines"
    make(shop, words, seed=2**64 - 1, model="paid")
    visit(page, shop)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])

    page.locator(".tile a").click()

    dialog = page.get_by_role("dialog", name="Image")
    see(dialog.get_by_label("Prompt", exact=True)).to_have_text(words)
    see(dialog.get_by_text(str(2**64 - 1), exact=True)).to_be_visible()
    see(dialog.get_by_text("$0.04 (price_table)")).to_be_visible()
    copied = {
        name: copy(page, dialog.get_by_role("button", name=f"Copy {name}"))
        for name in ("prompt", "command", "JSON", "curl")
    }
    assert copied["prompt"] == words
    assert copied["command"].startswith("imagen generate --backend paid --size 96x64")
    url = f"{shop.url}{GENERATIONS}"
    assert shlex.split(copied["curl"]) == ["curl", url, "--json", copied["JSON"]]
    with page.expect_download() as download:
        dialog.get_by_role("link", name="Download").click()
    [file] = shop.stored
    assert Path(download.value.path()).read_bytes() == file.read_bytes()
    assert download.value.suggested_filename == file.name


def test_a_page_without_a_clipboard_copies(page: "Page", shop: Running) -> None:
    # As in a page that comes by http from another machine.
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: null})")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    make(shop, "a fox")
    visit(page, shop)
    page.locator(".tile a").click()
    dialog = page.get_by_role("dialog", name="Image")

    dialog.get_by_role("button", name="Copy prompt").click()
    see(page.get_by_text("Prompt copied")).to_be_visible()
    dialog.press("Escape")
    page.get_by_label("Search prompts").focus()
    page.keyboard.press("Control+V")

    see(page.get_by_label("Search prompts")).to_have_value("a fox")


def test_a_prompt_has_its_own_direction(page: "Page", shop: Running) -> None:
    make(shop, "\N{HEBREW LETTER SHIN}\N{HEBREW LETTER LAMED}, a fox", "an owl")
    visit(page, shop, "#/?words=fox")
    page.locator(".tile a").click()
    prompt = page.get_by_label("Prompt", exact=True)

    direction = "element => getComputedStyle(element).direction"
    assert prompt.evaluate(direction) == "rtl"
    assert page.locator(".tile .caption").evaluate(direction) == "rtl"
    page.get_by_role("button", name="Generate again").click()
    form = page.get_by_role("textbox", name="Prompt", exact=True)
    see(form).to_have_value(re.compile("fox"))
    assert form.evaluate(direction) == "rtl"


def test_an_image_opened_by_url_has_neighbours(page: "Page", shop: Running) -> None:
    make(shop, "a fox", "an owl", "a hen")
    owl = shop.http.get("/gallery/api/images").json()["images"][1]["id"]

    visit(page, shop, f"#/image/{owl}")

    dialog = page.get_by_role("dialog", name="Image")
    see(dialog.get_by_text("an owl", exact=True)).to_be_visible()
    see(dialog.get_by_role("button", name="Newer image")).to_be_enabled()
    dialog.get_by_role("button", name="Older image").click()
    see(dialog.get_by_text("a fox", exact=True)).to_be_visible()
    see(dialog.get_by_role("button", name="Older image")).to_be_disabled()


def test_a_deletion_can_be_undone(page: "Page", shop: Running) -> None:
    make(shop, "a fox", "an owl")
    visit(page, shop)
    page.locator(".tile a").first.click()

    page.get_by_role("button", name="Delete").click()

    dialog = page.get_by_role("dialog", name="Image")
    see(dialog.get_by_text("a fox", exact=True)).to_be_visible()
    assert len(shop.stored) == 1
    page.get_by_role("button", name="Undo").click()
    see(page.get_by_text("Restored")).to_be_visible()
    page.keyboard.press("Escape")
    see(page.locator(".tile")).to_have_count(2)
    assert len(shop.stored) == 2


def test_closing_during_a_deletion_opens_no_other_image(
    page: "Page", shop: Running
) -> None:
    make(shop, "a fox", "an owl")
    visit(page, shop)
    page.locator(".tile a").first.click()
    waiting: list[Any] = []
    one = re.compile("/images/[^/]+$")
    dialog = page.get_by_role("dialog", name="Image")
    see(dialog.get_by_text("an owl", exact=True)).to_be_visible()

    def hold(route: Any) -> None:
        if route.request.method == "DELETE":
            waiting.append(route)
        else:
            route.continue_()

    page.route(one, hold)
    with page.expect_request(one):
        page.keyboard.press("Delete")

    page.keyboard.press("Escape")
    see(dialog).not_to_be_visible()
    waiting.pop().continue_()

    see(page.locator(".tile")).to_have_count(1)
    see(page.get_by_role("link", name="a fox")).to_be_focused()
    see(dialog).not_to_be_visible()


def test_a_restored_image_respects_the_filters(page: "Page", shop: Running) -> None:
    make(shop, "a fox", "an owl")
    visit(page, shop, "#/?words=fox")
    page.locator(".tile a").click()
    page.get_by_role("button", name="Delete").click()
    see(page.get_by_text("No images match the filters.")).to_be_visible()

    page.get_by_label("Search prompts").fill("owl")
    see(page.locator(".tile")).to_have_count(1)
    page.get_by_role("button", name="Undo").click()

    see(page.get_by_text("Restored")).to_be_visible()
    see(page.get_by_text("1 image found")).to_be_visible()
    assert page.evaluate("document.activeElement.id") == "main"


def test_only_images_near_the_viewport_are_in_the_document(
    page: "Page", shop: Running
) -> None:
    make_many(shop, 300)
    visit(page, shop)
    see(page.locator(".tile.there").first).to_be_visible()

    last = page.locator(".tile").last
    for _ in range(1000):
        page.mouse.wheel(0, 2000)
        page.evaluate("new Promise(requestAnimationFrame)")
        if last.get_attribute("aria-posinset") == "300":
            break

    see(page.get_by_role("list").get_by_role("listitem").last).to_have_attribute(
        "aria-setsize", "300"
    )
    assert page.locator(".tile").count() < 100
