"""The size of SVG files, read from the attributes of their first element.

Format: SVG 2 (W3C 2018), 8.2 (size) and 8.6 (viewBox); CSS Values 4 (units).
"""

import re

# Atomic, because a file may be hostile: with ordinary groups the time would grow
# exponentially with the number of comments.
_START = re.compile(
    rb"(?:\xef\xbb\xbf)?"
    rb"(?>\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE\s[^>\[]*(?:\[[^\]]*\]\s*)?>)*+"
    rb"<(?P<prefix>(?:\w+:)?)svg(?=[\s/>])"
    rb"(?P<attributes>(?>[^>\"']+|\"[^\"]*\"|'[^']*')*+)>",
    re.DOTALL | re.IGNORECASE,
)
_ATTRIBUTE = re.compile(
    rb"""(?<![\w:-])(width|height|viewBox)\s*=\s*["']([^"']*)["']"""
)
_LENGTH = re.compile(r"\s*\+?(\d+(?:\.\d*)?|\.\d+)(?:e([+-]?\d{1,2}))?\s*([a-z]*)\s*")
_PIXELS = {
    "": 1.0,
    "px": 1.0,
    "in": 96.0,
    "cm": 96 / 2.54,
    "mm": 96 / 25.4,
    "q": 96 / 101.6,
    "pt": 96 / 72,
    "pc": 16.0,
}
_LONGEST_START = 1_000_000
_MAX_SIDE = 10**9


def is_svg(content: bytes) -> bool:
    """Return whether the first element is an SVG image."""
    return _START.match(content, 0, _LONGEST_START) is not None


def read_svg_size(content: bytes) -> tuple[int, int] | None:
    """Return width and height of an SVG file; None if it states none.

    Nothing in the file is executed or loaded.

    Raises:
        ValueError: the first element is not an SVG image, or the file is truncated;
            the message has the reason.
    """
    root = _START.match(content, 0, _LONGEST_START)
    if root is None:
        raise ValueError("it is not an SVG image")
    closing = b"</" + root["prefix"] + b"svg"
    is_empty = root["attributes"].endswith(b"/")
    if not is_empty and content.lower().rfind(closing.lower()) < root.end():
        raise ValueError("the SVG ends too early")
    found = {
        name.decode(): value.decode(errors="replace")
        for name, value in _ATTRIBUTE.findall(root["attributes"])
    }
    width, height = _length(found.get("width")), _length(found.get("height"))
    if not (width and height):
        # Left, top, width, height: the shape to which the image is drawn.
        box = [*map(_length, re.split(r"[\s,]+", found.get("viewBox", "").strip()))]
        width, height = (*box[2:4], None, None)[:2]
    return (width, height) if width and height else None


def _length(text: str | None) -> int | None:
    """Return a length in whole pixels, at least 1; None if it is relative."""
    match = _LENGTH.fullmatch((text or "").lower())
    if match is None or match[3] not in _PIXELS:
        return None
    number = float(f"{match[1]}e{match[2] or 0}") * _PIXELS[match[3]]
    return max(1, min(_MAX_SIDE, round(number))) if number else None
