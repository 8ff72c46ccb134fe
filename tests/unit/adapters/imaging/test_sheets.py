"""A contact sheet shows every cell, loads nothing, and escapes all text."""

from html.parser import HTMLParser
from io import BytesIO

import pytest
from PIL import Image

from imagen.adapters.imaging import sheet_renderer
from imagen.adapters.imaging.sheet_renderer import (
    THUMBNAIL,
    PillowSheetRenderer,
)
from imagen.domain.contact_sheet import Sheet, SheetCell
from imagen.domain.errors import StorageError
from imagen.domain.sweep import Table
from imagen.testing.fakes import tiny_png

ARTIST = PillowSheetRenderer()
HOSTILE = "</h1><script>alert(1)</script> \" onload='x' &amp; <img src=http://evil/>\n\x1b[31m"
VOID = {"meta", "img"}


class Page(HTMLParser):
    """A parser that records the elements and checks that they are nested."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(content.decode())
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [found for name, found in self.elements if name == tag]


def shown(label: str = "seed 1", **changes: object) -> SheetCell:
    thumbnail = ARTIST.make_thumbnail(tiny_png(120, 80))
    facts: dict[str, object] = {
        "label": label,
        "facts": "mock · $0.003",
        "link": "./x%20y.png",
        "thumbnail": thumbnail,
    }
    return SheetCell(**(facts | changes))  # type: ignore[arg-type]


FAILED = SheetCell(label="seed 2", facts="mock refused it.")


def sheet(
    *cells: SheetCell,
    prompt: str = "a fox",
    columns: tuple[str, ...] = ("seed 1", "seed 2"),
    rows: tuple[str, ...] = ("",),
) -> Sheet:
    return Sheet(
        prompt=prompt,
        made_with="64x64",
        total="2 images · $0.006",
        table=Table(columns=columns, rows=rows),
        cells=cells,
    )


def drawn(what: Sheet) -> Image.Image:
    picture = Image.open(BytesIO(ARTIST.render_png(what)))
    picture.load()
    return picture


def test_the_page_has_every_picture_with_its_words_and_a_link_to_the_file() -> None:
    page = Page(ARTIST.render_html(sheet(shown(), shown("seed 2"))))

    assert [each["alt"] for each in page.all("img")] == [
        "a fox: seed 1",
        "a fox: seed 2",
    ]
    assert all(
        str(each["src"]).startswith("data:image/webp;base64,")
        for each in page.all("img")
    )
    assert [each["href"] for each in page.all("a")] == ["./x%20y.png"] * 2
    assert [each["scope"] for each in page.all("th")] == ["col", "col"]
    for words in ("a fox", "64x64", "2 images · $0.006", "mock · $0.003"):
        assert words in page.words


def test_rows_have_heads_and_what_failed_says_why() -> None:
    cells = (shown(), FAILED, shown(), FAILED)

    page = Page(ARTIST.render_html(sheet(*cells, rows=("a", "b"))))

    heads = [each["scope"] for each in page.all("th")]
    assert heads == ["col", "col", "row", "row"]
    assert len(page.all("img")) == 2
    assert page.words.count("mock refused it.") == 2


def test_without_heads_there_is_no_table() -> None:
    page = Page(ARTIST.render_html(sheet(shown(), FAILED, columns=("", ""))))

    assert page.all("table") == []
    assert len(page.all("figure")) == 2


@pytest.mark.parametrize("where", ["prompt", "label", "facts", "link", "head"])
def test_hostile_words_are_words(where: str) -> None:
    cell = shown(**{where: HOSTILE}) if where in {"label", "facts", "link"} else shown()
    head = HOSTILE if where == "head" else "seed 1"
    what = sheet(
        cell,
        FAILED,
        prompt=HOSTILE if where == "prompt" else "a fox",
        columns=(head, "b"),
        rows=(head,),
    )

    page = Page(ARTIST.render_html(what))

    assert page.all("script") == []
    assert len(page.all("img")) == 1
    assert not any("onload" in found for _, found in page.elements)
    assert drawn(what).width > 100


def test_a_lone_surrogate_does_not_keep_the_sheet_from_being_made() -> None:
    what = sheet(shown("\udcff"), FAILED)

    assert b"\xed" not in ARTIST.render_html(what)


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    page = ARTIST.render_html(sheet(shown(), FAILED)).decode()

    assert "default-src 'none'" in page
    for word in ("http:", "https:", "<script", "<link", "@import", "url("):
        assert word not in page


def test_the_picture_is_as_wide_as_its_cells() -> None:
    one = drawn(sheet(shown(), FAILED))
    five = drawn(sheet(*[shown()] * 5, columns=tuple("abcde")))

    assert five.width > one.width
    assert five.height == one.height
    assert len(one.getcolors(maxcolors=10**6) or []) > 10


@pytest.mark.parametrize(
    "prompt",
    ["x" * 5000, "word " * 2000, "狐と猫", "🦊", "", "\n\n", "\u202eabc", "ﷺ" * 300],
)
def test_any_prompt_fits(prompt: str) -> None:
    drawn(sheet(shown(), FAILED, prompt=prompt))


@pytest.mark.parametrize(
    ("rows", "largest"),
    [(4, 1_000_000), pytest.param(100, 40_000_000, marks=pytest.mark.nightly)],
)
def test_the_cells_of_a_large_sheet_are_smaller(
    rows: int, largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet_renderer, "LARGEST_AREA", largest)
    thumbnail = ARTIST.make_thumbnail(tiny_png(480, 480))
    cells = [shown(thumbnail=thumbnail)] * 10 * rows
    what = sheet(*cells, columns=tuple("abcdefghij"), rows=("r",) * rows)

    picture = drawn(what)

    assert picture.width * picture.height < 2 * largest


def test_a_thumbnail_is_small_and_keeps_its_shape() -> None:
    thumbnail = ARTIST.make_thumbnail(tiny_png(1500, 500))

    assert thumbnail.size == (THUMBNAIL, THUMBNAIL // 3)
    with Image.open(BytesIO(thumbnail.content)) as picture:
        assert (picture.format, picture.size) == ("WEBP", thumbnail.size)


def test_what_can_be_seen_through_stays_so() -> None:
    buffer = BytesIO()
    Image.new("RGBA", (50, 50), (255, 0, 0, 0)).save(buffer, "PNG")

    thumbnail = ARTIST.make_thumbnail(buffer.getvalue())

    with Image.open(BytesIO(thumbnail.content)) as picture:
        assert picture.mode == "RGBA"


def test_what_is_broken_has_no_thumbnail() -> None:
    with pytest.raises(StorageError):
        ARTIST.make_thumbnail(tiny_png()[:-30])
