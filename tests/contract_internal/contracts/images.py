"""The contract of `ImageEditor`."""

from io import BytesIO

import pytest
from PIL import Image

from imagen.domain.errors import StorageError
from imagen.domain.fit import Fit
from imagen.domain.size import Size
from imagen.formats.container import read_facts
from imagen.ports.images import ImageEditor
from imagen.testing.contracts.base import Contract
from imagen.testing.contracts.observation import abbreviate
from imagen.testing.fakes import tiny_png

WRITTEN = ("image/png", "image/webp", "image/jpeg")
QUALITY = 95
# JPEG compression changes colours by a few steps of 255.
NEAR = 6


class ImageEditorContract(Contract):
    """The tests that every `ImageEditor` must pass. Override `editor`."""

    @pytest.fixture
    def editor(self) -> ImageEditor:
        """An image editor."""
        raise NotImplementedError("Override the fixture `editor`.")

    @pytest.mark.parametrize("media_type", WRITTEN)
    def test_returns_a_whole_image_of_the_type(
        self, editor: ImageEditor, media_type: str
    ) -> None:
        """The result is a complete image of the media type; no fit keeps the size."""
        redrawn = editor.redraw(
            _striped(), media_type=media_type, fit=None, size=Size(16, 16)
        )

        facts = read_facts(redrawn)
        assert facts.media_type == media_type
        assert (facts.width, facts.height) == (48, 32)

    @pytest.mark.parametrize("media_type", ["image/png", "image/webp"])
    def test_loses_nothing(self, editor: ImageEditor, media_type: str) -> None:
        """PNG and WebP keep every pixel, also transparent ones."""
        # WebP encoders discard the colour of transparent pixels by default.
        redrawn = editor.redraw(_striped(), media_type=media_type, fit=None, size=None)

        assert abbreviate(_pixels(redrawn)) == abbreviate(_pixels(_striped()))

    def test_writes_a_jpeg_of_quality_95(self, editor: ImageEditor) -> None:
        """A JPEG has the quantization tables of quality 95."""
        redrawn = editor.redraw(
            _striped(), media_type="image/jpeg", fit=None, size=None
        )

        reference = BytesIO()
        Image.new("RGB", (48, 32)).save(reference, "JPEG", quality=QUALITY)
        assert _quantization(redrawn) == _quantization(reference.getvalue())

    def test_writes_a_jpeg_on_white(self, editor: ImageEditor) -> None:
        """Transparent pixels are white in a JPEG."""
        # Without a background, the colour below transparent pixels would appear.
        redrawn = editor.redraw(
            _striped(), media_type="image/jpeg", fit=None, size=None
        )

        assert _near(_colour_at(redrawn, 40, 16), (255, 255, 255))
        assert _near(_colour_at(redrawn, 5, 16), (200, 30, 30))

    @pytest.mark.parametrize("media_type", WRITTEN)
    @pytest.mark.parametrize("fit", list(Fit))
    def test_fits_exactly(self, editor: ImageEditor, fit: Fit, media_type: str) -> None:
        """With a fit, the result has exactly the requested size."""
        redrawn = editor.redraw(
            _striped(), media_type=media_type, fit=fit, size=Size(37, 61)
        )

        facts = read_facts(redrawn)
        assert (facts.width, facts.height) == (37, 61)

    def test_pads_with_nothing_where_possible(self, editor: ImageEditor) -> None:
        """Padding is transparent in a PNG, with the image in the centre."""
        redrawn = editor.redraw(
            tiny_png(32, 32), media_type="image/png", fit=Fit.PAD, size=Size(96, 32)
        )

        assert _colour_at(redrawn, 2, 16)[3] == 0
        assert _colour_at(redrawn, 93, 16)[3] == 0
        assert _colour_at(redrawn, 48, 16) == (200, 30, 30, 255)

    def test_pads_with_black_otherwise(self, editor: ImageEditor) -> None:
        """Padding is black in a JPEG."""
        redrawn = editor.redraw(
            tiny_png(32, 32), media_type="image/jpeg", fit=Fit.PAD, size=Size(96, 32)
        )

        assert _near(_colour_at(redrawn, 2, 16), (0, 0, 0))
        assert _near(_colour_at(redrawn, 48, 16), (200, 30, 30))

    def test_crops_to_the_middle(self, editor: ImageEditor) -> None:
        """Cropping fills the size and keeps the centre."""
        redrawn = editor.redraw(
            _framed(), media_type="image/png", fit=Fit.CROP, size=Size(32, 32)
        )

        corners = [_colour_at(redrawn, x, y) for x in (1, 30) for y in (1, 30)]
        assert corners == [(200, 30, 30, 255)] * 4

    @pytest.mark.parametrize(
        "content",
        [b"", b"<html>Sorry</html>", tiny_png()[:60], tiny_png(200, 200)[:-40]],
        ids=["nothing", "a page", "a beginning", "cut off"],
    )
    def test_says_that_it_cannot_be_decoded(
        self, editor: ImageEditor, content: bytes
    ) -> None:
        """A file that cannot be decoded is a StorageError."""
        with pytest.raises(StorageError):
            editor.redraw(content, media_type="image/jpeg", fit=None, size=None)


def _striped() -> bytes:
    """Return an image with an opaque, a translucent and a transparent third."""
    picture = Image.new("RGBA", (48, 32), (200, 30, 30, 255))
    picture.paste((30, 30, 200, 128), (16, 0, 32, 32))
    picture.paste((10, 20, 30, 0), (32, 0, 48, 32))
    return _encoded(picture)


def _framed() -> bytes:
    """Return an image with a red middle third and blue sides."""
    picture = Image.new("RGB", (96, 32), (30, 30, 200))
    picture.paste((200, 30, 30), (32, 0, 64, 32))
    return _encoded(picture)


def _encoded(picture: Image.Image) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _pixels(content: bytes) -> bytes:
    with Image.open(BytesIO(content)) as picture:
        return picture.convert("RGBA").tobytes()


def _quantization(content: bytes) -> object:
    with Image.open(BytesIO(content)) as picture:
        return vars(picture)["quantization"]


def _colour_at(content: bytes, x: int, y: int) -> tuple[int, ...]:
    with Image.open(BytesIO(content)) as picture:
        colours = picture.convert("RGBA").crop((x, y, x + 1, y + 1)).tobytes()
    return tuple(colours)


def _near(colour: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return all(abs(a - b) <= NEAR for a, b in zip(colour, wanted, strict=False))
