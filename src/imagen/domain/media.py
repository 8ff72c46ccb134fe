"""The image formats that imagen stores, by media type and file extension."""

from imagen.domain.errors import InvalidRequest

SVG = "image/svg+xml"

EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/avif": "avif",
    SVG: "svg",
}
"""File extension of each media type that imagen stores."""

WRITABLE = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
}
"""Media type of each extension that `--output` accepts: imagen converts to these."""


def guess_media_type(name: str) -> str:
    """Return the media type for the extension of a file name.

    Raises:
        InvalidRequest: imagen cannot write files with this extension.
    """
    stem, dot, extension = name.rpartition(".")
    if not (stem and dot) or extension.lower() not in WRITABLE:
        problem = (
            f"the extension .{extension} is not supported"
            if stem and dot
            else "the name has no extension"
        )
        raise InvalidRequest(
            f"Cannot write an image to {name!r}: {problem}.",
            hint="Use .png, .jpg, .jpeg or .webp, or end the path with / for a folder.",
        )
    return WRITABLE[extension.lower()]
