"""The words found inside an image file, within limits that no file can break."""

import zlib

LONGEST_TEXT = 8 * 2**20
MOST_TEXT = 16 * 2**20
"""How many bytes of text are read: of one text, and of all of them."""
MOST_TEXTS = 1000
MOST_WARNINGS = 20

_LONGEST_KEY = 79
"""PNG's own limit."""
_LARGEST_GROWTH = 1032
"""No byte of a deflated stream unpacks to more than so many."""


class Texts:
    """What a file says, by key, and what of it could not be read.

    Attributes:
        found: The texts by their keys; of several under one key the first.
        warnings: What was left out, and why.
    """

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self.warnings: list[str] = []
        self._left = MOST_TEXT

    def warn(self, message: str) -> None:
        """Remember what could not be read, the first few times."""
        if len(self.warnings) < MOST_WARNINGS and message not in self.warnings:
            self.warnings.append(message)

    def put(self, key: str, text: str) -> None:
        """Keep what was part of another text."""
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
        """Read a text and keep it, unless that would be too much; then return ""."""
        key = key[:_LONGEST_KEY]
        if key in self.found:
            self.warn(f"there are several texts {key!r}; the first one counts")
            return ""
        if len(self.found) >= MOST_TEXTS or not self._left:
            self.warn("there are more texts inside than are read")
            return ""
        limit = min(LONGEST_TEXT, self._left)
        if deflated:
            content = self._inflated(key, content, limit)
        elif len(content) > limit:
            self.warn(f"the text {key!r} is too long to be read")
            return ""
        self._left -= len(content)
        text = _decoded(bytes(content), encoding).rstrip("\0")
        self.put(key, text)
        return text

    def _inflated(self, key: str, content: bytes | memoryview, limit: int) -> bytes:
        inflater = zlib.decompressobj()
        try:
            inflated = inflater.decompress(content, limit + 1)
        except zlib.error:
            self._left -= min(limit, len(content) * _LARGEST_GROWTH)
            self.warn(f"the text {key!r} cannot be unpacked")
            return b""
        if len(inflated) > limit:
            self._left -= limit
            self.warn(f"the text {key!r} unpacks to more than is read")
            return b""
        if not inflater.eof:
            self.warn(f"the text {key!r} is cut off")
        return inflated


def _decoded(content: bytes, encoding: str) -> str:
    if encoding != "utf-8":
        return content.decode(encoding, "replace")
    # PNG says Latin-1, but stable-diffusion.cpp and others write UTF-8 as it is.
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")
