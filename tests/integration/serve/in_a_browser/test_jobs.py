"""The gallery's form and jobs in Chromium."""

from typing import TYPE_CHECKING, Any

from tests.integration.serve.in_a_browser.using import make, see, visit
from tests.integration.serve.running import Running, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BY = "\N{MULTIPLICATION SIGN}"


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
