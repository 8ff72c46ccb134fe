"""The gallery in Chromium, used with mouse and keyboard."""

import re
import shlex
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import pytest
from tests.integration.serve.conftest import KEY, Serve
from tests.integration.serve.running import GENERATIONS, PATIENCE, Running, until

from imagen.adapters.database.connection import Database
from imagen.adapters.database.history import SqliteHistory
from imagen.domain.history import HistoryEntry

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

sync_api: Any = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)"
)
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic"),
    *("--disable-background-networking", "--disable-component-update"),
]
BY = "\N{MULTIPLICATION SIGN}"


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium; not for longer, because Playwright keeps an event loop running."""
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


def make(shop: Running, *prompts: str, **fields: object) -> None:
    for prompt in prompts:
        asked = {"prompt": prompt, "response_format": "url", **fields}
        shop.http.post(GENERATIONS, json=asked).raise_for_status()


def make_many(shop: Running, count: int) -> None:
    """Generate one image, and list it many times."""
    make(shop, "a fox")
    history = SqliteHistory(Database(shop.account))
    [entry] = history.find(limit=1)
    moment = datetime.fromisoformat(entry.sidecar.created_at)
    history.add(
        HistoryEntry(
            location=entry.location,
            sidecar=msgspec.structs.replace(
                entry.sidecar,
                id=f"{number:08x}-0000-7000-8000-{number:012x}",
                created_at=(moment - timedelta(seconds=number)).isoformat(),
            ),
        )
        for number in range(1, count)
    )


def visit(page: "Page", shop: Running, place: str = "") -> None:
    page.goto(f"{shop.url}/{place}")


def copy(page: "Page", button: Any) -> str:
    """Press a button that copies, and return what it has copied."""
    page.evaluate("navigator.clipboard.writeText('')")
    button.click()
    page.wait_for_function("async () => await navigator.clipboard.readText() !== ''")
    return str(page.evaluate("navigator.clipboard.readText()"))


def see(it: Any) -> Any:
    return sync_api.expect(it)


def test_images_are_shown_the_newest_first(page: "Page", shop: Running) -> None:
    make(shop, "a fox", "an owl", "a hen")

    visit(page, shop)

    see(page.locator(".tile")).to_have_count(3)
    see(page.locator(".tile.there")).to_have_count(3)
    names = [each.get_attribute("alt") for each in page.locator(".tile img").all()]
    assert names == ["a hen", "an owl", "a fox"]
    see(page.get_by_text("3 images")).to_be_visible()


def test_the_gallery_works_under_the_path_of_the_servers_url(
    page: "Page", serve: Serve
) -> None:
    config = {
        "backends": {"mock": {"adapter": "mock", "size": "64x64"}},
        "serve": {"url": "https://example.org/pictures", "workers": 1},
    }
    shop = serve(config)
    asked: list[str] = []
    page.on("request", lambda each: asked.append(each.url))

    visit(page, shop, "pictures#/make")  # redirected to the address with a slash
    page.get_by_label("Prompt", exact=True).fill("a fox")
    page.get_by_role("button", name="Generate").click()
    see(page.locator("img[alt='a fox']")).to_be_visible()
    visit(page, shop, "pictures/")
    see(page.locator(".tile.there")).to_have_count(1)

    assert [each for each in asked if f"{shop.url}/pictures" not in each] == []
    [image] = shop.ask(response_format="url").json()["data"]
    assert image["url"].startswith("https://example.org/pictures/v1/files/")


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


def test_amounts_are_exact(page: "Page", server: Running) -> None:
    visit(page, server)

    amounts = page.evaluate(
        "import('/gallery/static/dom.js').then(({ money }) => "
        "[0, 0.04, 0.015, 0.000035, 0.1 + 0.2, 12, 0.0101, 100].map(money))"
    )

    assert amounts == [
        *("$0.00", "$0.04", "$0.015", "$0.000035", "$0.30", "$12.00", "$0.0101"),
        "$100.00",
    ]


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


def test_the_form_shows_the_cost_and_generates_images(
    page: "Page", shop: Running
) -> None:
    visit(page, shop, "#/make")
    page.get_by_role("textbox", name="Prompt", exact=True).fill("a fox")
    page.get_by_role("combobox", name="Backend").select_option("paid")
    page.get_by_role("combobox", name="Style").select_option("flat")
    page.get_by_label("Number of images").fill("2")

    see(page.get_by_text(f"2 images of 64{BY}64 for $0.08")).to_be_visible()
    see(page.get_by_text("$1.00 left of $1.00")).to_be_visible()
    page.get_by_role("textbox", name="Prompt", exact=True).press("Control+Enter")

    see(page.get_by_text("2 images generated.")).to_be_visible()
    see(page.locator(".card img")).to_have_count(2)
    see(page.get_by_text("$0.92 left of $1.00")).to_be_visible()
    assert len(shop.stored) == 2
    page.get_by_role("link", name="Images").click()
    see(page.locator(".tile")).to_have_count(2)


def test_a_slow_request_shows_progress_and_can_be_cancelled(
    page: "Page", shop: Running
) -> None:
    visit(page, shop, "#/make")
    prompt = page.get_by_role("textbox", name="Prompt", exact=True)
    prompt.fill("wait for never")
    page.get_by_role("combobox", name="Backend").select_option("probe")
    page.get_by_role("button", name="Generate", exact=True).click()

    see(page.locator(".card progress")).to_have_attribute("value", "0.1")
    page.get_by_role("button", name="Cancel").click()

    see(page.get_by_text("Cancelled.")).to_be_visible()
    see(page.get_by_role("button", name="Generate", exact=True)).to_be_focused()
    until(lambda: shop.metric("imagen_requests_open") == 0)
    assert shop.stored == []


def test_a_request_is_finished_without_its_page(page: "Page", shop: Running) -> None:
    visit(page, shop, "#/make")
    page.get_by_role("textbox", name="Prompt", exact=True).fill("wait for nobody")
    page.get_by_role("combobox", name="Backend").select_option("paid_probe")
    page.get_by_role("button", name="Generate", exact=True).click()
    see(page.locator(".card progress")).to_have_attribute("value", "0.1")

    page.goto("about:blank")
    shop.open_gate("nobody")

    until(lambda: len(shop.stored) == 1)


def request_image(page: "Page", prompt: str, backend: str) -> Any:
    """Fill in the form, and return its button."""
    page.get_by_role("textbox", name="Prompt", exact=True).fill(prompt)
    page.get_by_role("combobox", name="Backend").select_option(backend)
    return page.get_by_role("button", name="Generate", exact=True)


def test_a_job_outlives_its_page_and_is_on_every_device(
    page: "Page", browser: "Browser", shop: Running
) -> None:
    visit(page, shop, "#/make")
    request_image(page, "wait for both", "probe").dblclick()
    see(page.get_by_role("button", name="Cancel")).to_have_count(1)

    page.reload()
    see(page.locator(".card progress")).to_have_attribute("value", "0.1")
    see(page.get_by_label("1 job", exact=True)).to_be_visible()
    page.close()
    page = page.context.new_page()
    with browser.new_context() as device:
        others = page.context.new_page(), device.new_page()
        for each in (page, *others):
            visit(each, shop, "#/make")
            see(each.locator(".job")).to_have_count(1)
            see(each.get_by_text("Generating")).to_be_visible()
        request_image(others[0], "an owl", "paid").click()
        shop.open_gate("both")
        for each in (page, *others):
            each.bring_to_front()
            see(each.get_by_text("1 image generated.")).to_have_count(2)
            see(each.locator(".card img")).to_have_count(2)

    assert len(shop.stored) == 2


def test_clicks_before_the_answer_are_one_job(page: "Page", shop: Running) -> None:
    page.clock.install()
    visit(page, shop, "#/make")
    button = request_image(page, "a fox", "paid")
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append(route)

    page.route("**/gallery/api/jobs", hold)
    for count in (1, 2, 3):
        button.click()
        while len(held) < count:
            page.evaluate("0")  # lets Playwright call `hold`
        page.clock.run_for(2000)
    keys = {route.request.headers["idempotency-key"] for route in held}
    for route in held:
        route.continue_()
    page.unroute("**/gallery/api/jobs")

    see(page.get_by_text("1 image generated.")).to_be_visible()
    assert len(keys) == len(shop.stored) == 1
    page.clock.run_for(2000)
    button.click()
    see(page.get_by_text("1 image generated.")).to_have_count(2)
    assert len(shop.stored) == 2


def test_an_error_is_shown_at_its_request(page: "Page", shop: Running) -> None:
    visit(page, shop, "#/make")
    page.get_by_role("textbox", name="Prompt", exact=True).fill("a fox")
    page.get_by_role("combobox", name="Backend").select_option("paid")
    page.get_by_label("Number of images").fill("10")
    make(shop, "an owl", "an owl", model="paid", n=10)

    page.get_by_role("button", name="Generate", exact=True).click()

    see(page.locator(".job .wrong")).to_contain_text("the budget day_usd ($1.00)")
    assert len(shop.stored) == 20


def test_an_image_can_be_rerun(page: "Page", shop: Running) -> None:
    asked = {"seed": 7, "style": "flat", "negative_prompt": "text"}
    make(shop, "a fox", model="paid", **asked)
    visit(page, shop)
    page.locator(".tile a").click()
    page.get_by_role("button", name="Generate again").click()

    see(page.get_by_role("textbox", name="Prompt", exact=True)).to_have_value("a fox")
    see(page.get_by_role("textbox", name="Seed")).to_have_value("7")
    see(page.get_by_role("combobox", name="Style")).to_have_value("flat")
    see(page.get_by_role("textbox", name="Negative prompt")).to_have_value("text")
    again = page.get_by_role("region", name="Rerun")
    see(again.get_by_text(f"1 image of 64{BY}64 for $0.04")).to_be_visible()
    again.get_by_role("button", name="Rerun").click()

    see(page.get_by_text("1 image generated.")).to_have_count(2)  # with that of `make`
    assert len(shop.stored) == 2
    page.get_by_role("link", name="Generate", exact=True).click()
    see(again).not_to_be_visible()


def test_spending_is_a_chart_and_a_table(page: "Page", shop: Running) -> None:
    make(shop, "a fox", "an owl", model="paid")

    visit(page, shop, "#/spending")

    see(page.get_by_text("$0.08 for 2 images in 2 calls")).to_be_visible()
    see(page.locator("figure rect.c0 title")).to_contain_text(["paid: $0.08"])
    see(page.get_by_role("cell", name="paid")).to_be_visible()
    page.get_by_role("combobox", name="By").select_option("caller")
    see(page.get_by_role("cell", name="(none)")).to_be_visible()


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


def test_an_unreachable_server_is_reported_and_can_be_retried(
    page: "Page", shop: Running
) -> None:
    make_many(shop, 120)
    visit(page, shop)
    see(page.locator(".tile.there").first).to_be_visible()
    gone = re.compile("/gallery/api/(images[?]|estimate)|/v1/")
    page.route(gone, lambda route: route.abort())

    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    see(page.get_by_role("alert")).to_have_text("The server cannot be reached.")
    page.unroute(gone)
    page.get_by_role("button", name="Try again").click()

    see(page.get_by_role("alert")).not_to_be_visible()
    page.locator(".tile a").last.focus()
    page.keyboard.press("End")
    see(page.locator("[aria-posinset='120']")).to_be_visible()


def test_a_server_that_dies_during_a_request_is_reported(
    page: "Page", shop: Running
) -> None:
    visit(page, shop, "#/make")
    prompt = page.get_by_role("textbox", name="Prompt", exact=True)
    prompt.fill("wait for never")
    page.get_by_role("combobox", name="Backend").select_option("probe")
    page.get_by_role("button", name="Generate", exact=True).click()
    see(page.get_by_text("Generating")).to_be_visible()

    shop.kill()

    see(page.locator(".job .wrong")).to_contain_text("The connection to the server")
    page.get_by_role("button", name="Generate", exact=True).click()
    see(page.locator(".job .wrong").first).to_have_text("The server cannot be reached.")


def test_the_theme_follows_the_system_or_the_user(page: "Page", shop: Running) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    visit(page, shop)
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground)
    assert light != dark

    page.get_by_role("button", name="Theme: system").click()

    assert page.evaluate(ground) == light
    page.reload()
    assert page.evaluate(ground) == light
    see(page.get_by_role("button", name="Theme: light")).to_be_visible()


def test_the_page_fits_on_a_phone(page: "Page", shop: Running) -> None:
    make(shop, "a fox", model="paid")
    page.set_viewport_size({"width": 360, "height": 640})
    for place in ("", "#/make", "#/spending"):
        visit(page, shop, place)
        see(page.locator("main > section:not([hidden])")).to_be_visible()
        visible = page.locator(".tile.there, .maker, figure").filter(visible=True)
        see(visible.first).to_be_visible()

        assert page.evaluate("document.documentElement.scrollWidth") <= 360, place

    visit(page, shop)
    page.locator(".tile a").click()
    close = page.get_by_role("button", name="Close")
    see(close).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Copy curl").scroll_into_view_if_needed()
    see(close).to_be_in_viewport(ratio=1)
    close.click()
    see(page.get_by_role("dialog", name="Image")).to_be_hidden()


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (400, "dark")])
def test_axe_finds_nothing(
    page: "Page", shop: Running, width: int, theme: Literal["light", "dark"]
) -> None:
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe is not installed"
    ).Axe()
    make(shop, "a fox", "an owl", model="paid", style="flat")
    owl = shop.http.get("/gallery/api/images").json()["images"][0]["id"]
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    found: dict[str, Any] = {}

    for place, ready in {
        "": ".tile.there",
        f"#/image/{owl}": "dialog .facts",
        f"#/make?again={owl}": ".again .expected strong",
        "#/spending": "figure",
    }.items():
        visit(page, shop, place)
        see(page.locator(ready).first).to_be_visible()
        result = axe.run(page)
        if result.violations_count:
            found[place] = result.generate_report()

    assert found == {}


def test_only_images_near_the_viewport_are_in_the_document(
    page: "Page", shop: Running
) -> None:
    make_many(shop, 300)
    visit(page, shop)
    see(page.locator(".tile.there").first).to_be_visible()

    for _ in range(40):
        page.mouse.wheel(0, 2000)
        page.evaluate("new Promise(requestAnimationFrame)")
        if page.evaluate("scrollY + innerHeight >= document.body.scrollHeight - 200"):
            page.wait_for_load_state("networkidle")

    see(page.get_by_role("list").get_by_role("listitem").last).to_have_attribute(
        "aria-setsize", "300"
    )
    assert page.locator(".tile").count() < 100
