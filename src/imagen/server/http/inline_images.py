"""Images inside a JSON body, as data URLs."""

import re
from base64 import b64decode
from contextlib import suppress
from typing import TypeAlias

import msgspec

from imagen.server.errors import ErrorResponse


class ImageUrl(msgspec.Struct, frozen=True):
    """The object that chat APIs use for an image."""

    url: str


class InlineImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image of a JSON body; one of the two fields has a data URL."""

    image_url: str | ImageUrl | None = None
    url: str | None = None


ImageSource: TypeAlias = str | InlineImage
"""A data URL, or an object with one."""
ImageSources: TypeAlias = ImageSource | list[ImageSource] | None

_DATA_URL = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)


def list_sources(*fields: ImageSources) -> list[ImageSource]:
    """Return the images of several fields, each one image or a list."""
    found: list[ImageSource] = []
    for field in fields:
        found += field if isinstance(field, list) else [field] if field else []
    return found


def decode_image(source: ImageSource, *, param: str) -> bytes:
    """Return the content of an image.

    Raises:
        ErrorResponse: it is not a data URL with Base64 (400).
    """
    url: str | ImageUrl | None
    url = source if isinstance(source, str) else source.image_url or source.url
    text = url.url if isinstance(url, ImageUrl) else url or ""
    match = _DATA_URL.match(text)
    with suppress(ValueError):
        if match is not None:
            return b64decode(text[match.end() :], validate=True)
    raise ErrorResponse(
        400,
        f"`{param}` must be a data URL such as data:image/png;base64,...; this server "
        "does not download images.",
        param=param,
        code="invalid_image_file",
    )
