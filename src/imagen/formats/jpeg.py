"""Metadata in JPEG files: insertion, reading and removal, without changing pixels.

Formats: ITU T.81 (segments), CIPA DC-008 (EXIF), Adobe's XMP specification part 3 (XMP,
which continues in further segments if one is too short).
"""

import struct
from collections.abc import Iterator, Mapping
from hashlib import md5

from imagen.formats.container import START_OF_SCAN, jpeg_segments
from imagen.formats.exif import (
    EXIF_PREFIX,
    build_orientation_exif,
    read_exif,
    read_orientation,
)
from imagen.formats.texts import Texts
from imagen.formats.xmp import (
    XMP_KEY,
    build_xmp_packet,
    extract_xmp_properties,
    find_xmp_property,
    read_xmp,
)

# The length of a segment has 16 bits and includes its own two bytes.
_MAX_SEGMENT = 0xFFFF - 2
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
# Next come the MD5 in 32 hex digits, the total length, and the offset of this piece.
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_CONTINUED = "xmpNote:HasExtendedXMP"
# Properties of up to `_SHORT` characters stay in the main packet, where readers without
# support for extended XMP find them.
_MAX_PIECE, _SHORT = 65_000, 1000
_MAX_PIECES = 1000
# Multi-picture format: the offsets of further images, and the length of the first one.
_MULTI_PICTURE = b"MPF\0"
_APP0, _APP1, _APP2, _APP14, _COMMENT = 0xE0, 0xE1, 0xE2, 0xEE, 0xFE
_METADATA = {*range(_APP0, 0xF0), _COMMENT}
# The application segments that affect the display, with the start of their content.
_DISPLAYED = {_APP0: b"JFIF\0", _APP2: b"ICC_PROFILE\0", _APP14: b"Adobe"}


def insert_jpeg_metadata(jpeg: bytes, exif: bytes, xmp: Mapping[str, str]) -> bytes:
    """Return the JPEG with EXIF and XMP after its first segment.

    An existing EXIF block or XMP packet takes precedence.
    """
    position, has_exif, has_xmp = 2, False, False
    for marker, start, body, end in jpeg_segments(jpeg):
        if marker == START_OF_SCAN:
            break
        if marker == _APP0 and start == position:
            position = end
        if marker == _APP1:
            has_exif = has_exif or jpeg.startswith(EXIF_PREFIX, body, end)
            has_xmp = has_xmp or jpeg.startswith(_XMP, body, end)
        # A multi-picture file stores the length of its first image, so it cannot grow.
        elif marker == _APP2 and jpeg.startswith(_MULTI_PICTURE, body, end):
            return jpeg
    added: list[bytes] = []
    if not has_exif and len(EXIF_PREFIX) + len(exif) <= _MAX_SEGMENT:
        added.append(_segment(EXIF_PREFIX + exif))
    if not has_xmp:
        added.extend(_xmp_segments(xmp))
    return b"".join((jpeg[:position], *added, memoryview(jpeg)[position:]))


def read_jpeg_metadata(jpeg: bytes, texts: Texts) -> None:
    """Read the metadata before the pixels of a JPEG."""
    view = memoryview(jpeg)
    pieces: list[memoryview] = []
    for marker, _, body, end in jpeg_segments(jpeg):
        if marker == START_OF_SCAN:
            break
        content = view[body:end]
        if marker == _COMMENT:
            _take_comment(content, texts)
        elif marker != _APP1:
            continue
        elif jpeg.startswith(EXIF_PREFIX, body, end):
            read_exif(content, texts)
        elif jpeg.startswith(_XMP, body, end):
            read_xmp(texts.take(XMP_KEY, content[len(_XMP) :]), texts)
        elif jpeg.startswith(_EXTENDED_XMP, body, end) and len(pieces) < _MAX_PIECES:
            pieces.append(content[len(_EXTENDED_XMP) :])
    if pieces:
        digest = find_xmp_property(texts.found.get(XMP_KEY, ""), _CONTINUED)
        joined = _join_pieces(pieces, digest.encode())
        if not joined:
            texts.warn("the extended XMP is incomplete")
        read_xmp(texts.take(XMP_KEY + "+", joined), texts)


def strip_jpeg(jpeg: bytes) -> bytes:
    """Return the JPEG without metadata; the orientation is kept."""
    view, kept, orientation = memoryview(jpeg), bytearray(jpeg[:2]), 0
    for marker, start, body, end in jpeg_segments(jpeg):
        if marker not in _METADATA or _is_displayed(jpeg, marker, body, end):
            kept += view[start:end]
        elif (
            marker == _APP1
            and not orientation
            and jpeg.startswith(EXIF_PREFIX, body, end)
        ):
            orientation = read_orientation(view[body:end])
            if orientation:
                kept += _segment(EXIF_PREFIX + build_orientation_exif(orientation))
    return bytes(kept)


def _is_displayed(jpeg: bytes, marker: int, body: int, end: int) -> bool:
    prefix = _DISPLAYED.get(marker)
    return prefix is not None and jpeg.startswith(prefix, body, end)


def _segment(content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, _APP1, 2 + len(content)) + content


def _xmp_segments(properties: Mapping[str, str]) -> Iterator[bytes]:
    whole = _XMP + build_xmp_packet(properties).encode()
    if len(whole) <= _MAX_SEGMENT:
        yield _segment(whole)
        return
    short = {k: text for k, text in properties.items() if len(text) <= _SHORT}
    long = {k: text for k, text in properties.items() if k not in short}
    more = extract_xmp_properties(long).encode()
    digest = md5(more, usedforsecurity=False).hexdigest().upper()
    yield _segment(_XMP + build_xmp_packet({_CONTINUED: digest, **short}).encode())
    for start in range(0, len(more), _MAX_PIECE):
        head = _EXTENDED_XMP + digest.encode() + struct.pack(">II", len(more), start)
        yield _segment(head + more[start : start + _MAX_PIECE])


def _join_pieces(pieces: list[memoryview], digest: bytes) -> bytes:
    """Return the joined pieces with this digest; empty if one is missing."""
    offsets = sorted(
        (int.from_bytes(piece[36:40]), number)
        for number, piece in enumerate(pieces)
        if bytes(piece[:32]) == digest
    )
    joined = b"".join(pieces[number][40:] for _, number in offsets)
    complete = offsets and len(joined) == int.from_bytes(pieces[offsets[0][1]][32:36])
    return joined if complete else b""


def _take_comment(content: memoryview, texts: Texts) -> None:
    # stable-diffusion.cpp writes the key and a zero byte in front of the text.
    key, zero, _ = bytes(content[:80]).partition(b"\0")
    if zero and key == b"parameters":
        texts.take("parameters", content[len(key) + 1 :])
    else:
        texts.take("Comment", content)
