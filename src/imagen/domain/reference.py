"""Reference images and masks of a request."""

import msgspec


class ReferenceImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that the request includes.

    Attributes:
        content: The file; empty where only the description is kept.
    """

    name: str
    sha256: str
    media_type: str
    content: bytes = b""
