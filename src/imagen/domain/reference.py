"""Reference images and masks of a request."""

import msgspec


class ReferenceImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that the request includes.

    Attributes:
        name: File name.
        sha256: Hash of the content.
        media_type: Media type of the content.
        content: The file; empty where only the description is kept.
    """

    name: str
    sha256: str
    media_type: str
    content: bytes = b""
