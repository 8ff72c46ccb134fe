"""Type, size and structure of image files, read without decoding pixels.

PNG chunks, JPEG segments, RIFF chunks (WebP) and GIF blocks are read to the end, so
that truncated files are detected. Formats: PNG third edition (W3C 2025), ITU T.81
(JPEG), RFC 9649 (WebP), GIF89a; positions of C2PA manifests: C2PA 2.2, appendix A.
"""

import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from struct import unpack_from

import msgspec

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

END_OF_IMAGE, START_OF_SCAN = 0xD9, 0xDA
# Used in place of a marker for the compressed pixels of a JPEG.
SCAN_DATA = 0

_APP11 = 0xEB
_STANDALONE_MARKERS = {0x01, *range(0xD0, 0xD8), END_OF_IMAGE}
_FRAME_HEADERS = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_MARKER_IN_A_SCAN = re.compile(rb"\xff[^\x00\x01\xd0-\xd7\xff]", re.DOTALL)
_GIF_EXTENSION, _GIF_FRAME, _GIF_TRAILER = 0x21, 0x2C, 0x3B
_IHDR_LENGTH = 13
ANCILLARY = 0x20
"""The bit in the first letter of a chunk that decoders may ignore."""
_CRITICAL = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}

# Bit depth, colour type, compression, filter method, no interlacing.
_EIGHT_BIT_RGB = (8, 2, 0, 0, 0)
_RIFF_HEADER = 12
# What browsers draw an SVG at that states no size.
_SVG_SIDES = 300, 150
_VP8X_HAS_SIZE, _VP8L_MAGIC = 10, 0x2F


class NotAnImage(Exception):
    """The bytes are not a complete image; the message has the reason."""


class ImageFacts(msgspec.Struct, frozen=True):
    """Type and size of an image file.

    Attributes:
        media_type: Determined from the content, not from a name.
        signed: Whether the file has a C2PA manifest, which any change invalidates.
        warnings: Damage that does not affect the pixels.
    """

    media_type: str
    width: int
    height: int
    signed: bool = False
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise NotAnImage(f"its size is {self.width}x{self.height} pixels")


def read_facts(
    content: bytes, *, svg_sides: tuple[int, int] | None = None
) -> ImageFacts:
    """Return type and size of an image file.

    Args:
        svg_sides: Width and height of an SVG that states none; None for 300 x 150, as
            browsers draw it.

    Raises:
        NotAnImage: the bytes are not a complete PNG, JPEG, WebP, GIF, AVIF or SVG.
    """
    try:
        if content.startswith(PNG_SIGNATURE):
            return _png_facts(content)
        if content.startswith(b"\xff\xd8\xff"):
            return _jpeg_facts(content)
        if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
            return _webp_facts(content)
        if content[:6] in {b"GIF87a", b"GIF89a"}:
            return _gif_facts(content)
        if content[4:8] == b"ftyp":
            from imagen.formats.avif import is_avif, read_avif  # noqa: PLC0415 - rarer

            if is_avif(content):
                width, height, signed = read_avif(content)
                return ImageFacts("image/avif", width, height, signed=signed)
        elif content.lstrip(b"\xef\xbb\xbf\t\n\r ")[:1] == b"<":
            from imagen.formats.svg import is_svg, read_svg_size  # noqa: PLC0415 - rarer

            if is_svg(content):
                size = read_svg_size(content) or svg_sides or _SVG_SIDES
                return ImageFacts("image/svg+xml", *size)
    except (IndexError, struct.error) as error:
        raise NotAnImage("it ends too early") from error
    except ValueError as error:
        raise NotAnImage(str(error)) from error
    raise NotAnImage(_describe(content))


def png_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each chunk, and the offsets of its start and end.

    The checksums are not compared.

    Raises:
        NotAnImage: a chunk is truncated, or the end is missing.
    """
    position = len(PNG_SIGNATURE)
    while position + 12 <= len(content):
        (length,) = unpack_from(">I", content, position)
        end = position + 12 + length
        if end > len(content):
            break
        kind = content[position + 4 : position + 8]
        yield kind, position, end
        if kind == b"IEND":
            return
        position = end
    raise NotAnImage("the PNG ends too early")


def jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield the marker of each segment, and the offsets of its start, body and end.

    The compressed pixels after a start of scan have the marker `SCAN_DATA`. The last
    segment is the end of the image, even if data follows it in the file.

    Raises:
        NotAnImage: a segment is damaged or truncated, or the end is missing.
    """
    position = 2
    # A marker may be preceded by any number of fill bytes 0xFF.
    while found := _MARKER.match(content, position):
        marker, body = found[1][0], found.end()
        end = body
        if marker not in _STANDALONE_MARKERS:
            length = int.from_bytes(content[body : body + 2])
            body, end = body + 2, body + length
            if end > len(content) or body > len(content):
                raise NotAnImage("the JPEG ends too early")
            if end < body:
                raise NotAnImage("a JPEG segment has an impossible length")
        yield marker, position, body, end
        if marker == END_OF_IMAGE:
            return
        position = end
        if marker == START_OF_SCAN:
            following = _MARKER_IN_A_SCAN.search(content, end)
            if following is None:
                break
            position = following.start()
            yield SCAN_DATA, end, end, position
    if position < len(content) - 1:
        raise NotAnImage("the JPEG is damaged between its segments")
    raise NotAnImage("the JPEG ends too early")


