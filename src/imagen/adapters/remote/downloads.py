"""Checks of downloaded images."""

from imagen.formats.container import PNG_SIGNATURE, NotAnImage, read_facts

_SIGNATURES = (PNG_SIGNATURE, b"\xff\xd8\xff", b"RIFF", b"GIF8")


def is_truncated(content: bytes) -> bool:
    """Return whether the content is empty or an incomplete image of a known format."""
    # An HTML error page has no image signature: downloading it again would not help.
    if content and not content.startswith(_SIGNATURES):
        return False
    try:
        read_facts(content)
    except NotAnImage:
        return True
    return False
