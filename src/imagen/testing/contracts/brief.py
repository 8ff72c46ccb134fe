"""Abbreviate bytes for assertion messages."""

from hashlib import sha256

SHORT = 24
"""Bytes that are displayed in full."""


def abbreviate(content: bytes | None) -> str:
    """Return a short text that is the same for equal bytes only."""
    # pytest searches for the difference of two unequal values, which takes minutes for
    # two images. Contracts compare these texts instead.
    if content is None:
        return "nothing"
    if len(content) <= SHORT:
        return repr(content)
    digest = sha256(content).hexdigest()[:16]
    return f"{len(content)} bytes, {content[:8]!r}..., sha256 {digest}..."
