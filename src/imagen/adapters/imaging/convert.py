"""Convert and compare images with Pillow."""

from typing import cast

from PIL import Image, ImageChops, ImageOps, ImageSequence

from imagen.adapters.imaging.pixels import (
    UNREADABLE,
    apply_orientation,
    encode_image,
    flatten_alpha,
    open_image,
)
from imagen.domain.errors import StorageError
from imagen.domain.fit import Fit
from imagen.domain.size import Size

JPEG_QUALITY = 95

# Pillow's ImageChops.difference supports only these modes.
_COMPARABLE = {"L", "LA", "RGB", "RGBA", "CMYK"}

# Two large images decoded whole can take gigabytes, so rows are compared in strips.
_STRIP_ROWS = 256


class PillowEditor:
    """An image editor that re-encodes pixels with Pillow."""

    def redraw(
        self, content: bytes, *, media_type: str, fit: Fit | None, size: Size | None
    ) -> bytes:
        """Return the image in the media type, fitted to the size if both are given.

        Raises:
            StorageError: the file cannot be decoded or encoded.
        """
        try:
            with open_image(content) as image:
                profile = _rgb_profile(image)
                picture = apply_orientation(image)
            if fit is not None and size is not None:
                picture = _fit(picture, fit, size, media_type)
            return _encode(picture, media_type, profile)
        except UNREADABLE as error:
            raise StorageError(
                f"The image could not be converted to {media_type}: {error}."
            ) from error


def compare_pixels(first: bytes, second: bytes) -> str:
    """Return how the pixels of the second image differ; "" if they are equal.

    All frames are compared.

    Raises:
        StorageError: one of the files cannot be decoded.
    """
    try:
        with open_image(first) as one, open_image(second) as other:
            if one.size != other.size:
                old, new = ("x".join(map(str, each.size)) for each in (one, other))
                return f"its size is {new} instead of {old}"
            frames = [getattr(each, "n_frames", 1) for each in (one, other)]
            if frames[0] != frames[1]:
                return f"its frame count is {frames[1]} instead of {frames[0]}"
            for pair in zip(
                ImageSequence.Iterator(one), ImageSequence.Iterator(other), strict=True
            ):
                if difference := _difference(*pair):
                    return difference
            return ""
    except UNREADABLE as error:
        raise StorageError(f"The pixels cannot be compared: {error}.") from error


def _difference(one: Image.Image, other: Image.Image) -> str:
    # Pillow drops bits when it converts 16-bit pixels: equal modes are kept.
    mode = one.mode if one.mode == other.mode != "P" else "RGBA"
    width, height = one.size
    largest = 0
    for top in range(0, height, _STRIP_ROWS):
        box = (0, top, width, min(height, top + _STRIP_ROWS))
        strips = [picture.crop(box).convert(mode) for picture in (one, other)]
        if strips[0].tobytes() == strips[1].tobytes():
            continue
        if mode not in _COMPARABLE:
            return "its pixels differ"
        bands = zip(strips[0].split(), strips[1].split(), strict=True)
        ranges = [ImageChops.difference(*pair).getextrema() for pair in bands]
        largest = max([largest, *(cast("int", high) for _, high in ranges)])
    return f"its pixels differ by up to {largest} of 255" if largest else ""


def _rgb_profile(picture: Image.Image) -> bytes | None:
    profile = picture.info.get("icc_profile")
    # The pixels are written as RGB: a profile for grey or CMYK would distort them.
    is_rgb = isinstance(profile, bytes) and profile[16:20] == b"RGB "
    return profile if is_rgb else None


def _fit(picture: Image.Image, fit: Fit, size: Size, media_type: str) -> Image.Image:
    lanczos = Image.Resampling.LANCZOS
    if fit is Fit.RESIZE:
        return picture.resize(size.sides, lanczos)
    if fit is Fit.CROP:
        return ImageOps.fit(picture, size.sides, lanczos)
    if media_type == "image/jpeg":
        picture = _put_on_white(picture)
        return ImageOps.pad(picture, size.sides, lanczos, color="black")
    transparent = picture.convert("RGBA")
    return ImageOps.pad(transparent, size.sides, lanczos, color=(0, 0, 0, 0))


def _encode(picture: Image.Image, media_type: str, profile: bytes | None) -> bytes:
    if media_type == "image/jpeg":
        plain = _put_on_white(picture)
        return encode_image(plain, "JPEG", quality=JPEG_QUALITY, icc_profile=profile)
    if media_type == "image/webp":
        lossless = {"lossless": True, "exact": True}
        return encode_image(picture, "WEBP", icc_profile=profile, **lossless)
    return encode_image(picture, "PNG", icc_profile=profile)


def _put_on_white(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return picture
    return flatten_alpha(picture, Image.new("RGB", picture.size, "white"))
