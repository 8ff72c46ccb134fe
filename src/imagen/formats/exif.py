"""An EXIF block: TIFF directories with a few texts in them (CIPA DC-008, TIFF 6.0)."""

import struct
from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

from imagen.formats.texts import Texts

EXIF_PREFIX = b"Exif\0\0"
"""What stands before the block in a JPEG, and by mistake elsewhere."""

_Order: TypeAlias = Literal["big", "little"]
_ORDERS: Mapping[bytes, _Order] = {b"MM": "big", b"II": "little"}
_HEADER = b"MM\0*\0\0\0\x08"
"""High bytes first, and the first directory follows at once."""
_ASCII, _SHORT, _LONG, _UNDEFINED = 2, 3, 4, 7
_SIZES = {1: 1, _ASCII: 1, _SHORT: 2, _LONG: 4, _UNDEFINED: 1, 13: 4}
"""How many bytes a value takes, of the types that matter here."""
_IN_THE_ENTRY = 4
"""No more bytes of values stand in an entry itself."""
_ORIENTATION, _SOFTWARE, _INNER, _USER_COMMENT = 0x0112, 0x0131, 0x8769, 0x9286
_NAMES = {
    0x010D: "DocumentName",
    0x010E: "ImageDescription",
    0x010F: "Make",
    0x0110: "Model",
    _SOFTWARE: "Software",
    0x927C: "MakerNote",
    _USER_COMMENT: "UserComment",
}
_AS_STORED, _LAST_TURN = 1, 8
_CODE_LENGTH = 8
_UNICODE = b"UNICODE\0"
_CODES = {b"ASCII\0\0\0", b"JIS\0\0\0\0\0", bytes(_CODE_LENGTH)}
_COMFYUI_TEXTS = ("prompt", "workflow")
"""What ComfyUI writes into a WebP, each under any of these names."""


def build_exif(comment: str, *, software: str) -> bytes:
    """Return a block with a user comment, as AUTOMATIC1111's web UI writes it.

    The comment is UTF-16 with the high byte first, whatever the block's own order,
    because that is what its readers assume; here both are the same.
    """
    name = (_SOFTWARE, _ASCII, software.encode("ascii", "replace") + b"\0")
    outer = len(_directory(8, name, (_INNER, _LONG, bytes(4))))
    words = _UNICODE + comment.replace("\0", "\ufffd").encode("utf-16-be")
    return b"".join(
        (
            _HEADER,
            _directory(8, name, (_INNER, _LONG, struct.pack(">I", 8 + outer))),
            _directory(8 + outer, (_USER_COMMENT, _UNDEFINED, words)),
        )
    )


def build_orientation_exif(turned: int) -> bytes:
    """Return a block that says how the picture is turned, and nothing else."""
    return _HEADER + _directory(8, (_ORIENTATION, _SHORT, struct.pack(">H", turned)))


def read_orientation(block: bytes | memoryview) -> int:
    """Return how the picture is turned, 2 to 8; 0 when it is as it is stored."""
    for tag, value, order in _values(memoryview(block)):
        if tag == _ORIENTATION:
            turned = int.from_bytes(value[: _SIZES[_SHORT]], order)
            return turned if _AS_STORED < turned <= _LAST_TURN else 0
    return 0


def read_exif(block: bytes | memoryview, texts: Texts) -> None:
    """Read the texts of a block; what is broken in it is skipped."""
    for tag, value, order in _values(memoryview(block)):
        name = _NAMES.get(tag)
        if name is None:
            continue
        code = bytes(value[:_CODE_LENGTH]) if tag == _USER_COMMENT else b""
        if code == _UNICODE:
            words = value[_CODE_LENGTH:]
            text = texts.take(name, words, encoding=_utf_16(words, order))
        else:
            text = texts.take(name, value[_CODE_LENGTH:] if code in _CODES else value)
        for key in _COMFYUI_TEXTS:
            if text.startswith(key + ":{"):
                texts.put(key, text[len(key) + 1 :])


def _directory(start: int, *entries: tuple[int, int, bytes]) -> bytes:
    """Return a directory that begins at `start`, and after it the longer values."""
    head, tail = struct.pack(">H", len(entries)), b""
    end_of_head = start + 2 + 12 * len(entries) + 4
    for tag, kind, value in entries:
        head += struct.pack(">HHI", tag, kind, len(value) // _SIZES[kind])
        if len(value) <= _IN_THE_ENTRY:
            head += value.ljust(_IN_THE_ENTRY, b"\0")
        else:
            head += struct.pack(">I", end_of_head + len(tail))
            tail += value + b"\0" * (len(value) % 2)
    return head + bytes(4) + tail


def _values(block: memoryview) -> Iterator[tuple[int, memoryview, _Order]]:
    """Yield what stands in the first directory and in the inner one, by tag.

    No other directory is gone into, so that none can lead in a circle.
    """
    if bytes(block[: len(EXIF_PREFIX)]) == EXIF_PREFIX:
        block = block[len(EXIF_PREFIX) :]
    order = _ORDERS.get(bytes(block[:2]))
    if order is None:
        return
    inner = 0
    for tag, value in _entries(block, int.from_bytes(block[4:8], order), order):
        if tag == _INNER:
            inner = int.from_bytes(value, order)
        yield tag, value, order
    for tag, value in _entries(block, inner, order) if inner else ():
        yield tag, value, order


def _entries(
    block: memoryview, start: int, order: _Order
) -> Iterator[tuple[int, memoryview]]:
    count = int.from_bytes(block[start : start + 2], order)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        entry = block[at : at + 12]
        if len(entry) < 12:  # noqa: PLR2004 - an entry
            return
        tag, kind, number, place = (
            int.from_bytes(entry[begin:end], order)
            for begin, end in ((0, 2), (2, 4), (4, 8), (8, 12))
        )
        length = number * _SIZES.get(kind, 0)
        if length <= _IN_THE_ENTRY:
            yield tag, entry[8 : 8 + length]
        elif place + length <= len(block):
            yield tag, block[place : place + length]


def _utf_16(words: memoryview, order: _Order) -> str:
    """Return which UTF-16 it is: by its mark, its zeros, or the order of the block."""
    some = bytes(words[:2000])
    if some.startswith((b"\xfe\xff", b"\xff\xfe")):
        return "utf-16"
    high_first, low_first = some[0::2].count(0), some[1::2].count(0)
    if high_first == low_first:
        return "utf-16-be" if order == "big" else "utf-16-le"
    return "utf-16-be" if high_first > low_first else "utf-16-le"
