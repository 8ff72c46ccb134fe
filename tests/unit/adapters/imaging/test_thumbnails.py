"""Thumbnails, and their cache, which can be deleted or full at any time."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from imagen.adapters.imaging.thumbnails import SIDE, Thumbnails, render_thumbnail
from imagen.domain.errors import InvalidRequest
from imagen.testing.fakes import tiny_png


def opened(content: bytes) -> Image.Image:
    image = Image.open(BytesIO(content))
    assert image.format == "WEBP"
    image.load()
    return image


def written(image: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("size", "small"),
    [
        ((2000, 1000), (SIDE, SIDE // 2)),
        ((1000, 3000), (171, SIDE)),
        ((40, 30), (40, 30)),
    ],
)
def test_the_longer_side_is_limited_and_nothing_grows(
    size: tuple[int, int], small: tuple[int, int]
) -> None:
    assert opened(render_thumbnail(tiny_png(*size))).size == small


@pytest.mark.parametrize("kind", ["AVIF", "GIF"])
def test_other_formats_can_be_drawn(kind: str) -> None:
    content = written(Image.new("RGB", (40, 30), "red"), kind)

    assert opened(render_thumbnail(content)).size == (40, 30)


def test_a_wrong_checksum_outside_the_pixels_hides_no_image() -> None:
    png = tiny_png(40, 30)
    text = (4).to_bytes(4) + b"tEXta\0bcoops"

    assert opened(render_thumbnail(png[:33] + text + png[33:])).size == (40, 30)


def test_what_is_clear_stays_clear() -> None:
    image = Image.new("RGBA", (600, 600), (200, 30, 30, 0))

    small = opened(render_thumbnail(written(image, "PNG")))

    assert small.mode == "RGBA"
    assert small.getpixel((10, 10))[3] == 0


def test_a_photograph_that_was_turned_stands_upright() -> None:
    image = Image.new("RGB", (800, 400))
    exif = Image.Exif()
    exif[0x0112] = 6  # the top is on the right

    small = opened(render_thumbnail(written(image, "JPEG", exif=exif)))

    assert small.size == (SIDE // 2, SIDE)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "I;16", "CMYK"])
def test_every_kind_of_pixels_can_be_drawn(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    image = Image.new(mode, (700, 350))

    assert opened(render_thumbnail(written(image, kind))).size == (SIDE, SIDE // 2)


def test_a_large_picture_in_16_bit_grey_keeps_its_brightness() -> None:
    image = Image.new("I;16", (4 * SIDE, 2 * SIDE), 128 * 257)

    small = opened(render_thumbnail(written(image, "PNG")))

    assert small.size == (SIDE, SIDE // 2)
    assert all(abs(level - 128) <= 2 for level in small.getpixel((9, 9))[:3])


@pytest.mark.parametrize(
    "content", [b"", b"no image", tiny_png()[:60]], ids=["empty", "text", "cut"]
)
def test_refuses_content_that_is_not_an_image(content: bytes) -> None:
    with pytest.raises(InvalidRequest, match="cannot be drawn"):
        render_thumbnail(content)


def test_it_is_made_once(tmp_path: Path) -> None:
    thumbnails = Thumbnails(lambda: tmp_path / "small")
    assert thumbnails.find("ab" * 32) is None

    made = thumbnails.create(tiny_png(), "ab" * 32)

    assert Thumbnails(lambda: tmp_path / "small").find("ab" * 32) == made
    assert (tmp_path / "small").stat().st_mode & 0o777 == 0o700


def test_a_cache_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    thumbnails = Thumbnails(lambda: tmp_path / "file" / "small")

    assert opened(thumbnails.create(tiny_png(), "ab" * 32)).size == (64, 64)
    assert thumbnails.find("ab" * 32) is None


def test_the_oldest_go_when_there_is_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imagen.adapters.imaging.thumbnails._CHECK_EVERY", 10)
    one = len(render_thumbnail(tiny_png()))
    thumbnails = Thumbnails(lambda: tmp_path, largest=one * 10)

    names = [f"{number:064x}" for number in range(30)]
    for name in names:
        thumbnails.create(tiny_png(), name)

    kept = [name for name in names if thumbnails.find(name)]
    assert len(kept) <= 10
    assert names[-1] in kept
    assert names[0] not in kept
