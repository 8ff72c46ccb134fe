"""Images that a request brings along, to be edited or to be like."""

import msgspec


class ReferenceImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image that the request brings along.

    Attributes:
        name: What its file is called.
        sha256: Of its content.
        media_type: What it is.
        content: The file; empty where only its name is kept.
    """

    name: str
    sha256: str
    media_type: str
    content: bytes = b""
