"""Metadata in WebP files: insertion, reading and removal, without changing pixels.

Metadata requires the extended format (RFC 9649, 2.7); simple files are converted to it.
"""

from collections.abc import Mapping

from imagen.formats.container import read_facts, riff_chunks, webp_chunks
from imagen.formats.exif import build_orientation_exif, read_exif, read_orientation
from imagen.formats.texts import Texts
from imagen.formats.xmp import XMP_KEY, build_xmp_packet, read_xmp

_PIXELS = {b"VP8 ", b"VP8L", b"ALPH"}
_DISPLAYED = {*_PIXELS, b"ICCP", b"ANIM"}
_HEADER, _FRAME_HEADER = 12, 16
_VP8X_LENGTH, _VP8X_CHUNK = 10, 18
_HAS_ALPHA, _HAS_EXIF, _HAS_XMP = 0x10, 0x08, 0x04
_VP8L_FLAGS_AT, _VP8L_ALPHA = 24, 0x10


def insert_webp_metadata(webp: bytes, exif: bytes, xmp: Mapping[str, str]) -> bytes:
    """Return the WebP with EXIF and XMP after its pixels.

    An existing EXIF block or XMP packet takes precedence. The header of the extended
    format gets the flags; a simple file gets such a header.
    """
    first, has = b"", 0
    after_pixels = after_exif = after_all = 0
    for kind, start, body, end in webp_chunks(webp):
        if kind == b"VP8X" and (start, end - body) != (_HEADER, _VP8X_LENGTH):
            return webp
        first = first or kind
        after_all = end + (end - body) % 2
        if kind in _PIXELS or kind == b"ANMF":
            after_pixels = after_all
        elif kind == b"EXIF":
            has, after_exif = has | _HAS_EXIF, after_all
        elif kind == b"XMP ":
            has |= _HAS_XMP
    if first not in (b"VP8X", b"VP8 ", b"VP8L") or has == _HAS_EXIF | _HAS_XMP:
        return webp
    block = b"" if has & _HAS_EXIF else _chunk(b"EXIF", exif)
    packet = b"" if has & _HAS_XMP else _chunk(b"XMP ", build_xmp_packet(xmp).encode())
    flags = ~has & (_HAS_EXIF | _HAS_XMP)
    old, header = (
        (_VP8X_CHUNK, bytearray(webp[_HEADER : _HEADER + _VP8X_CHUNK]))
        if first == b"VP8X"
        else (0, _new_header(webp))
    )
    header[8] |= flags
    end_of_file = 8 + int.from_bytes(webp[4:8], "little")
    chunks = webp[_HEADER:end_of_file] + b"\0" * (after_all - end_of_file)
    one, two = after_pixels - _HEADER, max(after_pixels, after_exif) - _HEADER
    parts = header, chunks[old:one], block, chunks[one:two], packet, chunks[two:]
    return _riff(*parts) + webp[end_of_file:]


def read_webp_metadata(webp: bytes, texts: Texts) -> None:
    """Read the metadata of a WebP."""
    view = memoryview(webp)
    for kind, _, body, end in webp_chunks(webp):
        if kind == b"EXIF":
            read_exif(view[body:end], texts)
        elif kind == b"XMP ":
            read_xmp(texts.take(XMP_KEY, view[body:end]), texts)


def strip_webp(webp: bytes) -> bytes:
    """Return the WebP without metadata; the orientation is kept."""
    view, kept, orientation = memoryview(webp), bytearray(), 0
    for kind, _, body, end in webp_chunks(webp):
        content = view[body:end]
        if kind in _DISPLAYED:
            kept += _chunk(kind, content)
        elif kind == b"VP8X" and content:
            flags = content[0] & ~(_HAS_EXIF | _HAS_XMP)
            kept += _chunk(kind, bytes([flags]), content[1:])
        elif kind == b"ANMF":
            frame = bytearray(content[:_FRAME_HEADER])
            for part, _, start, stop in riff_chunks(webp, body + _FRAME_HEADER, end):
                if part in _PIXELS:
                    frame += _chunk(part, view[start:stop])
            kept += _chunk(kind, frame)
        elif kind == b"EXIF":
            orientation = orientation or read_orientation(content)
    if orientation and kept.startswith(b"VP8X"):
        kept[8] |= _HAS_EXIF
        kept += _chunk(b"EXIF", build_orientation_exif(orientation))
    return _riff(kept)


def _new_header(webp: bytes) -> bytearray:
    """Return a header of the extended format for a file in the simple format."""
    facts = read_facts(webp)
    lossless = webp[_HEADER : _HEADER + 4] == b"VP8L"
    has_alpha = lossless and webp[_VP8L_FLAGS_AT] & _VP8L_ALPHA
    flags = bytes((_HAS_ALPHA if has_alpha else 0, 0, 0, 0))
    sides = ((side - 1).to_bytes(3, "little") for side in (facts.width, facts.height))
    return bytearray(_chunk(b"VP8X", flags, *sides))


def _chunk(kind: bytes, *parts: bytes | bytearray | memoryview) -> bytes:
    length = sum(map(len, parts))
    padding = b"\0" * (length % 2)
    return b"".join((kind, length.to_bytes(4, "little"), *parts, padding))


def _riff(*chunks: bytes | bytearray) -> bytes:
    length = 4 + sum(map(len, chunks))
    return b"".join((b"RIFF", length.to_bytes(4, "little"), b"WEBP", *chunks))
