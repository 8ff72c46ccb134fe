"""The size of AVIF files, read from their boxes without decoding pixels.

Formats: ISO/IEC 14496-12 (boxes) and 23008-12 (items and their properties); AV1 Image
File Format 1.1.0; position of a C2PA manifest: C2PA 2.2, appendix A.5.
"""

from collections.abc import Iterator, Mapping
from struct import unpack_from

_BRANDS = {b"avif", b"avis"}
_C2PA = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_HEADER, _FULL_BOX = 8, 4


def is_avif(content: bytes) -> bool:
    """Return whether the file type box names AVIF."""
    if content[4:8] != b"ftyp":
        return False
    names = content[8 : min(int.from_bytes(content[:4]), 256)]
    return any(names[at : at + 4] in _BRANDS for at in range(0, len(names), 4))


def read_avif(content: bytes) -> tuple[int, int, bool]:
    """Return width, height, and whether the file has a C2PA manifest.

    The size is the one before any rotation.

    Raises:
        ValueError: the file is truncated, or has no image data or no size; the message
            has the reason.
        struct.error, IndexError: the file is truncated.
    """
    size, has_data, signed = (0, 0), False, False
    for kind, body, end in _boxes(content, 0, len(content)):
        if kind == b"meta":
            parts = _parts(content, body + _FULL_BOX, end)
            size = _primary_size(content, parts)
            has_data = has_data or b"idat" in parts
        elif kind == b"moov" and not all(size):
            size = _track_size(content, body, end)
        elif kind == b"mdat":
            has_data = has_data or end > body
        elif kind == b"uuid":
            signed = signed or content[body : body + 16] == _C2PA
    if not has_data:
        raise ValueError("the AVIF has no image data")
    if not all(size):
        raise ValueError("the AVIF has no size")
    return *size, signed


def _boxes(content: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each box between two offsets, its body's start, and its end."""
    while end - start >= _HEADER:
        length, kind = unpack_from(">I4s", content, start)
        body = start + _HEADER
        if length == 1:
            (length,) = unpack_from(">Q", content, body)
            body += 8
        # A length of 0 extends the last box to the end of the file.
        following = start + length if length else end
        if not body <= following <= end:
            raise ValueError("the AVIF ends too early")
        yield kind, body, following
        start = following


def _parts(content: bytes, start: int, end: int) -> dict[bytes, tuple[int, int]]:
    return {kind: (body, last) for kind, body, last in _boxes(content, start, end)}


def _primary_size(
    content: bytes, parts: Mapping[bytes, tuple[int, int]]
) -> tuple[int, int]:
    """Return the size of the primary item, else the largest of any item."""
    if b"iprp" not in parts:
        return 0, 0
    properties = _parts(content, *parts[b"iprp"])
    sizes: dict[int, tuple[int, int]] = {}
    if b"ipco" in properties:
        boxes = _boxes(content, *properties[b"ipco"])
        for number, (kind, body, _) in enumerate(boxes, start=1):
            if kind == b"ispe":
                sizes[number] = unpack_from(">II", content, body + _FULL_BOX)
    if b"pitm" in parts and b"ipma" in properties:
        body, _ = parts[b"pitm"]
        wide = content[body] > 0
        (primary,) = unpack_from(">I" if wide else ">H", content, body + _FULL_BOX)
        for number in _properties_of(content, properties[b"ipma"][0], primary):
            if number in sizes:
                return sizes[number]
    return max(sizes.values(), default=(0, 0))


def _properties_of(content: bytes, body: int, item: int) -> Iterator[int]:
    """Yield the numbers of the properties of an item."""
    version, flags, count = content[body], content[body + 3], 0
    (count,) = unpack_from(">I", content, body + _FULL_BOX)
    position = body + 8
    for _ in range(count):
        (found,) = unpack_from(">I" if version else ">H", content, position)
        position += 4 if version else 2
        associations, position = content[position], position + 1
        for _ in range(associations):
            # The highest bit says that the property is essential.
            if flags & 1:
                number, position = unpack_from(">H", content, position)[0], position + 2
                number &= 0x7FFF
            else:
                number, position = content[position] & 0x7F, position + 1
            if found == item:
                yield number


def _track_size(content: bytes, start: int, end: int) -> tuple[int, int]:
    """Return the largest size of a track of an image sequence."""
    sizes: list[tuple[int, int]] = []
    for kind, body, last in _boxes(content, start, end):
        if kind == b"trak" and (header := _parts(content, body, last).get(b"tkhd")):
            # The last two values, in 65,536ths of a pixel.
            width, height = unpack_from(">II", content, header[1] - 8)
            sizes.append((width >> 16, height >> 16))
    return max(sizes, default=(0, 0))
