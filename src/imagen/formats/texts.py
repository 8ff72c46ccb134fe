"""The texts found in an image file, within limits against hostile files."""

import zlib

# Bytes of a single text, and of all texts together.
MAX_TEXT = 8 * 2**20
MAX_TOTAL = 16 * 2**20
MAX_TEXTS = 1000
MAX_WARNINGS = 20

# The limit of PNG.
_MAX_KEY = 79
# The maximum compression ratio of deflate.
_MAX_RATIO = 1032


class Texts:
    """A collection of texts by key, with warnings about unreadable ones.

    Attributes:
        found: The texts by key; the first one for a repeated key.
        warnings: Texts that were left out, with the reason.
    """

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self.warnings: list[str] = []
        self._left = MAX_TOTAL

    def warn(self, message: str) -> None:
        """Add a warning, up to the maximum number of warnings."""
        if len(self.warnings) < MAX_WARNINGS and message not in self.warnings:
            self.warnings.append(message)

    def put(self, key: str, text: str) -> None:
        """Add a text that was part of another one; it counts towards no limit."""
        if text:
            self.found.setdefault(key, text)

    def take(
        self,
        key: str,
        content: bytes | memoryview,
        *,
        encoding: str = "utf-8",
        deflated: bool = False,
    ) -> str:
        """Decode and add a text; return it, or "" if it exceeds a limit."""
        key = key[:_MAX_KEY]
        if key in self.found:
            self.warn(f"the text {key!r} is repeated; the first one is used")
            return ""
        if len(self.found) >= MAX_TEXTS or not self._left:
            self.warn("the file has too many texts")
            return ""
        limit = min(MAX_TEXT, self._left)
        if deflated:
            content = self._inflate(key, content, limit)
        elif len(content) > limit:
            self.warn(f"the text {key!r} is too long")
            return ""
        self._left -= len(content)
        text = _decode(bytes(content), encoding).rstrip("\0")
        self.put(key, text)
        return text

    def _inflate(self, key: str, content: bytes | memoryview, limit: int) -> bytes:
        inflater = zlib.decompressobj()
        try:
            inflated = inflater.decompress(content, limit + 1)
        except zlib.error:
            # An invalid stream may have been decompressed in part, so it counts too.
            self._left -= min(limit, len(content) * _MAX_RATIO)
            self.warn(f"the text {key!r} cannot be decompressed")
            return b""
        if len(inflated) > limit:
            self._left -= limit
            self.warn(f"the decompressed text {key!r} is too long")
            return b""
        if not inflater.eof:
            self.warn(f"the text {key!r} is truncated")
        return inflated


def _decode(content: bytes, encoding: str) -> str:
    if encoding != "utf-8":
        return content.decode(encoding, "replace")
    # PNG specifies Latin-1, but stable-diffusion.cpp and others write UTF-8.
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")
