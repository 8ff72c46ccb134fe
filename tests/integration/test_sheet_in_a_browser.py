"""A contact sheet in a real browser: it is displayed, in light and in dark."""

import os
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote

import pytest
from PIL import Image

import imagen
from imagen.cli.app import main

if TYPE_CHECKING:
    from playwright.sync_api import Browser

sync_api: Any = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed"
)
CHROMIUM = next(
    filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])),
    None,
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)"
)
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update"),
]
Scheme = Literal["light", "dark"]
PAPER: dict[Scheme, tuple[int, int, int]] = {
    "light": (250, 250, 250),
    "dark": (22, 22, 22),
}
PROMPT = "<script>document.title = 'broken'</script> & a 'fox'"


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a sweep, in a folder whose name has to be escaped in a URL."""
    folder = tmp_path_factory.mktemp("sweep")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("IMAGEN_")]:
            patch.delenv(name)
        patch.setenv("HOME", str(folder / "home"))
        patch.setenv("XDG_DATA_HOME", str(folder / "home"))
        patch.chdir(folder)
        words = ["--seed", "1..3", "--steps", "2,9", "--size", "96x64", "-o", "a #1%/"]
        assert main(["sweep", PROMPT, *words]) == 0
    (found,) = (folder / "a #1%").glob("*-sheet.html")
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_displayed_in_light_and_in_dark(
    browser: "Browser", page: Path, scheme: Scheme
) -> None:
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": 900, "height": 700}
    )
    tab = context.new_page()
    tab.goto(page.as_uri())
    shot = tab.screenshot()
    context.close()

    picture = Image.open(BytesIO(shot)).convert("RGB")
    assert picture.getpixel((2, 2)) == PAPER[scheme]
    colours = picture.getcolors(maxcolors=picture.width * picture.height) or []
    assert len(colours) > 500, "no pictures are displayed"


def test_the_browser_sees_text_links_and_pictures(
    browser: "Browser", page: Path
) -> None:
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(page.as_uri())
    title, text = tab.title(), tab.inner_text("body")
    links = tab.eval_on_selector_all("a", "all => all.map(a => a.getAttribute('href'))")
    widths = tab.eval_on_selector_all("img", "all => all.map(img => img.naturalWidth)")
    scripts = tab.locator("script").count()
    context.close()

    assert title.startswith("<script>document.title"), "the prompt is text"
    assert scripts == 0
    assert PROMPT in text
    assert widths == [96] * 6
    assert len(links) == 6
    assert all((page.parent / unquote(link)).is_file() for link in links)
    assert imagen.__version__ in text
