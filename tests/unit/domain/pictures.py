"""Image files of every kind, drawn here, and the parts that they are made of."""

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from hashlib import sha256
from io import BytesIO

from PIL import Image, ImageSequence
from tests.nightly import NIGHTLY

from imagen.formats.container import (
    PNG_SIGNATURE,
    jpeg_segments,
    png_chunks,
    webp_chunks,
)

WIDTH, HEIGHT = 13, 11
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
ADAM7 = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)


class Files(Mapping[str, bytes]):
    """Files by name, each of which is made when a test asks for it."""

    def __init__(self, makers: Mapping[str, Callable[[], bytes]]) -> None:
        self.makers = dict(makers)
        self._made: dict[str, bytes] = {}

    def __getitem__(self, name: str) -> bytes:
        if name not in self._made:
            self._made[name] = self.makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.makers)

    def __len__(self) -> int:
        return len(self.makers)

    def __or__(self, others: "Files") -> "Files":
        return Files(self.makers | others.makers)


def noise(length: int, seed: int = 0) -> bytes:
    """Bytes without a pattern, the same each time."""
    blocks = range(length // 32 + 1)
    return b"".join(sha256(b"%d %d" % (seed, n)).digest() for n in blocks)[:length]


def picture(mode: str = "RGB", seed: int = 0, side: int = 24) -> Image.Image:
    """A picture of colours that do not pack well."""
    base = "RGBA" if mode == "RGBA" else "RGB"
    return Image.frombytes(
        base, (side, 17), noise(side * 17 * len(base), seed)
    ).convert(mode)


def encoded(image: Image.Image, kind: str, **how: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    """A chunk of a PNG."""
    check = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + check


def text(key: str, words: bytes) -> bytes:
    return chunk(b"tEXt", key.encode("latin-1") + b"\0" + words)


def segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP of such chunks."""
    body = b"".join(
        kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
        for kind, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def raw_png(
    colour: int, depth: int, *, interlaced: bool = False, extra: bytes = b""
) -> bytes:
    """A PNG of any colour type and depth, its pixels in several chunks."""
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    rows = bytearray()
    for left, top, across, down in passes:
        width = len(range(left, WIDTH, across))
        height = len(range(top, HEIGHT, down)) if width else 0
        stride = (width * depth * CHANNELS[colour] + 7) // 8
        for row in range(height):
            rows += b"\0" + noise(stride, row + left)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, interlaced)
    parts = [chunk(b"IHDR", header), chunk(b"gAMA", struct.pack(">I", 45455)), extra]
    if colour == 3:
        parts += [
            chunk(b"PLTE", noise(3 << depth)),
            chunk(b"tRNS", b"\0\x80\xff"[: 1 << depth]),
        ]
    elif colour in (0, 2):
        parts.append(chunk(b"tRNS", b"\0\1" * CHANNELS[colour]))
    parts.append(chunk(b"pHYs", struct.pack(">IIB", 2, 1, 0)))
    packed = zlib.compress(bytes(rows))
    parts += [chunk(b"IDAT", packed[at : at + 40]) for at in range(0, len(packed), 40)]
    return PNG_SIGNATURE + b"".join(parts) + chunk(b"IEND")


def spoken_png(*extra: bytes) -> bytes:
    """A PNG with more to say, before its pixels and after them."""
    before = (
        chunk(b"prVt", b"private")
        + chunk(b"tIME", b"\x07\xea\x05\x08\x0c\x1e\x0f")
        + b"".join(extra)
    )
    after = text("late", b"words") + chunk(b"prVt", b"more")
    whole = raw_png(2, 8, extra=before)
    return whole[:-12] + after + whole[-12:]


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    """The JPEG with more segments after its first one."""
    first = 4 + int.from_bytes(jpeg[4:6])
    return jpeg[:first] + b"".join(segments) + jpeg[first:]


def with_chunks(webp: bytes, *chunks: tuple[bytes, bytes], flags: int = 0) -> bytes:
    """The extended WebP with more chunks at its end."""
    (kind, header), *rest = webp_parts(webp)
    header = bytes([header[0] | flags]) + header[1:]
    return riff((kind, header), *rest, *chunks)


def png_parts(png: bytes) -> list[bytes]:
    return [png[start:end] for _, start, end in png_chunks(png)]


def jpeg_parts(jpeg: bytes) -> list[bytes]:
    places = list(jpeg_segments(jpeg))
    return [jpeg[start:end] for _, start, _, end in places] + [jpeg[places[-1][3] :]]


def webp_parts(webp: bytes) -> list[tuple[bytes, bytes]]:
    return [(kind, webp[body:end]) for kind, _, body, end in webp_chunks(webp)]


def parts(content: bytes) -> list[object]:
    """What a file is made of, without the flags of a WebP's header."""
    if content.startswith(b"\x89PNG"):
        return [*png_parts(content)]
    if content.startswith(b"\xff\xd8"):
        return [*jpeg_parts(content)]
    return [
        (kind, data[1:] if kind == b"VP8X" else data)
        for kind, data in webp_parts(content)
    ]


def opened(content: bytes) -> Image.Image:
    image = Image.open(BytesIO(content))
    image.load()
    return image


def frames(content: bytes) -> list[tuple[str, bytes, object]]:
    """Every frame as it is decoded: mode, pixels and how long it lasts."""
    with Image.open(BytesIO(content)) as image:
        return [
            (frame.mode, frame.tobytes(), frame.info.get("duration"))
            for frame in ImageSequence.Iterator(image)
        ]


ICC = noise(150_000)
"""A profile that takes three segments of a JPEG; its content is not read."""
EXIF = Image.Exif()
EXIF[0x0112] = 6
EXIF[0x010F] = "Chalk"
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>theirs</x:xmpmeta>"
XMP_SEGMENT = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)
MOVING = {"save_all": True, "append_images": [picture(seed=1)], "duration": [70, 90]}
CLEAR = {
    **MOVING,
    "append_images": [picture("RGBA", 1)],
}
JPEG = encoded(picture(), "JPEG")
CMYK = encoded(picture("CMYK"), "JPEG", icc_profile=ICC)
LOSSY_ALPHA = encoded(picture("RGBA"), "WEBP", quality=50)

SHAPES = {
    f"png {colour}/{depth}{' interlaced' * interlaced}": partial(
        raw_png, colour, depth, interlaced=interlaced
    )
    for colour, depths in DEPTHS.items()
    for depth in depths
    for interlaced in (False, True)
}
# By day one of each: bits, bytes, words of two bytes, a palette, transparency.
BY_DAY = {"png 0/1", "png 2/8", "png 3/4 interlaced", "png 6/16 interlaced"}
PNGS = Files(
    {
        **{name: make for name, make in SHAPES.items() if NIGHTLY or name in BY_DAY},
        "png animated": lambda: encoded(picture(), "PNG", **MOVING),
        "png animated, clear": lambda: encoded(picture("RGBA"), "PNG", **CLEAR),
        "png spoken": spoken_png,
        "png with icc and exif": lambda: encoded(
            picture(), "PNG", icc_profile=ICC, exif=EXIF
        ),
        "png with a tail": lambda: raw_png(2, 8) + b"tail",
    }
)
JPEGS = Files(
    {
        "jpeg": lambda: JPEG,
        "jpeg progressive": lambda: encoded(
            picture(), "JPEG", progressive=True, subsampling=0
        ),
        "jpeg grey": lambda: encoded(picture("L"), "JPEG"),
        "jpeg cmyk": lambda: CMYK,
        "jpeg with restarts": lambda: encoded(
            picture(), "JPEG", restart_marker_blocks=1
        ),
        "jpeg with icc": lambda: encoded(picture(), "JPEG", icc_profile=ICC),
        "jpeg with exif": lambda: encoded(picture(), "JPEG", exif=EXIF),
        "jpeg with xmp": lambda: with_segments(JPEG, XMP_SEGMENT),
        "jpeg with both": lambda: with_segments(
            encoded(picture(), "JPEG", exif=EXIF), XMP_SEGMENT
        ),
        "jpeg with words": lambda: with_segments(
            JPEG,
            segment(0xFE, b"a comment"),
            segment(0xED, b"Photoshop 3.0\0" + noise(99)),
            segment(0xEB, b"HDR_RI ver=11" + noise(40)),
            segment(0xE2, b"FPXR\0" + noise(40)),
        ),
        "jpeg filled": lambda: JPEG[:20] + b"\xff\xff" + JPEG[20:],
        "jpeg without jfif": lambda: JPEG[:2] + JPEG[20:],
        "jpeg with a tail": lambda: JPEG + b"\xff\xfetail\xff\xd9",
    }
)
WEBPS = Files(
    {
        "webp lossy": lambda: encoded(picture(), "WEBP", quality=50),
        "webp lossless": lambda: encoded(picture(), "WEBP", lossless=True),
        "webp lossless, clear": lambda: encoded(picture("RGBA"), "WEBP", lossless=True),
        "webp lossy, clear": lambda: LOSSY_ALPHA,
        "webp animated": lambda: encoded(picture(), "WEBP", **MOVING),
        "webp animated, clear": lambda: encoded(
            picture("RGBA"), "WEBP", **CLEAR, lossless=True
        ),
        "webp with icc": lambda: encoded(picture(), "WEBP", icc_profile=ICC),
        "webp with exif": lambda: encoded(picture(), "WEBP", exif=EXIF),
        "webp with xmp": lambda: encoded(picture(), "WEBP", xmp=XMP),
        "webp with both": lambda: encoded(picture(), "WEBP", exif=EXIF, xmp=XMP),
        "webp with more": lambda: with_chunks(
            LOSSY_ALPHA, (b"more", b"odd"), (b"Even", b"even")
        ),
        "webp with a tail": lambda: encoded(picture(), "WEBP") + b"tail",
    }
)

MANIFEST = b"JP\0\1\0\0\0\1\0\0\0\x40jumb" + noise(52)
SIGNED = Files(
    {
        "png signed": lambda: raw_png(2, 8, extra=chunk(b"caBX", b"manifest")),
        "jpeg signed": lambda: with_segments(JPEG, segment(0xEB, MANIFEST)),
        "webp signed": lambda: with_chunks(LOSSY_ALPHA, (b"C2PA", b"manifest!")),
    }
)
FILES = PNGS | JPEGS | WEBPS
