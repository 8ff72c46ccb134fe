"""EXIF blocks: TIFF directories with texts (CIPA DC-008, TIFF 6.0)."""

import struct
from collections.abc import Iterator, Mapping
from typing import Literal, TypeAlias

from imagen.formats.texts import Texts

# Prefix of the block in a JPEG. Some programs write it into other formats by mistake.
EXIF_PREFIX = b"Exif\0\0"

_Order: TypeAlias = Literal["big", "little"]
_ORDERS: Mapping[bytes, _Order] = {b"MM": "big", b"II": "little"}
# Big-endian; the first directory follows immediately.
_HEADER = b"MM\0*\0\0\0\x08"
_ASCII, _SHORT, _LONG, _UNDEFINED = 2, 3, 4, 7
# Bytes per value, for the types that are used here.
_SIZES = {1: 1, _ASCII: 1, _SHORT: 2, _LONG: 4, _UNDEFINED: 1, 13: 4}
# Longer values are stored outside of the directory entry.
_INLINE_BYTES = 4
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
_NORMAL, _MAX_ORIENTATION = 1, 8
_CODE_LENGTH = 8
_UNICODE = b"UNICODE\0"
_CODES = {b"ASCII\0\0\0", b"JIS\0\0\0\0\0", bytes(_CODE_LENGTH)}
# ComfyUI writes these two into a WebP, as `key:{...}` under any of the tags above.
_COMFYUI_TEXTS = ("prompt", "workflow")


def build_exif(comment: str, *, software: str) -> bytes:
    """Return a block with a user comment, as AUTOMATIC1111's web UI writes it."""
    # The comment is big-endian UTF-16, because readers assume that for any byte order
    # of the block. This block is big-endian too.
    name = (_SOFTWARE, _ASCII, software.encode("ascii", "replace") + b"\0")
    outer = len(_directory(8, name, (_INNER, _LONG, bytes(4))))
    words = _UNICODE + comment.replace("\0", "\ufffd").encode("utf-16-be")
    first = _directory(8, name, (_INNER, _LONG, struct.pack(">I", 8 + outer)))
    return _HEADER + first + _directory(8 + outer, (_USER_COMMENT, _UNDEFINED, words))


def build_orientation_exif(orientation: int) -> bytes:
    """Return a block with nothing but the orientation."""
    entry = (_ORIENTATION, _SHORT, struct.pack(">H", orientation))
    return _HEADER + _directory(8, entry)


def read_orientation(block: bytes | memoryview) -> int:
    """Return the orientation, 2 to 8; 0 for the normal one, or for none."""
    for tag, value, order in _values(memoryview(block)):
        if tag == _ORIENTATION:
            orientation = int.from_bytes(value[: _SIZES[_SHORT]], order)
            return orientation if _NORMAL < orientation <= _MAX_ORIENTATION else 0
    return 0


def read_exif(block: bytes | memoryview, texts: Texts) -> None:
    """Read the texts of a block; damaged entries are skipped."""
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
    """Return a directory for the offset `start`, and its longer values after it."""
    head, tail = struct.pack(">H", len(entries)), b""
    end_of_head = start + 2 + 12 * len(entries) + 4
    for tag, kind, value in entries:
        head += struct.pack(">HHI", tag, kind, len(value) // _SIZES[kind])
        if len(value) <= _INLINE_BYTES:
            head += value.ljust(_INLINE_BYTES, b"\0")
        else:
            head += struct.pack(">I", end_of_head + len(tail))
            tail += value + b"\0" * (len(value) % 2)
    return head + bytes(4) + tail


def _values(block: memoryview) -> Iterator[tuple[int, memoryview, _Order]]:
    """Yield tag, value and byte order of each entry in the two directories."""
    # Only the first directory and its EXIF directory are read, so that a hostile file
    # cannot form a cycle of directories.
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
        tag, kind, number, offset = (
            int.from_bytes(entry[begin:end], order)
            for begin, end in ((0, 2), (2, 4), (4, 8), (8, 12))
        )
        length = number * _SIZES.get(kind, 0)
        if length <= _INLINE_BYTES:
            yield tag, entry[8 : 8 + length]
        elif offset + length <= len(block):
            yield tag, block[offset : offset + length]


def _utf_16(words: memoryview, order: _Order) -> str:
    """Return the UTF-16 variant: by byte order mark, zero bytes, or block order."""
    sample = bytes(words[:2000])
    if sample.startswith((b"\xfe\xff", b"\xff\xfe")):
        return "utf-16"
    high_first, low_first = sample[0::2].count(0), sample[1::2].count(0)
    if high_first == low_first:
        return "utf-16-be" if order == "big" else "utf-16-le"
    return "utf-16-be" if high_first > low_first else "utf-16-le"
