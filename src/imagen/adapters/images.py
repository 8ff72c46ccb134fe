"""Redraws images with Pillow."""

from io import BytesIO

from PIL import Image, ImageOps

from imagen.adapters.pixels import UNREADABLE, as_shown, opened
from imagen.domain.errors import StorageError
from imagen.domain.fit import Fit
from imagen.domain.size import Size

JPEG_QUALITY = 95


class PillowEditor:
    """The only place where pixels are re-encoded."""

    def redraw(
        self, content: bytes, *, media_type: str, fit: Fit | None, size: Size | None
    ) -> bytes:
        """Decode, fit, encode."""
        try:
            with opened(content) as image:
                profile = _rgb_profile(image)
                picture = as_shown(image)
            if fit is not None and size is not None:
                picture = _fitted(picture, fit, size, media_type)
            return _encoded(picture, media_type, profile)
        except UNREADABLE as error:
            raise StorageError(
                f"The image could not be redrawn as {media_type}: {error}."
            ) from error


def _rgb_profile(picture: Image.Image) -> bytes | None:
    """Return the colour profile, unless it is one for grey or for print."""
    profile = picture.info.get("icc_profile")
    is_rgb = isinstance(profile, bytes) and profile[16:20] == b"RGB "
    return profile if is_rgb else None


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
