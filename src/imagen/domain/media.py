"""The image formats that imagen stores, by media type and by file extension."""

from imagen.domain.errors import InvalidRequest

EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/avif": "avif",
}
"""What a stored file of each type is called."""

WRITABLE = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
}
"""The extensions that `--output` may ask for: imagen can convert to these."""


def guess_media_type(name: str) -> str:
    """Return the media type that a file name asks for.

    Raises:
        InvalidRequest: the extension is none that imagen can write.
    """
    stem, dot, extension = name.rpartition(".")
    if not (stem and dot) or extension.lower() not in WRITABLE:
        has = (
            f".{extension} is no image format"
            if stem and dot
            else "it has no extension"
        )
        raise InvalidRequest(
            f"An image cannot be written to {name!r}: {has}.",
            hint="Use .png, .jpg, .jpeg or .webp, or end the path with / for a folder.",
        )
    return WRITABLE[extension.lower()]
