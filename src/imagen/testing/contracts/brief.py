"""Bytes in a few words, so that a broken promise is told in a line and at once."""

from hashlib import sha256

SHORT = 24
"""Bytes that are shown as they are."""


def abbreviate(content: bytes | None) -> str:
    """Return words that are the same for the same bytes, and for no others.

    Two images that differ keep pytest busy for minutes: it looks for the difference.
    """
    if content is None:
        return "nothing"
    if len(content) <= SHORT:
        return repr(content)
    digest = sha256(content).hexdigest()[:16]
    return f"{len(content)} bytes, {content[:8]!r}..., sha256 {digest}..."
