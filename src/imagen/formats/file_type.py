"""The type of a file, guessed from its first bytes."""

from codecs import BOM_UTF16_BE, BOM_UTF16_LE, getincrementaldecoder

from imagen.formats.svg import is_svg

_BINARY = "application/octet-stream"
_SIGNATURES: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"\x89PNG", "image/png", "png"),
    (0, b"\xff\xd8\xff", "image/jpeg", "jpg"),
    (0, b"GIF8", "image/gif", "gif"),
    (8, b"WEBP", "image/webp", "webp"),
    (8, b"WAVE", "audio/wav", "wav"),
    (8, b"AVI ", "video/x-msvideo", "avi"),
    (4, b"ftypavi", "image/avif", "avif"),
    (4, b"ftyphei", "image/heic", "heic"),
    (4, b"ftypmif1", "image/heif", "heif"),
    (4, b"ftypqt", "video/quicktime", "mov"),
    (4, b"ftypM4A", "audio/mp4", "m4a"),
    (4, b"ftyp", "video/mp4", "mp4"),
    (4, b"JXL \r\n\x87\n", "image/jxl", "jxl"),
    (0, b"\xff\x0a", "image/jxl", "jxl"),
    (4, b"jP  \r\n\x87\n", "image/jp2", "jp2"),
    (0, b"II*\0", "image/tiff", "tiff"),
    (0, b"MM\0*", "image/tiff", "tiff"),
    (0, b"BM", "image/bmp", "bmp"),
    (0, b"v/1\x01", "image/x-exr", "exr"),
    (0, b"8BPS", "image/vnd.adobe.photoshop", "psd"),
    (0, b"glTF", "model/gltf-binary", "glb"),
    (0, b"\x1a\x45\xdf\xa3", "video/webm", "webm"),
    (0, b"OggS", "audio/ogg", "ogg"),
    (0, b"ID3", "audio/mpeg", "mp3"),
    (0, b"fLaC", "audio/flac", "flac"),
    (0, b"%PDF", "application/pdf", "pdf"),
    (0, b"PK\x03\x04", "application/zip", "zip"),
    (0, b"\x1f\x8b", "application/gzip", "gz"),
)
"""Offset, bytes, media type, extension; the first that fits decides."""

_TEXTS: tuple[tuple[tuple[bytes, ...], str, str], ...] = (
    ((b"<!doctype html", b"<html"), "text/html", "html"),
    ((b"{", b"["), "application/json", "json"),
    ((b"<",), "application/xml", "xml"),
)


def guess_file_type(content: bytes) -> tuple[str, str]:
    """Return the media type and the extension; those of unknown bytes if no type fits.

    The content need not be complete or valid.
    """
    for offset, signature, media_type, extension in _SIGNATURES:
        if content.startswith(signature, offset):
            return media_type, extension
    is_utf16 = content.startswith((BOM_UTF16_BE, BOM_UTF16_LE))
    decoder = getincrementaldecoder("utf-16" if is_utf16 else "utf-8-sig")()
    try:
        # Incremental, because the last character may be cut in two here.
        start = decoder.decode(content[:4096])
    except UnicodeDecodeError:
        return _BINARY, "bin"
    if "\0" in start:
        return _BINARY, "bin"
    if is_svg(content):
        return "image/svg+xml", "svg"
    words = start.lstrip().lower().encode()
    for prefixes, media_type, extension in _TEXTS:
        if words.startswith(prefixes):
            return media_type, extension
    return "text/plain", "txt"
