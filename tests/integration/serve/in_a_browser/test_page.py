"""The gallery's page in Chromium: address, theme, small screens, accessibility."""

import re
from typing import TYPE_CHECKING, Any, Literal

import pytest
from tests.integration.serve.conftest import Serve
from tests.integration.serve.in_a_browser.using import make, make_many, see, visit
from tests.integration.serve.running import Running

if TYPE_CHECKING:
    from playwright.sync_api import Page


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


def test_spending_is_a_chart_and_a_table(page: "Page", shop: Running) -> None:
    make(shop, "a fox", "an owl", model="paid")

    visit(page, shop, "#/spending")

    see(page.get_by_text("$0.08 for 2 images in 2 calls")).to_be_visible()
    see(page.locator("figure rect.c0 title")).to_contain_text(["paid: $0.08"])
    see(page.get_by_role("cell", name="paid")).to_be_visible()
    page.get_by_role("combobox", name="By").select_option("caller")
    see(page.get_by_role("cell", name="(none)")).to_be_visible()


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
