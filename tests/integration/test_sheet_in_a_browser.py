"""A contact sheet in a real browser: it shows, in light and in dark."""

import os
import shutil
import subprocess
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

import imagen
from imagen.cli.app import main

CHROMIUM = next(
    filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])),
    None,
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)"
)
LIGHT, DARK = "1", "0"
PAPER = {LIGHT: (250, 250, 250), DARK: (22, 22, 22)}


def browse(page: Path, home: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    assert CHROMIUM
    return subprocess.run(
        [
            *(
                CHROMIUM,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
            ),
            *(f"--user-data-dir={home / 'profile'}", "--hide-scrollbars"),
            *("--disable-dev-shm-usage", "--window-size=900,700", *words),
            page.as_uri(),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"},
    )


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("IMAGEN_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    prompt = "<script>document.title = 'broken'</script> & a 'fox'"
    words = ["--seed", "1..3", "--steps", "2,9", "--size", "96x64", "-o", "a #1%/"]
    assert main(["sweep", prompt, *words]) == 0
    (found,) = (tmp_path / "a #1%").glob("*-sheet.html")
    return found


@pytest.mark.parametrize("scheme", [LIGHT, DARK])
def test_it_shows_in_light_and_in_dark(page: Path, tmp_path: Path, scheme: str) -> None:
    shot = tmp_path / "shot.png"

    browse(
        page,
        tmp_path,
        f"--blink-settings=preferredColorScheme={scheme}",
        f"--screenshot={shot}",
    )

    picture = Image.open(BytesIO(shot.read_bytes())).convert("RGB")
    assert picture.getpixel((2, 2)) == PAPER[scheme]
    colours = picture.getcolors(maxcolors=picture.width * picture.height) or []
    assert len(colours) > 500, "no pictures are shown"


def test_the_browser_sees_words_links_and_pictures(page: Path, tmp_path: Path) -> None:
    from html.parser import HTMLParser
    from urllib.parse import unquote

    dom = browse(page, tmp_path, "--dump-dom").stdout
    links: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(
            self, tag: str, attrs: list[tuple[str, str | None]]
        ) -> None:
            if tag == "a":
                links.append(str(dict(attrs)["href"]))

    Links().feed(dom)
    assert "broken" not in dom.partition("<title>")[2].partition("</title>")[0][:7]
    assert "<script" not in dom
    assert dom.count("<img") == 6
    assert all((page.parent / unquote(link)).is_file() for link in links)
    assert len(links) == 6
    assert imagen.__version__ in dom
