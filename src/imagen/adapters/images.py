"""Redraws images with Pillow."""

from io import BytesIO

from PIL import Image, ImageOps

from imagen.domain.errors import StorageError
from imagen.domain.fit import Fit
from imagen.domain.size import Size

JPEG_QUALITY = 95

_DEEP_MODES = {"I", "I;16", "I;16B", "I;16L"}
"""How Pillow calls 16-bit grey."""

_UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""What Pillow raises at broken or enormous files."""


class PillowEditor:
    """The only place where pixels are re-encoded."""

    def redraw(
        self, content: bytes, *, media_type: str, fit: Fit | None, size: Size | None
    ) -> bytes:
        """Decode, fit, encode."""
        try:
            with Image.open(BytesIO(content)) as opened:
                profile = opened.info.get("icc_profile")
                picture = ImageOps.exif_transpose(opened)
                picture.load()
            if picture.mode in _DEEP_MODES:
                picture = _eight_bit(picture)
            if picture.mode not in {"RGB", "RGBA"}:
                see_through = picture.has_transparency_data
                picture = picture.convert("RGBA" if see_through else "RGB")
            if fit is not None and size is not None:
                picture = _fitted(picture, fit, size, media_type)
            return _encoded(picture, media_type, profile)
        except _UNREADABLE as error:
            raise StorageError(
                f"The image could not be redrawn as {media_type}: {error}."
            ) from error


def _eight_bit(picture: Image.Image) -> Image.Image:
    # Pillow's own conversion clips 16-bit grey at 255 instead of scaling it.
    return picture.convert("I").point(lambda value: value * (1 / 257)).convert("L")


def _fitted(picture: Image.Image, fit: Fit, size: Size, media_type: str) -> Image.Image:
    lanczos = Image.Resampling.LANCZOS
    if fit is Fit.RESIZE:
        return picture.resize(size.sides, lanczos)
    if fit is Fit.CROP:
        return ImageOps.fit(picture, size.sides, lanczos)
    if media_type == "image/jpeg":
        picture = _on(picture, "white")
        return ImageOps.pad(picture, size.sides, lanczos, color="black")
    see_through = picture.convert("RGBA")
    return ImageOps.pad(see_through, size.sides, lanczos, color=(0, 0, 0, 0))


def _encoded(picture: Image.Image, media_type: str, profile: bytes | None) -> bytes:
    buffer = BytesIO()
    if media_type == "image/jpeg":
        picture = _on(picture, "white")
        picture.save(buffer, "JPEG", quality=JPEG_QUALITY, icc_profile=profile)
    elif media_type == "image/webp":
        picture.save(buffer, "WEBP", lossless=True, exact=True, icc_profile=profile)
    else:
        picture.save(buffer, "PNG", icc_profile=profile)
    return buffer.getvalue()


def _on(picture: Image.Image, colour: str) -> Image.Image:
    if picture.mode != "RGBA":
        return picture
    ground = Image.new("RGB", picture.size, colour)
    ground.paste(picture, mask=picture.getchannel("A"))
    return ground
