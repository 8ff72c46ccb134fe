"""Words in a JPEG: put there, found there, taken out; pixels stay as they are.

ITU T.81 for the segments, CIPA DC-008 for EXIF, Adobe's XMP specification part 3 for
XMP, which goes on in further segments where one is too short.
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

_LONGEST_SEGMENT = 0xFFFF - 2
"""What fits into one segment."""
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0"
"""Then a digest in 32 letters, the whole length, and where this piece belongs."""
_CONTINUED = "xmpNote:HasExtendedXMP"
_LONGEST_PIECE, _SHORT = 65_000, 1000
_MOST_PIECES = 1000
_PICTURES = b"MPF\0"
"""Further pictures follow, and where they are and how long the first is stands here."""
_APP0, _APP1, _APP2, _APP14, _COMMENT = 0xE0, 0xE1, 0xE2, 0xEE, 0xFE
_WORDS = {*range(_APP0, 0xF0), _COMMENT}
_STAYS = {_APP0: b"JFIF\0", _APP2: b"ICC_PROFILE\0", _APP14: b"Adobe"}
"""The application segments that say how the picture looks, and how they begin."""


def insert_jpeg_metadata(jpeg: bytes, exif: bytes, xmp: Mapping[str, str]) -> bytes:
    """Return the JPEG with both after its first segment, and nothing else changed.

    An EXIF block or XMP packet that is there already stays instead; so does a file
    that holds several pictures, because it says how long the first one is.
    """
    place, has_exif, has_xmp = 2, False, False
    for marker, start, body, end in jpeg_segments(jpeg):
        if marker == START_OF_SCAN:
            break
        if marker == _APP0 and start == place:
            place = end
        if marker == _APP1:
            has_exif = has_exif or jpeg.startswith(EXIF_PREFIX, body, end)
            has_xmp = has_xmp or jpeg.startswith(_XMP, body, end)
        elif marker == _APP2 and jpeg.startswith(_PICTURES, body, end):
            return jpeg
    ours: list[bytes] = []
    if not has_exif and len(EXIF_PREFIX) + len(exif) <= _LONGEST_SEGMENT:
        ours.append(_segment(EXIF_PREFIX + exif))
    if not has_xmp:
        ours.extend(_xmp_segments(xmp))
    return b"".join((jpeg[:place], *ours, memoryview(jpeg)[place:]))


def read_jpeg_metadata(jpeg: bytes, texts: Texts) -> None:
    """Read what the JPEG says before its pixels."""
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
        elif jpeg.startswith(_MORE_XMP, body, end) and len(pieces) < _MOST_PIECES:
            pieces.append(content[len(_MORE_XMP) :])
    if pieces:
        digest = find_xmp_property(texts.found.get(XMP_KEY, ""), _CONTINUED)
        joined = _joined(pieces, digest.encode())
        if not joined:
            texts.warn("of the XMP that goes on in further segments, some is missing")
        read_xmp(texts.take(XMP_KEY + "+", joined), texts)


def strip_jpeg(jpeg: bytes) -> bytes:
    """Return the JPEG with nothing in it but what shows."""
    view, kept, turned = memoryview(jpeg), bytearray(jpeg[:2]), 0
    for marker, start, body, end in jpeg_segments(jpeg):
        if marker not in _WORDS or _shows(jpeg, marker, body, end):
            kept += view[start:end]
        elif marker == _APP1 and not turned and jpeg.startswith(EXIF_PREFIX, body, end):
            turned = read_orientation(view[body:end])
            kept += (
                _segment(EXIF_PREFIX + build_orientation_exif(turned))
                if turned
                else b""
            )
    return bytes(kept)


def _shows(jpeg: bytes, marker: int, body: int, end: int) -> bool:
    beginning = _STAYS.get(marker)
    return beginning is not None and jpeg.startswith(beginning, body, end)


def _segment(content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, _APP1, 2 + len(content)) + content


def _xmp_segments(properties: Mapping[str, str]) -> Iterator[bytes]:
    whole = _XMP + build_xmp_packet(properties).encode()
    if len(whole) <= _LONGEST_SEGMENT:
        yield _segment(whole)
        return
    short = {k: text for k, text in properties.items() if len(text) <= _SHORT}
    long = {k: text for k, text in properties.items() if k not in short}
    more = extract_xmp_properties(long).encode()
    digest = md5(more, usedforsecurity=False).hexdigest().upper()
    yield _segment(_XMP + build_xmp_packet({_CONTINUED: digest, **short}).encode())
    for start in range(0, len(more), _LONGEST_PIECE):
        head = _MORE_XMP + digest.encode() + struct.pack(">II", len(more), start)
        yield _segment(head + more[start : start + _LONGEST_PIECE])


def _joined(pieces: list[memoryview], digest: bytes) -> bytes:
    """Return the pieces of one continuation in their order; nothing if one lacks."""
    ours = sorted(
        (int.from_bytes(piece[36:40]), number)
        for number, piece in enumerate(pieces)
        if bytes(piece[:32]) == digest
    )
    joined = b"".join(pieces[number][40:] for _, number in ours)
    complete = ours and len(joined) == int.from_bytes(pieces[ours[0][1]][32:36])
    return joined if complete else b""


def _take_comment(content: memoryview, texts: Texts) -> None:
    """Read a comment; that of stable-diffusion.cpp begins with its key."""
    key, zero, _ = bytes(content[:80]).partition(b"\0")
    if zero and key == b"parameters":
        texts.take("parameters", content[len(key) + 1 :])
    else:
        texts.take("Comment", content)