def webp_chunks(content: bytes) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield the type of each chunk, and the offsets of its start, body and end.

    One byte of padding comes after a chunk of odd length.

    Raises:
        NotAnImage: the file or a chunk is truncated.
    """
    end_of_file = 8 + int.from_bytes(content[4:8], "little")
    if end_of_file > len(content):
        raise NotAnImage("the WebP ends too early")
    return riff_chunks(content, _RIFF_HEADER, end_of_file)


def riff_chunks(
    content: bytes, start: int, end: int
) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield the chunks between two offsets, as `webp_chunks` does."""
    while start + 8 <= end:
        body = start + 8
        following = body + int.from_bytes(content[start + 4 : body], "little")
        if following > end:
            raise NotAnImage("a WebP chunk ends too early")
        yield content[start : start + 4], start, body, following
        start = following + (following - body) % 2


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return a complete chunk: length, four-letter type, data and checksum."""
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return len(data).to_bytes(4) + kind + data + checksum.to_bytes(4)


def rgb_png(width: int, height: int, rows: Iterable[bytes]) -> bytes:
    """Return a PNG with 8 bits per colour.

    Args:
        rows: Blocks of one or more rows. Each row is one byte with the number of its
            filter, and the filtered bytes.
    """
    header = struct.pack(">IIBBBBB", width, height, *_EIGHT_BIT_RGB)
    # The lowest level: these files are made for speed, not for size.
    compressor = zlib.compressobj(level=1)
    compressed = [compressor.compress(block) for block in rows]
    data = b"".join([*compressed, compressor.flush()])
    chunks = {b"IHDR": header, b"IDAT": data, b"IEND": b""}
    return PNG_SIGNATURE + b"".join(png_chunk(*chunk) for chunk in chunks.items())


def _png_facts(content: bytes) -> ImageFacts:
    first, has_data, signed, view = True, False, False, memoryview(content)
    stale = dict[str, None]()
    for kind, start, end in png_chunks(content):
        if first and kind != b"IHDR":
            raise NotAnImage("the PNG does not begin with its header")
        (checksum,) = unpack_from(">I", content, end - 4)
        if zlib.crc32(view[start + 4 : end - 4]) != checksum:
            # Tools that edit a text often leave its checksum as it was.
            if not kind[0] & ANCILLARY or kind.upper() in _CRITICAL:
                raise NotAnImage("a PNG chunk has a wrong checksum")
            stale[kind.decode("latin-1")] = None
        first = False
        has_data = has_data or kind == b"IDAT"
        signed = signed or kind == b"caBX"
    if not has_data:
        raise NotAnImage("the PNG has no image data")
    length, _, width, height = unpack_from(">I4sII", content, len(PNG_SIGNATURE))
    if length != _IHDR_LENGTH:
        raise NotAnImage("the PNG header has a wrong length")
    return ImageFacts(
        "image/png",
        width,
        height,
        signed=signed,
        warnings=tuple(f"the checksum of its chunk {kind} is wrong" for kind in stale),
    )


def _jpeg_facts(content: bytes) -> ImageFacts:
    size: tuple[int, int] | None = None
    signed, pixels = False, 0
    for marker, _, body, end in jpeg_segments(content):
        if marker == END_OF_IMAGE:
            raise NotAnImage("the JPEG has no image data")
        if marker in _FRAME_HEADERS:
            height, width = unpack_from(">HH", content, body + 1)
            size = width, height
        if marker == _APP11 and b"jumb" in content[body : body + 36]:
            signed = True
        if marker == START_OF_SCAN:
            pixels = end
            break
    if size is None:
        raise NotAnImage("the JPEG has no size")
    # Padding or an appended preview may follow the scans, so the end marker is searched
    # for and not expected in the last bytes.
    if content.find(b"\xff\xd9", pixels) < 0:
        raise NotAnImage("the JPEG ends too early")
    return ImageFacts("image/jpeg", *size, signed=signed)


def _webp_facts(content: bytes) -> ImageFacts:
    size: tuple[int, int] | None = None
    canvas: tuple[int, int] | None = None
    signed = False
    for kind, _, body, end in webp_chunks(content):
        if kind == b"VP8X" and end - body >= _VP8X_HAS_SIZE:
            canvas = (
                1 + int.from_bytes(content[body + 4 : body + 7], "little"),
                1 + int.from_bytes(content[body + 7 : body + 10], "little"),
            )
        elif kind == b"VP8L" and content[body] == _VP8L_MAGIC:
            (bits,) = unpack_from("<I", content, body + 1)
            size = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        elif kind == b"VP8 ":
            width, height = unpack_from("<HH", content, body + 6)
            size = width & 0x3FFF, height & 0x3FFF
        elif kind == b"ANMF":
            size = size or canvas
        elif kind == b"C2PA":
            signed = True
    if size is None:
        raise NotAnImage("the WebP has no image data")
    return ImageFacts("image/webp", *(canvas or size), signed=signed)


def _gif_facts(content: bytes) -> ImageFacts:
    width, height = unpack_from("<HH", content, 6)
    if not count_gif_frames(content):
        raise NotAnImage("the GIF has no image data")
    return ImageFacts("image/gif", width, height)


def count_gif_frames(content: bytes) -> int:
    """Return the number of frames of a GIF.

    Raises:
        NotAnImage, IndexError: the GIF is damaged or truncated.
    """
    position = 13 + _table_length(content[10])
    frames = 0
    while content[position] != _GIF_TRAILER:
        if content[position] == _GIF_EXTENSION:
            position += 2
        elif content[position] == _GIF_FRAME:
            frames += 1
            position += 11 + _table_length(content[position + 9])
        else:
            raise NotAnImage("the GIF is damaged between its blocks")
        # Sub-blocks of up to 255 bytes; an empty one is the last.
        while content[position]:
            position += 1 + content[position]
        position += 1
    return frames


def _table_length(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _describe(content: bytes) -> str:
    if not content:
        return "it is empty"
    start = content[:256].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html")):
        return "it is an HTML page"
    if start.startswith((b"{", b"[")):
        return "it is JSON"
    return f"it begins with {content[:8].hex(' ')}"
