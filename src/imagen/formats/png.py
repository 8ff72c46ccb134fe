"""Metadata in PNG files: insertion, reading and removal, without changing pixels.

Formats: PNG third edition (W3C 2025), 11.3.3 (texts); Adobe's XMP specification part 3,
1.1.5 (keyword of XMP).
"""

import zlib
from collections.abc import Mapping

from imagen.formats.container import ANCILLARY, PNG_SIGNATURE, png_chunk, png_chunks
from imagen.formats.exif import build_orientation_exif, read_exif, read_orientation
from imagen.formats.texts import MAX_TEXT, Texts
from imagen.formats.xmp import XMP_KEY, read_xmp

_TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
# ComfyUI writes its metadata into this chunk of an animated PNG, after the pixels.
_COMFYUI_TEXT = b"comf"
_MAX_KEY = 79
# The ancillary chunks that affect the display.
_DISPLAYED = {
    *(b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"mDCV", b"cLLI"),
    *(b"mDCv", b"cLLi", b"sBIT", b"bKGD", b"hIST", b"pHYs", b"acTL", b"fcTL", b"fdAT"),
}


def insert_png_texts(png: bytes, texts: Mapping[str, str]) -> bytes:
    """Return the PNG with the texts before its pixels.

    An existing text takes precedence over a new one with the same key.
    """
    missing, before_pixels = dict(texts), 0
    for kind, start, _ in png_chunks(png):
        if kind == b"IDAT" and not before_pixels:
            before_pixels = start
        elif kind in _TEXTS:
            missing.pop(_keyword(png, start + 8), None)
    added = b"".join(_text_chunk(key, text) for key, text in missing.items())
    return b"".join((png[:before_pixels], added, memoryview(png)[before_pixels:]))


def read_png_metadata(png: bytes, texts: Texts) -> None:
    """Read the metadata of a PNG."""
    view, has_exif = memoryview(png), False
    for kind, start, end in png_chunks(png):
        if kind in _TEXTS or kind == _COMFYUI_TEXT:
            key = _keyword(png, start + 8)
            body = view[start + 8 : end - 4][len(key) + 1 :]
            _add_text(texts, kind, key, body)
        elif kind == b"eXIf" and not has_exif:
            has_exif = True
            read_exif(view[start + 8 : end - 4], texts)


def strip_png(png: bytes) -> bytes:
    """Return the PNG without metadata; the orientation is kept."""
    view, kept, orientation = memoryview(png), bytearray(PNG_SIGNATURE), 0
    for kind, start, end in png_chunks(png):
        if kind in _DISPLAYED or not kind[0] & ANCILLARY:
            kept += view[start:end]
        elif kind == b"eXIf" and not orientation:
            orientation = read_orientation(view[start + 8 : end - 4])
            if orientation:
                kept += png_chunk(b"eXIf", build_orientation_exif(orientation))
    return bytes(kept)


def simplify_png(png: bytes) -> bytes:
    """Return the PNG for a decoder, without metadata.

    A profile above MAX_TEXT, or after the pixels, where it is invalid, is left out too.
    """
    view, kept = memoryview(png := strip_png(png)), bytearray(PNG_SIGNATURE)
    after_pixels = False
    for kind, start, end in png_chunks(png):
        after_pixels = after_pixels or kind == b"IDAT"
        if kind == b"iCCP" and (
            after_pixels or _is_huge_profile(png[start + 8 : end - 4])
        ):
            continue
        kept += view[start:end]
    return bytes(kept)


def mend_png_checksums(png: bytes) -> bytes:
    """Return the PNG with the right checksum in every chunk."""
    chunks = [
        png_chunk(kind, png[start + 8 : end - 4])
        for kind, start, end in png_chunks(png)
    ]
    return PNG_SIGNATURE + b"".join(chunks)


def _is_huge_profile(body: bytes) -> bool:
    _, _, deflated = body.partition(b"\0")
    inflater = zlib.decompressobj()
    try:
        # After the name comes a byte for the compression method.
        return len(inflater.decompress(deflated[1:], MAX_TEXT + 1)) > MAX_TEXT
    except zlib.error:
        return False  # decoders ignore it


def _keyword(png: bytes, start: int) -> str:
    return png[start : start + _MAX_KEY + 1].split(b"\0", 1)[0].decode("latin-1")


def _add_text(texts: Texts, kind: bytes, key: str, body: memoryview) -> None:
    deflated = kind == b"zTXt"
    if kind == b"zTXt":
        body = body[1:]
    elif kind == b"iTXt":
        deflated = bytes(body[:1]) == b"\1"
        # Two flags, then a language and a translated key, each ended by a zero byte.
        language, translated, *_ = (*bytes(body[2:1000]).split(b"\0", 2), b"", b"")
        body = body[2 + len(language) + 1 + len(translated) + 1 :]
    text = texts.take(key, body, deflated=deflated)
    if key == XMP_KEY:
        read_xmp(text, texts)


def _text_chunk(key: str, text: str) -> bytes:
    text = text.replace("\0", "\ufffd")
    if text.isascii() and key != XMP_KEY:
        return png_chunk(b"tEXt", key.encode() + b"\0" + text.encode())
    # Compression flag and method, language tag and translated key: all empty.
    return png_chunk(b"iTXt", key.encode() + b"\0\0\0\0\0" + text.encode())
